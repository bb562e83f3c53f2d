"""The services start as the manifests say, and a look at where things lie finds what is missing or left behind."""

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue

import boto3
import pandas as pd
import pytest
import requests
import yaml

from labram import recipe as recipes
from labram.errors import PlatformError, RegistryError
from tests.integration import servers
from tests.integration import storage_checks as checks

WEIGHTS = b"weights"
ADMIN = secrets.token_hex(8)
LOCAL_WEBHOOKS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
}
"""Settings of MLflow's server for receivers on this machine; by default it calls public HTTPS addresses only."""
CHAMPION = servers.BASE.parent / "components" / "serving" / "champion.yaml"


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> Path:
    """What MLflow's server says."""
    return tmp_path_factory.mktemp("services") / "mlflow.log"


@pytest.fixture(scope="module")
def database(log) -> Iterator[str]:
    """All services, found by the standard variables; the address of PostgreSQL."""
    if not list(servers.POSTGRESQL.glob("*/bin/initdb")):
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with ExitStack() as services, pytest.MonkeyPatch.context() as patch:
        for name, value in services.enter_context(servers.object_store(log.with_name("s3.log"))).items():
            patch.setenv(name, value)
        for bucket in checks.BUCKETS:
            checks.Objects().create_bucket(bucket)
        for name, value in LOCAL_WEBHOOKS.items():
            patch.setenv(name, value)
        address = services.enter_context(servers.database())
        account = services.enter_context(servers.tracking(address, f"s3://{checks.MODELS}", log, admin=ADMIN))
        for name, value in account.items():
            patch.setenv(name, value)
        yield address


@pytest.fixture(scope="module")
def champion(database, tmp_path_factory) -> str:
    """A model that was registered over HTTP and promoted, with a run that has a metric and the report."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "config.json").write_text("{}")
    (folder / "report.html").write_text("the report")
    from labram.registry import model_registry
    from labram.tracking import mlflow_runs

    mlflow_runs.configure(folder)
    client = model_registry.client()
    run = client.create_run(mlflow_runs.experiment_id(client)).info.run_id
    client.log_metric(run, "loss", 1.0)
    client.log_artifact(run, str(folder / "report.html"))
    made = model_registry.register(
        "labram-gait", folder, run_id=run, recipe=recipes.load("demo"), lineage={"git_commit": "abc"}, card="a card"
    )
    client.set_registered_model_alias(made.name, model_registry.CHAMPION, made.version)
    return str(made.version)


def put(bucket: str, name: str, content: bytes) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key=name, Body=content)


def remove(bucket: str, name: str) -> None:
    boto3.client("s3").delete_object(Bucket=bucket, Key=name)


def test_mlflow_keeps_runs_in_postgresql_and_weights_in_the_bucket(database, champion) -> None:
    put(checks.ARTIFACTS, "runs/r/finetune/model/model.safetensors", WEIGHTS)
    assert checks.models_are_those_of_the_tasks(checks.Objects(), 1).startswith("weights of 1 models")
    assert checks.champions_are_in_the_database(database, {"labram-gait": champion}).startswith(
        "1 champions, 1 metrics"
    )
    with pytest.raises(PlatformError, match="expected 2 models"):
        checks.models_are_those_of_the_tasks(checks.Objects(), 2)
    with pytest.raises(PlatformError, match="champions in PostgreSQL: expected"):
        checks.champions_are_in_the_database(database, {"labram-gait": "7"})


class Buckets(checks.Objects):
    """Objects of both buckets, without a server."""

    def __init__(self, models: dict[str, bytes], artifacts: dict[str, bytes]) -> None:
        self.content = {checks.MODELS: models | {"1/report.html": b""}, checks.ARTIFACTS: artifacts}

    def listing(self, bucket: str) -> list[str]:
        return list(self.content[bucket])

    def read(self, bucket: str, name: str) -> bytes:
        return self.content[bucket][name]


def test_two_models_may_have_equal_weights_but_none_may_be_missing() -> None:
    """Probes leave the backbone as it is: the demo has two tasks with six outputs."""
    file = checks.WEIGHTS[0]
    three = {f"{task}/{file}": weights for task, weights in (("a", b"1"), ("b", b"2"), ("c", b"2"))}
    assert checks.models_are_those_of_the_tasks(Buckets(three, three), 3).startswith("weights of 3 models")
    two = {name: weights for name, weights in three.items() if not name.startswith("c")}
    with pytest.raises(PlatformError, match="expected 3 models, got 2 in MLflow and 3 from tasks"):
        checks.models_are_those_of_the_tasks(Buckets(two, three), 3)


def test_a_model_does_not_bring_the_steps_and_commands_along(champion) -> None:
    along = {name.partition("/code/")[2] for name in checks.Objects().listing(checks.MODELS) if "/code/" in name}
    assert {"labram/inference/predictor.py", "labram/models/encoder.py"} <= along
    assert not [
        name
        for name in along
        if name.startswith(
            ("labram/steps", "labram/cli", "labram/tracking", "labram/registry", "labram/reporting", "labram/platform")
        )
    ]


def test_a_serving_pod_gets_its_model_from_mlflow_alone(champion, log, monkeypatch) -> None:
    """MLflow's client fetches from the bucket by addresses that the server signs if it is told to; ours is not."""
    from labram.registry import model_registry

    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "true")

    def signed() -> int:
        model_registry.local_folder(f"models:/labram-gait/{champion}")
        return log.read_text().count("/presigned/")

    before = signed()
    assert before > 0
    (pod,) = (d for d in yaml.safe_load_all(CHAMPION.read_text()) if d["kind"] == "InferenceService")
    for entry in pod["spec"]["predictor"]["containers"][0]["env"]:
        if entry["name"].startswith("MLFLOW_") and "value" in entry:
            monkeypatch.setenv(entry["name"], entry["value"])
    assert signed() == before


