"""What every overlay holds: valid, restricted, limited, pinned, and closed to the network."""

import re
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import typer
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1ClusterTrainingRuntime

from labram.cli import app
from labram.platform.doctor import TRAIN_JOB_SIZE
from labram.platform.quantities import parse
from labram.training.distributed import train_job
from pipelines.placement import ENVIRONMENT
from tests.steps.test_sizes import SERVICES_CPU, SERVICES_GIB

K8S = Path(__file__).parents[2] / "k8s"
VERSIONS = ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36"]
CUSTOM = {"ClusterTrainingRuntime", "InferenceService", "PrometheusRule"}
"""Kinds of others: the first is tested below, all of them in test_custom_kinds."""
SECRET_KEYS = {
    "labram-database": {"password"},
    "labram-mlflow-server": {"backend-store-uri", "flask-secret-key", "admin-password", "basic_auth.ini"},
    "labram-mlflow-user": {"username", "password"},
    "labram-storage": {"access-key-id", "secret-access-key"},  # and subject-key, for tasks alone
}


def pods(part: object) -> Iterator[dict]:
    """Everything at any depth that becomes a pod."""
    if isinstance(part, dict):
        if part.get("containers"):
            yield part
        for value in part.values():
            yield from pods(value)
    elif isinstance(part, list):
        for item in part:
            yield from pods(item)


@pytest.fixture(scope="module")
def templates(documents) -> list[dict]:
    found = [pod for item in documents for pod in pods(item)]
    assert len(found) >= 6, "MLflow, database, backup, restore, training, serving"
    return found


def containers(templates: list[dict]) -> list[dict]:
    return [container for pod in templates for container in [*pod.get("initContainers", []), *pod["containers"]]]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid_strictly(documents, version) -> None:
    for item in documents:
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, version, strict=True)


def test_the_training_runtime_is_one_of_kubeflow_trainer_and_nothing_of_it_is_dropped(documents) -> None:
    (runtime,) = (
        item for item in documents if item["kind"] == "ClusterTrainingRuntime" and "internal" not in str(item)
    )
    model = TrainerV1alpha1ClusterTrainingRuntime.from_dict(runtime)
    assert model.to_dict() == runtime


def test_the_training_runtime_has_the_parts_that_train_jobs_patch(documents) -> None:
    for runtime in (item for item in documents if item["kind"] == "ClusterTrainingRuntime"):
        (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
        (pod,) = pods(replicated)
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "node"}, "spec": pod}
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
        assert pod["restartPolicy"] == "Never", "one rank alone would meet ranks that are further"
        assert replicated["name"] == train_job.REPLICATED_JOB
        sizes = pod["containers"][0]["resources"]
        for resource, size in TRAIN_JOB_SIZE.items():  # preflight compares it with nodes
            assert size == (sizes["requests"][resource], sizes["limits"][resource]), (
                "what preflight compares with nodes"
            )
        assert [container["name"] for container in pod["containers"]] == [train_job.CONTAINER]
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounts[train_job.WORKSPACE_VOLUME] == str(train_job.TrainJobSettings(image="x").mount)
        assert mounts[train_job.SHARED_MEMORY_VOLUME] == "/dev/shm"


def test_names_are_in_the_namespace(rendered) -> None:
    free = {"Namespace", "PriorityClass", "ClusterTrainingRuntime", "ClusterRole", "ClusterRoleBinding"}
    for folder, items in rendered.items():
        namespace = "kubeflow" if folder == "overlays/local" else "labram"
        assert all(item["metadata"].get("namespace") == namespace for item in items if item["kind"] not in free)


