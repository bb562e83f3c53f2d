"""A database, an object store and MLflow's server, each as a context: there inside, gone with its data after.

MLflow's server is started with the arguments, and its schema is made with the program, that `k8s/base/mlflow.yaml` has
for its pods; so what is tried here is what the cluster does.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
import yaml

from labram.errors import PlatformError

BASE = Path(__file__).parents[2] / "k8s" / "base"
POSTGRESQL = Path("/usr/lib/postgresql")
"""Where Debian keeps PostgreSQL's programs, a folder a version."""
LOCALHOST = "127.0.0.1"
SECONDS_TO_START = 600
ACCOUNTS = """\
[mlflow]
default_permission = EDIT
database_uri = {database}/accounts
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
"""The file of accounts, as docs/kubernetes.md writes it."""


@contextmanager
def object_store(log: Path) -> Iterator[dict[str, str]]:
    """A server of the S3 API that keeps objects in memory; gives the variables by which clients find it.

    It takes any key: that each client gives one is tried here, and not that it is the right one.

    Args:
        log: File for what the server says.

    Raises:
        PlatformError: If it does not start.
    """
    port = _free_port()
    address = f"http://{LOCALHOST}:{port}"
    with _server(
        "the object store", [sys.executable, "-m", "moto.server", "-H", LOCALHOST, "-p", str(port)], address, log
    ):
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "labram",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(8),
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@contextmanager
def database() -> Iterator[str]:
    """A PostgreSQL server with the databases `mlflow` and `accounts`; gives its address with account and password.

    Raises:
        PlatformError: If PostgreSQL is not installed.
    """
    tools = programs()
    password, port = secrets.token_hex(8), _free_port()
    with TemporaryDirectory(prefix="labram-postgresql-") as name:
        folder = Path(name)
        (folder / "password").write_text(password)
        account: tuple[str, ...] = ()
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            account = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        data = str(folder / "data")
        secret = ("-A", "scram-sha-256", "--pwfile", str(folder / "password"))
        do(*account, f"{tools}/initdb", "-D", data, "-U", "mlflow", *secret)
        control = (*account, f"{tools}/pg_ctl", "-D", data, "-w")
        options = f"-p {port} -k {folder} -c listen_addresses={LOCALHOST} -c fsync=off"
        do(*control, "-o", options, "-l", str(folder / "log"), "start")
        try:
            address = f"postgresql://mlflow:{password}@{LOCALHOST}:{port}"
            do(f"{tools}/psql", f"{address}/postgres", "-c", "CREATE DATABASE mlflow")
            do(
                f"{tools}/psql",
                f"{address}/mlflow",
                "-c",
                _manifest("database.yaml", "ConfigMap")["data"]["accounts.sql"],
            )
            yield address
        finally:
            do(*control, "-m", "immediate", "stop")


@contextmanager
def tracking(database: str, artifacts: str, log: Path) -> Iterator[dict[str, str]]:
    """MLflow's server, with the tasks' account; gives the variables by which its clients find it and log in.

    Args:
        database: Address of a PostgreSQL server, with account and password.
        artifacts: Address below which artefacts are kept, such as ``s3://labram-mlflow``.
        log: File for what the server says.

    Raises:
        PlatformError: If it does not start, or does not make the account.
    """
    pod = _manifest("mlflow.yaml", "Deployment")["spec"]["template"]["spec"]
    (schema,), (server,) = pod["initContainers"], pod["containers"]
    stated = {entry["name"]: entry["value"] for entry in server["env"] if "value" in entry}
    admin, port = secrets.token_hex(8), _free_port()
    with TemporaryDirectory(prefix="labram-mlflow-") as home:
        accounts = Path(home, "basic_auth.ini")
        accounts.write_text(ACCOUNTS.format(database=database))
        environment = (
            os.environ
            | stated
            | {
                "HOME": home,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "MLFLOW_BACKEND_STORE_URI": f"{database}/mlflow",
                "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
                "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
                "MLFLOW_AUTH_ADMIN_PASSWORD": admin,
                "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            }
        )
        do(*schema["command"], env=environment)
        arguments = [argument for argument in server["args"] if not argument.startswith(("--host=", "--port="))]
        address = f"http://localhost:{port}"
        command = ["mlflow", *arguments, f"--host={LOCALHOST}", f"--port={port}"]
        with _server("MLflow", command, f"{address}/health", log, env=environment):
            yield {"MLFLOW_TRACKING_URI": address, **_account(address, admin)}


@contextmanager
def _server(
    name: str, command: list[str], answers: str, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[None]:
    """A server that answers at an address inside the context, and has ended with its processes after it."""
    with log.open("w") as said:
        process = subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not _ok(answers):
            if process.poll() is not None or time.monotonic() > deadline:
                raise PlatformError(f"{name} does not start", file=log, remedy="Read there what it says")
            time.sleep(0.2)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _ok(address: str) -> bool:
    try:
        return bool(requests.get(address, timeout=5).ok)
    except requests.RequestException:
        return False


def _account(address: str, admin: str) -> dict[str, str]:
    """Make the tasks' account, as docs/kubernetes.md does; gives its variables."""
    user, password = "labram", secrets.token_hex(8)
    answer = requests.post(
        f"{address}/api/2.0/mlflow/users/create",
        json={"username": user, "password": password},
        auth=("admin", admin),
        timeout=60,
    )
    if not answer.ok:
        raise PlatformError(
            f"MLflow makes no account for the tasks ({answer.status_code}: {answer.text.strip()[:200]})",
            file=address,
            remedy="Compare the arguments in k8s/base/mlflow.yaml with those of this release of MLflow",
        )
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def _manifest(file: str, kind: str) -> dict[str, Any]:
    """The first document of a kind in one of the base's files."""
    documents = yaml.safe_load_all((BASE / file).read_text())
    return next(document for document in documents if document["kind"] == kind)


def programs() -> Path:
    """The folder of the newest PostgreSQL's programs.

    Raises:
        PlatformError: If there is none.
    """
    found = sorted(POSTGRESQL.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise PlatformError(
            "PostgreSQL is not installed", file=POSTGRESQL, remedy="Install it: apt-get install postgresql, as root"
        )
    return found[-1].parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        return int(probe.getsockname()[1])


def do(*command: str, cwd: str | Path = "/", env: Mapping[str, str] | None = None) -> None:
    """Run a program to its end.

    Raises:
        PlatformError: If it fails; says what it said last.
    """
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise PlatformError(
            f"{Path(command[0]).name} failed with exit code {done.returncode} and said: {lines[-1]}",
            remedy="Run the same command by hand to see all of it",
        )