def test_of_eight_promotions_on_postgresql_one_moves_the_champion_and_all_moves_are_logged(champion) -> None:
    from labram.registry import audit, model_registry
    from labram.registry.promotion import promote, rollback
    from tests.registry.test_promotion import aliases, verdict, versions

    versions("labram-race", 9, model_registry.get_version("labram-gait", champion).run_id)
    promote(verdict("labram-race", "1", None), why="first")

    def attempt(number: int) -> bool:
        try:
            return promote(verdict("labram-race", str(number), "1"), why="race").moved
        except RegistryError:
            return False

    with ThreadPoolExecutor(8) as pods:
        won = list(pods.map(attempt, range(2, 10)))
    assert won.count(True) == 1
    winner = str(2 + won.index(True))
    assert aliases("labram-race")[model_registry.CHAMPION] == winner
    rollback("labram-race", why="it drifts")
    moves = [(entry.entry.action, entry.entry.version) for entry in audit.read("labram-race")]
    assert moves == [("promoted", "1"), ("promoted", winner), ("restored", "1")]
    assert audit.check() == []


def test_half_way_states_on_postgresql_are_found_and_finished(champion, tmp_path) -> None:
    from labram.platform.doctor import check_registry
    from labram.registry import audit, model_registry
    from labram.registry.promotion import promote
    from tests.registry.test_promotion import aliases, verdict, versions

    versions("labram-half", 2, model_registry.get_version("labram-gait", champion).run_id)
    promote(verdict("labram-half", "1", None), why="first")
    audit.begin(audit.Entry(action="promoted", model="labram-half", version="2", previous="1", why="killed"))
    said = [finding.detail for finding in check_registry(tmp_path)]
    assert "fixed: labram-half version 2: finished a move that was interrupted (promoted)" in said
    assert aliases("labram-half") == {model_registry.CHAMPION: "2", model_registry.PREVIOUS: "1"}


def test_predictions_and_lineage_come_back_from_the_server(champion, tmp_path) -> None:
    from labram.registry import model_registry, predictions, provenance
    from tests.registry.test_comparison import answers

    version = model_registry.get_version("labram-gait", champion)
    answers(1.0).write(tmp_path / "predictions.parquet")
    predictions.log(version.run_id, "gait", tmp_path / "predictions.parquet")
    assert predictions.read(version.run_id, "gait").same_windows(answers(1.0))
    assert provenance.flat(version)["git_commit"] == "abc"


def test_only_the_account_of_the_tasks_is_let_in(database) -> None:
    def status(user: str, password: str) -> int:
        address = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
        return requests.post(address, json={"max_results": 1}, auth=(user, password), timeout=30).status_code

    assert status("labram", os.environ["MLFLOW_TRACKING_PASSWORD"]) == 200
    assert status("labram", "another") == 401


