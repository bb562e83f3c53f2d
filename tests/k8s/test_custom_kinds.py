"""Documents of other projects' kinds hold to what those projects document: every field known, every value allowed.

The models hold the fields that labram uses, as the documentation of KServe 0.15 to 0.21, of the Prometheus operator's
`monitoring.coreos.com/v1` and of Karpenter 1 describes them; a field that is in no model is an error.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import InvalidSchemaError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

K8S = Path(__file__).parents[2] / "k8s"
Span = Annotated[str, Field(pattern=r"^([0-9]+(s|m|h))+$")]
Duration = Annotated[
    str, Field(pattern=r"^(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?$", min_length=2)
]
Label = Annotated[str, Field(pattern=r"^[a-z0-9A-Z]([\w.-]*[a-z0-9A-Z])?$", max_length=63)]
Words = Annotated[str, Field(min_length=1)]


class Part(BaseModel):
    """A part of a document, with no field but those named."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Part):
    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Predictor(BaseModel):
    """KServe's own fields; what is left over is a pod's."""

    model_config = ConfigDict(extra="allow", strict=True)

    minReplicas: Annotated[int, Field(ge=0)]
    maxReplicas: Annotated[int, Field(ge=1)]
    scaleMetric: Literal["cpu", "memory", "concurrency", "rps"]
    scaleTarget: Annotated[int, Field(ge=1, le=100)]

    @model_validator(mode="after")
    def _can_be_scaled(self) -> "Predictor":
        if self.minReplicas > self.maxReplicas:
            raise ValueError("minReplicas is above maxReplicas")
        if self.scaleMetric in {"concurrency", "rps"}:
            raise ValueError("only Knative scales by concurrency or rps")
        return self

    @model_validator(mode="after")
    def _is_a_pod(self) -> "Predictor":
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "predictor"}, "spec": self.model_extra}
        try:
            kubernetes_validate.validate(pod, "1.36", strict=True)
        except (kubernetes_validate.ValidationError, InvalidSchemaError) as error:
            raise ValueError(str(error)) from error
        if self.model_extra["containers"][0]["name"] != "kserve-container":
            raise ValueError("KServe routes to the container kserve-container")
        return self


class InferenceServiceSpec(Part):
    predictor: Predictor


class InferenceService(Part):
    apiVersion: Literal["serving.kserve.io/v1beta1"]
    kind: Literal["InferenceService"]
    metadata: Metadata
    spec: InferenceServiceSpec


class Alert(Part):
    alert: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")]
    expr: Words
    for_: Annotated[Duration, Field(alias="for")] = "0s"
    labels: dict[Annotated[str, Field(pattern=r"^[a-zA-Z_]\w*$")], str]
    annotations: dict[Literal["summary", "description", "runbook_url"], Words]


class RuleGroup(Part):
    name: Words
    interval: Duration = "1m"
    rules: Annotated[list[Alert], Field(min_length=1)]


class PrometheusRuleSpec(Part):
    groups: list[RuleGroup]


class PrometheusRule(Part):
    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: PrometheusRuleSpec


class NodeClassReference(Part):
    group: Literal["karpenter.k8s.aws"]
    kind: Literal["EC2NodeClass"]
    name: Words


class Taint(Part):
    key: Words
    value: Label
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class Requirement(Part):
    key: Words
    operator: Literal["In", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[Label]


class NodeTemplateSpec(Part):
    nodeClassRef: NodeClassReference
    taints: list[Taint]
    requirements: Annotated[list[Requirement], Field(min_length=1)]
    expireAfter: Span | Literal["Never"]


class NodeMetadata(Part):
    labels: dict[str, Label]


class NodeTemplate(Part):
    metadata: NodeMetadata
    spec: NodeTemplateSpec


class Disruption(Part):
    consolidationPolicy: Literal["WhenEmpty", "WhenEmptyOrUnderutilized"]
    consolidateAfter: Span | Literal["Never"]


class NodePoolSpec(Part):
    template: NodeTemplate
    limits: dict[str, Annotated[str, Field(pattern=r"^[0-9]+$")]]
    disruption: Disruption


class NodePool(Part):
    apiVersion: Literal["karpenter.sh/v1"]
    kind: Literal["NodePool"]
    metadata: Metadata
    spec: NodePoolSpec


class Image(Part):
    """An alias is alone in its list, and ``latest`` would replace the nodes whenever AWS has a new image."""

    alias: Annotated[str, Field(pattern=r"^(al2|al2023|bottlerocket)@(VERSION|v[0-9.]+)$", max_length=30)]


class Tagged(Part):
    tags: Annotated[dict[Words, Words], Field(min_length=1, max_length=20)]


class Ebs(Part):
    volumeSize: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}Gi$")]
    volumeType: Literal["gp2", "gp3", "io1", "io2", "sc1", "st1", "standard"]
    encrypted: Literal[True]


class BlockDevice(Part):
    deviceName: Annotated[str, Field(pattern=r"^/dev/(xvd|sd)[a-z]$")]
    ebs: Ebs