def test_pods_are_held_to_the_restricted_standard(documents, templates) -> None:
    (namespace,) = (item for item in documents if item["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in templates:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod.get("volumes", []))
    for container in (it for it in containers(templates) if it["name"] != "owner"):  # see test_places
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_containers_have_limits_and_an_image_by_digest(templates) -> None:
    for container in containers(templates):
        for side in ("requests", "limits"):
            assert set(container["resources"][side]) >= {"cpu", "memory"}
        assert re.fullmatch(r"[\w./-]+@sha256:[0-9a-f]{64}", container["image"])


def test_servers_have_probes_and_jobs_a_deadline(documents) -> None:
    for item in documents:
        if item["kind"] in {"Deployment", "StatefulSet", "InferenceService"}:
            for pod in pods(item):
                assert all({"startupProbe", "readinessProbe", "livenessProbe"} <= set(c) for c in pod["containers"])
        if item["kind"] == "Job":
            assert item["spec"]["activeDeadlineSeconds"]
        if item["kind"] == "CronJob":
            assert item["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
            assert item["spec"]["concurrencyPolicy"] == "Forbid"


def test_services_get_no_token_of_the_kubernetes_api(templates) -> None:
    """All but the keeper of runs, which reads their workflows."""
    for pod in templates:
        if pod["serviceAccountName"] != "labram-runs":
            assert pod["serviceAccountName"] == "labram-service"
            assert pod["automountServiceAccountToken"] is False


def test_no_role_is_wider_than_its_verbs(documents) -> None:
    roles = [item for item in documents if item["kind"] == "Role"]
    assert {role["metadata"]["name"] for role in roles} == {"labram-task", "labram-train-jobs", "labram-runs"}
    (wide,) = (item for item in documents if item["kind"] == "ClusterRole")
    read = {(resource, verb) for rule in wide["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert read == {("nodes", "list"), ("storageclasses", "get"), ("clustertrainingruntimes", "get")}
    for binding in (item for item in documents if item["kind"].endswith("RoleBinding")):
        account = "labram-runs" if binding["metadata"]["name"] == "labram-runs" else "labram-task"
        (subject,) = binding["subjects"]
        assert (subject["kind"], subject["name"]) == ("ServiceAccount", account)
        assert subject["namespace"] in {"labram", "kubeflow"}
    for rule in (rule for role in roles for rule in role["rules"]):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"], "Secrets are readable by name alone"
            assert rule["verbs"] == ["get"]


def test_everything_is_forbidden_that_is_not_opened(rendered) -> None:
    for folder in ["overlays/airgapped"]:
        policies = {i["metadata"]["name"]: i["spec"] for i in rendered[folder] if i["kind"] == "NetworkPolicy"}
        assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        servers = (item for item in rendered[folder] if item["kind"] in {"Deployment", "StatefulSet"})
        opened = [server["spec"]["template"]["metadata"]["labels"] for server in servers]
        selected = [spec["podSelector"].get("matchLabels", {}) for spec in policies.values()]
        assert all(any(labels.items() >= chosen.items() and chosen for chosen in selected) for labels in opened)


def test_without_a_way_out_nothing_is_opened_to_everywhere(rendered) -> None:
    for item in rendered["overlays/airgapped"]:
        if item["kind"] == "NetworkPolicy":
            assert all(rule.get("to") for rule in item["spec"].get("egress", []))
    images = [
        container["image"] for item in rendered["overlays/airgapped"] for container in containers(list(pods(item)))
    ]
    assert all(image.startswith("registry.internal/") for image in images)


def test_pods_that_serve_name_one_version_and_run_the_server_that_checks_requests(documents) -> None:
    """An alias would let pods that restart after a promotion serve another version than the others."""
    for item in (item for item in documents if item["kind"] == "InferenceService"):
        (container,) = item["spec"]["predictor"]["containers"]
        assert (container["command"], container["args"][:2]) == (["labram"], ["serve", "$(LABRAM_MODEL)"])
        name = container["env"][0]
        assert name["name"] == "LABRAM_MODEL", "docs/kubernetes.md patches the first variable"
        assert re.fullmatch(r"models:/[\w-]+/\d+", name["value"])


def test_no_secret_is_here_and_those_that_are_needed_are_known(documents) -> None:
    assert not any(item["kind"] == "Secret" for item in documents)
    text = yaml.safe_dump_all(documents)
    used = {(name, key) for part in references(documents) for name, key in [(part["name"], part["key"])]}
    assert {name for name, _ in used} <= set(SECRET_KEYS)
    assert all(key in SECRET_KEYS[name] for name, key in used)
    assert "BEGIN" not in text
    assert "AKIA" not in text


def references(part: object) -> Iterator[dict]:
    if isinstance(part, dict):
        if "secretKeyRef" in part:
            yield part["secretKeyRef"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for item in part:
            yield from references(item)


def test_clients_of_mlflow_are_let_in_by_the_names_that_they_use(documents) -> None:
    (server,) = (c for c in containers([p for i in documents if i["kind"] == "Deployment" for p in pods(i)][:1])
                 if c["name"] == "mlflow")  # fmt: skip
    hosts = next(argument for argument in server["args"] if argument.startswith("--allowed-hosts="))
    (config, *_) = (i for i in documents if i["kind"] == "ConfigMap" and i["metadata"]["name"] == "labram-environment")
    assert config["data"]["MLFLOW_TRACKING_URI"].removeprefix("http://").replace("5000", "*") in hosts
    assert {"--app-name=basic-auth", "--host=0.0.0.0"} <= set(server["args"])


def test_tasks_get_every_variable_that_the_config_map_sets_and_the_guide_explains_it(documents) -> None:
    guide = (K8S.parent / "docs" / "kubernetes.md").read_text()
    for item in documents:
        if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "labram-environment":
            assert set(item["data"]) <= set(ENVIRONMENT)
    assert all(f"`{variable}`" in guide for variable in ENVIRONMENT)


def test_the_workspace_can_be_mounted_by_tasks_on_several_nodes(rendered) -> None:
    for folder, modes in (("overlays/cloud", ["ReadWriteMany"]), ("overlays/local", ["ReadWriteOnce"])):
        (claim,) = (i for i in rendered[folder] if i["metadata"]["name"] == "labram-workspace")
        assert claim["spec"]["accessModes"] == modes


def test_services_come_before_trainings_and_nothing_ends_another_pod(documents) -> None:
    classes = {item["metadata"]["name"]: item for item in documents if item["kind"] == "PriorityClass"}
    assert classes["labram-service"]["value"] > classes["labram-training"]["value"]
    assert all(item["preemptionPolicy"] == "Never" for item in classes.values())


def test_tasks_reach_the_pods_of_kfps_object_store_old_and_new(rendered) -> None:
    """A policy sees the pod's port: 8333 for SeaweedFS (KFP 2.15), where the Service has 9000; MinIO's is 9000."""
    for folder in ["overlays/cloud", "overlays/airgapped"]:
        (tasks,) = (i for i in rendered[folder] if i["kind"] == "NetworkPolicy" and i["metadata"]["name"] == "tasks")
        ports = {port["port"] for rule in tasks["spec"]["egress"] for port in rule["ports"]}
        assert {8333, 9000} <= ports


def test_the_keeper_of_runs_may_do_what_its_command_asks_and_no_more(documents) -> None:
    """`labram pipeline runs --retry` lists experiments, runs and workflows, reads and retries runs, and asks MLflow."""
    role, *_ = (i for i in documents if i["kind"] == "Role" and i["metadata"]["name"] == "labram-runs")
    allowed = {(what, verb) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    assert allowed == {
        *(("runs", verb) for verb in ("get", "list", "retry")),
        *(("experiments", verb) for verb in ("get", "list")),
        ("workflows", "list"),
    }
    job, *_ = (i for i in documents if i["kind"] == "CronJob" and i["metadata"]["name"] == "labram-runs")
    (pod,) = pods(job)
    (container,) = pod["containers"]
    options = typer.main.get_command(app).commands["pipeline"].commands["runs"].params
    from_environment = {option.envvar for option in options if option.envvar}
    assert container["command"] == ["labram", "pipeline", "runs", "--retry"]
    assert from_environment == {"KF_PIPELINES_ENDPOINT", "LABRAM_NAMESPACE"}
    given = {entry["name"] for entry in container["env"]} | {"KF_PIPELINES_ENDPOINT", "MLFLOW_TRACKING_URI"}
    accounts = {"KF_PIPELINES_SA_TOKEN_PATH", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    assert from_environment | accounts <= given
    (config, *_) = (i for i in documents if i["kind"] == "ConfigMap" and i["metadata"]["name"] == "labram-environment")
    assert {"KF_PIPELINES_ENDPOINT", "MLFLOW_TRACKING_URI"} <= set(config["data"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (token,) = (v["projected"]["sources"][0]["serviceAccountToken"] for v in pod["volumes"] if "projected" in v)
    path = next(entry["value"] for entry in container["env"] if entry["name"] == "KF_PIPELINES_SA_TOKEN_PATH")
    assert (f"{mounts['token']}/{token['path']}", token["audience"]) == (path, "pipelines.kubeflow.org")


def test_the_services_of_the_local_overlay_leave_room_for_the_small_profile(rendered) -> None:
    """tests/steps/test_sizes.py adds what runs at once."""
    kinds = {"Deployment", "StatefulSet"}
    lasting = [i for i in rendered["overlays/local"] if i["kind"] in kinds or i["metadata"]["name"] == "labram-runs"]
    requests = [c["resources"]["requests"] for item in lasting for pod in pods(item) for c in pod["containers"]]
    assert len(requests) == 3
    assert sum(float(parse(request["cpu"])) for request in requests) <= SERVICES_CPU + 1e-9
    assert sum(float(parse(request["memory"])) for request in requests) / 2**30 <= SERVICES_GIB