def account(patch: pytest.MonkeyPatch, name: str, permission: str, **resources: str) -> None:
    """Create an account with one permission on some resources, and use it."""
    password, server = secrets.token_hex(8), os.environ["MLFLOW_TRACKING_URI"]

    def ask(route: str, **content: str) -> None:
        requests.post(f"{server}/api/{route}", json=content, auth=("admin", ADMIN), timeout=60).raise_for_status()

    ask("2.0/mlflow/users/create", username=name, password=password)
    for kind, resource in resources.items():
        grant = {"username": name, "resource_type": kind, "resource_id": resource, "permission": permission}
        ask("3.0/mlflow/users/permissions/grant", **grant)
    patch.setenv("MLFLOW_TRACKING_USERNAME", name)
    patch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def test_loading_verifying_and_serving_need_read_alone_and_it_allows_no_move(
    champion, task_folder, tmp_path, monkeypatch
) -> None:
    pytest.importorskip("model_signing.signing")
    from mlflow.exceptions import MlflowException

    from labram.cli.model_argument import resolve
    from labram.registry import audit, model_registry, promotion, signing, smoke_test
    from labram.system_errors import as_sentence
    from labram.tracking import mlflow_runs
    from tests.registry.test_promotion import verdict
    from tests.registry.test_signing import key_pair

    name, (private, public) = "labram-read", key_pair(tmp_path, "ours")
    run = model_registry.get_version("labram-gait", champion).run_id
    for commit in ("abc", "def"):
        model_registry.register(
            name, task_folder, run_id=run, recipe=recipes.load("demo"), lineage={"git_commit": commit}, card="a card"
        )
    promotion.promote(verdict(name, "1", None), why="first")
    signing.sign(model_registry.get_version(name, "1"), private)
    experiment = mlflow_runs.experiment_id(model_registry.client())
    account(monkeypatch, "reader", "READ", registered_model=name, experiment=experiment)
    served, folder = resolve(f"models:/{name}@champion", tmp_path, public)
    signals = smoke_test._signals(smoke_test.WINDOWS, smoke_test.CHANNELS, smoke_test.SECONDS)
    answer = smoke_test._serve(folder, name, served.version, signals, smoke_test.CHANNELS)
    assert not isinstance(answer, Exception), answer
    assert answer.shape == (smoke_test.WINDOWS,)
    for move in (
        lambda: promotion.promote_version(name, "2", override="mine"),
        lambda: promotion.reject(name, "2", why="mine"),
        lambda: signing.sign(model_registry.get_version(name, "1"), private),
    ):
        with pytest.raises((MlflowException, requests.HTTPError)) as refused:
            move()
        stated = as_sentence(refused.value)
        assert "ermission" in stated.problem or "403" in stated.problem
        assert "READ, EDIT or MANAGE" in stated.remedy
    assert audit.interrupted() == [], "no move is left for others to finish"
    assert model_registry.get_by_alias(name, model_registry.CHAMPION).version == "1"


def test_a_name_of_the_server_that_it_does_not_allow_is_named(database) -> None:
    from labram.platform.doctor import services

    server = os.environ["MLFLOW_TRACKING_URI"]
    other = services.mlflow(server.replace("localhost", "127.0.0.1"))
    assert (other.state, "rejects this host name (403)" in other.detail) == ("error", True)
    assert "--allowed-hosts" in other.remedy
    assert services.mlflow(server).state == "ok"


def test_of_eight_that_meet_a_server_without_the_experiment_each_gets_the_same(database) -> None:
    from labram.registry import model_registry
    from labram.tracking.mlflow_runs import find_or_create_experiment

    client = model_registry.client()
    with ThreadPoolExecutor(8) as pods:
        found = set(pods.map(lambda _: find_or_create_experiment(client, "cold"), range(8)))
    assert found == {client.get_experiment_by_name("cold").experiment_id}