class NodeClassSpec(Part):
    role: Words
    amiSelectorTerms: Annotated[list[Image], Field(min_length=1, max_length=1)]
    subnetSelectorTerms: Annotated[list[Tagged], Field(min_length=1)]
    securityGroupSelectorTerms: Annotated[list[Tagged], Field(min_length=1)]
    blockDeviceMappings: list[BlockDevice]


class EC2NodeClass(Part):
    apiVersion: Literal["karpenter.k8s.aws/v1"]
    kind: Literal["EC2NodeClass"]
    metadata: Metadata
    spec: NodeClassSpec


MODELS: dict[str, type[Part]] = {
    model.__name__: model for model in (InferenceService, PrometheusRule, NodePool, EC2NodeClass)
}


@pytest.fixture(scope="session")
def custom(documents) -> dict[str, dict]:
    """One document of each kind."""
    pools = list(yaml.safe_load_all((K8S / "pools" / "eks.yaml").read_text()))
    return {item["kind"]: item for item in [*documents, *pools] if item["kind"] in MODELS}


@pytest.mark.parametrize("kind", MODELS)
def test_every_document_of_a_custom_kind_is_one(documents, custom, kind) -> None:
    for item in (i for i in [*documents, custom[kind]] if i["kind"] == kind):
        MODELS[kind].model_validate(item)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("InferenceService", "spec.predictor.minReplica", 2),
        ("InferenceService", "spec.predictor.minReplicas", 9),
        ("InferenceService", "spec.predictor.scaleMetric", "rps"),
        ("InferenceService", "spec.predictor.containers.0.image_", "x"),
        ("InferenceService", "spec.predictor.containers.0.name", "server"),
        ("PrometheusRule", "spec.groups.0.rules.0.for", "5 minutes"),
        ("PrometheusRule", "spec.groups.0.rules.0.expression", "up"),
        ("NodePool", "spec.template.spec.expireAfter", "14d"),
        ("NodePool", "spec.disruption.consolidationPolicy", "WhenUnderutilized"),
        ("NodePool", "spec.template.spec.nodeClassRef.apiVersion", "karpenter.k8s.aws/v1beta1"),
        ("EC2NodeClass", "spec.amiSelectorTerms.0.alias", "al2023@latest"),
        ("EC2NodeClass", "spec.amiFamilly", "AL2023"),
        ("EC2NodeClass", "apiVersion", "karpenter.k8s.aws/v1beta1"),
    ],
)
def test_what_the_kind_does_not_have_is_refused(custom, kind, path, value) -> None:
    document = yaml.safe_load(yaml.safe_dump(custom[kind]))
    *parents, last = path.split(".")
    part: Any = document
    for name in parents:
        part = part[int(name)] if name.isdecimal() else part[name]
    part[last] = value
    with pytest.raises(ValidationError):
        MODELS[kind].model_validate(document)


def test_a_pool_is_the_same_label_and_taint_wherever_it_is(custom) -> None:
    template = custom["NodePool"]["spec"]["template"]
    assert template["metadata"]["labels"] == {"labram.dev/pool": "gpu"}
    assert template["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    assert template["spec"]["nodeClassRef"]["name"] == custom["EC2NodeClass"]["metadata"]["name"]
    assert "labram.dev/pool=gpu" in (K8S / "pools" / "gke.sh").read_text()
    readme = (K8S / "pools" / "README.md").read_text()
    assert "labram.dev/pool=gpu" in readme
    assert "nvidia.com/gpu=present:NoSchedule" in readme


def test_the_alerts_are_about_things_that_are_there(documents, custom) -> None:
    text = yaml.safe_dump(custom["PrometheusRule"]["spec"])
    names = {item["metadata"]["name"] for item in documents}
    assert set(re.findall(r'(?:deployment|cronjob)="([^"]+)"', text)) <= names
    assert set(re.findall(r'namespace="([^"]+)"', text)) == {"labram"}


SERIES = {
    "LabramMlflowDown": ('kube_deployment_status_replicas_available{namespace="labram", deployment="mlflow"}', "0x60"),
    "LabramBackupMissing": (
        'kube_cronjob_status_last_successful_time{namespace="labram", cronjob="database-backup"}',
        "-130000x60",
    ),
    "LabramTaskPending": ('kube_pod_status_phase{namespace="labram", pod="p", phase="Pending"}', "1x60"),
}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_an_alert_fires_when_it_should_and_not_before(custom, tmp_path) -> None:
    """Prometheus' own unit test of rules: a series holds from minute 0 on, its alert is asked for at its time."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(custom["PrometheusRule"]["spec"]))
    waits = {rule["alert"]: rule.get("for", "0m") for rule in custom["PrometheusRule"]["spec"]["groups"][0]["rules"]}
    cases = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values}],
            "promql_expr_test": [
                {"expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})', "eval_time": waits[alert],
                 "exp_samples": [{"labels": "{}", "value": 1}]},
            ],
        }
        for alert, (series, values) in SERIES.items()
    ]  # fmt: skip
    quiet = {
        "interval": "1m",
        "input_series": [{"series": SERIES["LabramMlflowDown"][0], "values": "2x60"}],
        "promql_expr_test": [{"expr": "count(ALERTS)", "eval_time": "30m", "exp_samples": []}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [*cases, quiet]}))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
