"""Servers on loopback that keep state: Kubeflow Pipelines' API, and as much of Kubernetes' as kubectl reads."""

import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from labram.platform.doctor import kubernetes

LISTS = {"pipelines": "pipelines", "experiments": "experiments", "recurringruns": "recurringRuns", "runs": "runs"}
IDS = {
    "pipelines": "pipeline_id",
    "experiments": "experiment_id",
    "recurringruns": "recurring_run_id",
    "runs": "run_id",
}


class State:
    """Everything that the server holds, and every request that changed it."""

    def __init__(self) -> None:
        self.health: dict = {"multi_user": False, "pipeline_store": "database"}
        self.tables: dict[str, dict[str, dict]] = {name: {} for name in (*LISTS, "versions")}
        self.changes: list[tuple[str, str]] = []
        self.scripts: dict[str, list[dict]] = {}
        self.states: list[dict] = [{"state": "SUCCEEDED"}]
        """What a run says of itself, look by look; the last is repeated."""
        self.said: dict[str, str] = {}
        """The state that each run has said last."""
        self.documents: dict[str, dict] = {}
        self.failures: list[int] = []
        self.token = self.pod_token = ""
        self.forbidden: set[str] = set()
        self.tracking = 0
        """What MLflow would answer with."""
        self.artifacts = 200
        """What MLflow would answer to an upload."""
        self.images: dict[str, str] = {}
        """Names of images in the registry, and who may pull each: all, all with a token, or none."""
        self.page = 2