@pytest.mark.attack
def test_of_three_servers_that_meet_an_empty_database_one_creates_it_and_all_start(database) -> None:
    servers.do(f"{servers.programs()}/psql", f"{database}/postgres", "-c", "CREATE DATABASE cold")
    pod = servers._manifest("mlflow.yaml", "Deployment")["spec"]["template"]["spec"]
    (schema,) = pod["initContainers"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_BACKEND_STORE_URI": f"{database}/cold"}
    pods = [subprocess.Popen(schema["command"], env=environment, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [pod.wait() for pod in pods] == [0, 0, 0]
    servers.do(f"{servers.programs()}/psql", f"{database}/cold", "-c", "SELECT count(*) FROM registered_models")


def test_a_webhook_of_mlflow_tells_of_a_promotion_and_of_an_approval(champion, monkeypatch) -> None:
    from labram.registry import model_registry
    from labram.registry.promotion import promote
    from tests.registry.test_promotion import verdict, versions

    received: SimpleQueue[dict] = SimpleQueue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.put({**content["data"], "what": f"{content['entity']}.{content['action']}"})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    versions("labram-hook", 1, model_registry.get_version("labram-gait", champion).run_id)
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server, monkeypatch.context() as administrator:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        administrator.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        administrator.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN)
        events = ["model_version_alias.created", "model_version_tag.set"]
        model_registry.client().create_webhook("deploy", f"http://127.0.0.1:{server.server_port}", events)
        promote(verdict("labram-hook", "1", None), why="first")
        said = []
        while {"model_version_alias.created", "model_version_tag.set"} - {one["what"] for one in said}:
            said.append(received.get(timeout=60))
        server.shutdown()
    moved = next(one for one in said if one["what"] == "model_version_alias.created")
    assert (moved["name"], moved["alias"], moved["version"]) == ("labram-hook", "champion", "1")


def test_a_file_of_the_corpus_that_was_not_pushed_is_found(database, tmp_path) -> None:
    file = md5(b"recording").hexdigest()
    listed = json.dumps([{"md5": file, "relpath": "a.edf"}]).encode()
    version = f"{md5(listed).hexdigest()}.dir"
    (tmp_path / "data.dvc").write_text(json.dumps({"outs": [{"md5": version, "path": "data"}]}))
    for name, content in ((file, b"recording"), (version, listed)):
        put(checks.CORPUS, f"corpus/files/md5/{name[:2]}/{name[2:]}", content)
    assert checks.corpus_is_in_the_remote(checks.Objects(), tmp_path) == f"corpus {version}: 1 files"
    remove(checks.CORPUS, f"corpus/files/md5/{file[:2]}/{file[2:]}")
    with pytest.raises(PlatformError, match="1 files of the corpus are not in the bucket"):
        checks.corpus_is_in_the_remote(checks.Objects(), tmp_path)


def test_patches_of_an_accepted_recording_that_are_not_in_the_store_are_found(database, tmp_path) -> None:
    catalogue = pd.DataFrame({"store_key": ["aa1", ""], "verdict": ["accepted", "quarantined"]})
    catalogue.to_parquet(tmp_path / "catalogue.parquet")
    put(
        checks.ARTIFACTS,
        "runs/r/quality/corpus/catalogue.parquet",
        (tmp_path / "catalogue.parquet").read_bytes(),
    )
    with pytest.raises(PlatformError, match=r"such as v1/aa/aa1\.arrow"):
        checks.patches_are_in_the_store(checks.Objects())
    put(checks.PATCHES, "v1/aa/aa1.arrow", b"patches")
    assert checks.patches_are_in_the_store(checks.Objects()) == "patches of 1 recordings"


def test_an_artefact_that_is_no_object_is_found(database, tmp_path) -> None:
    def said(uri: str) -> Path:
        folder = tmp_path / "pipeline" / "run" / "task"
        folder.mkdir(parents=True, exist_ok=True)
        answer = {"artifacts": {"made": {"artifacts": [{"uri": uri}]}}}
        (folder / "executor_output.json").write_text(json.dumps(answer))
        return tmp_path

    put(checks.ARTIFACTS, "runs/run/task/made/a.json", b"{}")
    here = said(f"s3://{checks.ARTIFACTS}/runs/run/task/made")
    assert checks.artifacts_are_objects(checks.Objects(), here) == "1 artifacts of 1 tasks"
    with pytest.raises(PlatformError, match="artifacts of tasks are not in the bucket"):
        checks.artifacts_are_objects(checks.Objects(), said(str(tmp_path / "pipeline" / "run" / "task" / "made")))


@pytest.mark.parametrize("left", ["pipeline/r/t/model/model.safetensors", "store/aa/a.arrow", "mlflow/mlflow.db"])
def test_what_should_be_at_an_address_and_is_here_is_found(tmp_path, left: str) -> None:
    checkpoint = tmp_path / "checkpoints" / "step-000001" / "weights.safetensors"
    for path in (checkpoint, tmp_path / "runs" / "r" / "report.html"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert checks.nothing_else_is_here(tmp_path).startswith("2 files")
    (tmp_path / left).parent.mkdir(parents=True)
    (tmp_path / left).touch()
    with pytest.raises(PlatformError, match="belong at an address"):
        checks.nothing_else_is_here(tmp_path)


def test_a_server_that_ends_at_once_is_named_with_its_log(tmp_path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no room')"]
    with (
        pytest.raises(PlatformError, match="MLflow does not start"),
        servers._server("MLflow", command, "http://127.0.0.1:9", tmp_path / "log"),
    ):
        pass
    assert (tmp_path / "log").read_text() == "no room\n"
