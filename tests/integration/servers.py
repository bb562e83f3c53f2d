"""Context managers that run a database, an object store and MLflow's server.

MLflow's server and the migration of its schema run with the commands of `k8s/base/mlflow.yaml`.
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
default_permission = READ
database_uri = {database}/accounts
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""
"""The file of accounts, as in docs/kubernetes.md."""


@contextmanager
def object_store(log: Path) -> Iterator[dict[str, str]]:
    """Run a server of the S3 API that keeps objects in memory; yield the clients' environment variables.

    It accepts any key: clients must send one, but not a particular one.

    Args:
        log: Log file of the server.

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
    """Run a PostgreSQL server with the databases `mlflow` and `accounts`; yield its address with account and password.

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
def tracking(database: str, artifacts: str, log: Path, admin: str = "") -> Iterator[dict[str, str]]:
    """Run MLflow's server with the tasks' account; yield the clients' environment variables.

    Args:
        database: Address of a PostgreSQL server, with account and password.
        artifacts: Address of the artifacts, such as ``s3://labram-mlflow``.
        log: Log file of the server.
        admin: Password of the administrator; "" for one that nobody knows.

    Raises:
        PlatformError: If it does not start, or the account cannot be created.
    """
    pod = _manifest("mlflow.yaml", "Deployment")["spec"]["template"]["spec"]
    (schema,), (server,) = pod["initContainers"], pod["containers"]
    stated = {entry["name"]: entry["value"] for entry in server["env"] if "value" in entry}
    admin, port = admin or secrets.token_hex(8), _free_port()
    with TemporaryDirectory(prefix="labram-mlflow-") as home:
        accounts = Path(home, "basic_auth.ini")
        accounts.write_text(ACCOUNTS.format(database=database), encoding="utf-8")
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
    """Run a server until the end of the context; wait until it answers."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not _ok(answers):
            if process.poll() is not None or time.monotonic() > deadline:
                raise PlatformError(f"{name} does not start", file=log, remedy="Read this log")
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
    """Create the tasks' account, as docs/kubernetes.md does; return its environment variables."""
    user, password = "labram", secrets.token_hex(8)
    answer = requests.post(
        f"{address}/api/2.0/mlflow/users/create",
        json={"username": user, "password": password},
        auth=("admin", admin),
        timeout=60,
    )
    if not answer.ok:
        raise PlatformError(
            f"MLflow did not create the account of the tasks ({answer.status_code}: {answer.text.strip()[:200]})",
            file=address,
            remedy="Compare the arguments in k8s/base/mlflow.yaml with those of this release of MLflow",
        )
    return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}


def _manifest(file: str, kind: str) -> dict[str, Any]:
    """Return the first document of a kind in a manifest of the base."""
    documents = yaml.safe_load_all((BASE / file).read_text())
    return next(document for document in documents if document["kind"] == kind)


def programs() -> Path:
    """Return the folder with the programs of the newest PostgreSQL.

    Raises:
        PlatformError: If PostgreSQL is not installed.
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
        PlatformError: If it fails, with the last line of its output.
    """
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise PlatformError(
            f"{Path(command[0]).name} failed with exit code {done.returncode}: {lines[-1]}",
            remedy="Run the same command by hand to see its whole output",
        )