class Handler(BaseHTTPRequestHandler):
    state: State

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_any(self) -> None:
        state, address = self.state, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if not address.path.startswith("/apis/v2beta1/"):
            return self.elsewhere(address.path, query)
        if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
            return self.answer(401, {"message": "no"})
        if state.failures:
            return self.answer(state.failures.pop(0), {"message": "busy"})
        parts = address.path.removeprefix("/apis/v2beta1/").split("/")
        if parts == ["healthz"]:
            return self.answer(200, state.health)
        if self.command != "GET":
            state.changes.append((self.command, "/".join(parts)))
        if parts == ["pipelines", "upload_version"]:
            return self.upload(query, body)
        if len(parts) == 3 and parts[2] == "versions":
            return self.page(query, "pipeline_versions", self.versions(parts[1]))
        if len(parts) == 4 and parts[2] == "versions":
            return self.answer(200, state.tables["versions"][parts[3]])
        if parts[-1].endswith(":retry"):
            return self.retry(parts[1].removesuffix(":retry"))
        return self.table(parts, query, json.loads(body or "{}"))

    def elsewhere(self, path: str, query: dict) -> None:
        """Kubernetes' API, and MLflow's."""
        state = self.state
        if path.startswith("/mlflow/"):
            return self.answer(state.artifacts if "mlflow-artifacts" in path else state.tracking, {})
        if path.startswith("/v2/"):
            return self.registry(path)
        if path == "/token":
            return self.answer(200, {"token": "anonymous"})
        if state.pod_token and self.headers.get("Authorization") != f"Bearer {state.pod_token}":
            return self.answer(401, {"message": "who are you?"})
        if path in state.forbidden:
            return self.answer(403, {"message": "forbidden"})
        selected = f"?labelSelector={query['labelSelector']}" if "labelSelector" in query else ""
        found = state.documents.get(path + selected)
        return self.answer(200, found) if found else self.answer(404, NOT_FOUND)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def registry(self, path: str) -> None:
        """An OCI registry: public at once, public by an anonymous token, or private."""
        who = self.state.images.get(path.removeprefix("/v2/").partition("/manifests/")[0])
        token = self.headers.get("Authorization") == "Bearer anonymous"
        if who == "none" or (who == "token" and not token):
            host = self.headers["Host"]
            self.send_response(401)
            self.send_header("WWW-Authenticate", f'Bearer realm="http://{host}/token",service="r",scope="pull"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.answer(200 if who else 404, {})

    def table(self, parts: list[str], query: dict, body: dict) -> None:
        name, table = parts[0], self.state.tables[parts[0]]
        if self.command == "POST" and parts[-1].endswith(":disable"):
            table[parts[1].removesuffix(":disable")]["status"] = "DISABLED"
            return self.answer(200, {})
        if self.command == "POST":
            made = {**body, IDS[name]: f"{name}-{len(self.state.changes)}"}
            if name == "recurringruns":
                made["status"] = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[made["mode"]]
            table[made[IDS[name]]] = made
            return self.answer(200, made)
        if len(parts) == 1:
            experiment = query.get("experiment_id", "")
            rows = [row for row in table.values() if experiment in {"", row.get("experiment_id", "")}]
            return self.page(query, LISTS[name], rows)
        if parts[1] not in table:
            return self.answer(404, {"message": f"{parts[1]} not found"})
        if self.command == "DELETE":
            del table[parts[1]]
            if name == "recurringruns":  # Kubernetes deletes the workflows of a ScheduledWorkflow with it
                runs = self.state.tables["runs"]
                for run in [key for key, row in runs.items() if row.get("recurring_run_id") == parts[1]]:
                    runs[run]["workflow"] = "deleted"
            return self.answer(200, {})
        if name == "runs":
            script = self.state.scripts.setdefault(parts[1], list(self.state.states))
            document = table[parts[1]] | (script.pop(0) if len(script) > 1 else script[0])
            self.state.said[parts[1]] = document.get("state", "")
            return self.answer(200, document)
        return self.answer(200, table[parts[1]])

    def retry(self, run: str) -> None:
        """KFP retries what has failed, and nothing else; what the run says next is the next of its states."""
        if self.state.said.get(run) != "FAILED":
            return self.answer(400, {"message": "Workflow must be Failed/Error to retry"})
        self.state.said[run] = "RUNNING"
        return self.answer(200, {})

    def versions(self, pipeline: str) -> list[dict]:
        return [row for row in self.state.tables["versions"].values() if row["pipeline_id"] == pipeline]

    def upload(self, query: dict, body: bytes) -> None:
        content = body.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
        specification, platform = yaml.safe_load_all(content)
        if any(row["display_name"] == query["name"] for row in self.versions(query["pipelineid"])):
            return self.answer(409, {"message": "already exists"})
        made = {
            "pipeline_id": query["pipelineid"],
            "pipeline_version_id": f"version-{len(self.state.changes)}",
            "display_name": query["name"],
            "pipeline_spec": {"pipeline_spec": specification, "platform_spec": platform},
        }
        self.state.tables["versions"][made["pipeline_version_id"]] = made
        return self.answer(200, made)

    def page(self, query: dict, key: str, rows: list[dict]) -> None:
        """Two a page, whatever was asked for: clients must read on."""
        start = int(query.get("page_token") or 0)
        page = {key: rows[start : start + self.state.page], "total_size": len(rows)}
        if start + self.state.page < len(rows):
            page["next_page_token"] = str(start + self.state.page)
        self.answer(200, page)


NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def host(state) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def kubectl(host, tmp_path, monkeypatch) -> None:
    """kubectl talks to the same server."""
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": host}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }  # fmt: skip
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(path))


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch) -> None:
    ours = ("LABRAM_IMAGE", "LABRAM_NODES", "LABRAM_STORE", "LABRAM_TRAIN_JOB", "MLFLOW_TRACKING_URI")
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_SA_TOKEN_PATH", *ours):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def account(tmp_path_factory) -> Path:
    """What Kubernetes puts into a pod, and beside it the key of the API's certificate."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    account, key = tmp_path_factory.mktemp("account"), tmp_path_factory.mktemp("api") / "key.pem"
    subprocess.run(
        [*("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"),
         *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(account / "ca.crt"))],
        check=True, capture_output=True,
    )  # fmt: skip
    (account / "token").write_text("token-of-the-pod\n")
    (account / "namespace").write_text("labram")
    (account / "key").symlink_to(key)
    return account


@pytest.fixture
def pod(state, account, monkeypatch) -> Iterator[Path]:
    """This process is a pod: it has an account, and the API answers over TLS to its token alone."""
    state.pod_token = "token-of-the-pod"
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"state": state}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "ca.crt", account / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(kubernetes, "ACCOUNT", account)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_address[1]))
    yield account
    server.shutdown()
    server.server_close()
