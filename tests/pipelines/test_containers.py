"""Tasks as containers: held as on a cluster, ended with the run. Real containers where an engine has the image."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException, ImageNotFound

from labram.corpus.pseudonyms import load_key
from labram.errors import PlatformError
from labram.logs import CORPUS_VARIABLE
from labram.platform.workspace import STORE_VARIABLE, Workspace
from labram.tracking.lineage import code_version, commit
from pipelines import containers

IMAGE = f"localhost/labram-python:{commit()[:12]}-{code_version()}"
LOOK = """
import importlib.util, json, os, shutil
from labram.tracking.lineage import code_version
def writable(path):
    try:
        open(os.path.join(path, "probe"), "w").close()
    except OSError:
        return False
    return True
folders = ("/", "/opt/labram", "/tmp", os.environ["LABRAM_CORPUS"], WORKSPACE)
modules = ("pip", "wheel", "kfp_server_api", "pytest")
status = dict(line.rstrip().split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(json.dumps({
    "code": code_version(),
    "user": os.getuid(),
    "capabilities": int(status["CapEff"], 16),
    "no_new_privileges": status["NoNewPrivs"],
    "writable": [path for path in folders if writable(path)],
    "network": sorted(set(os.listdir("/sys/class/net")) - {"lo"}),
    "tools": [name for name in ("gcc", "cc", "make", "pip", "git", "curl") if shutil.which(name)],
    "modules": [name for name in modules if importlib.util.find_spec(name)],
    "bill": len(json.load(open("/opt/labram/sbom.cdx.json"))["components"]),
}))
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Iterator[Workspace]:
    before = signal.getsignal(signal.SIGTERM)
    (tmp_path / "corpus").mkdir()
    monkeypatch.setenv(CORPUS_VARIABLE, str(tmp_path / "corpus"))
    for name in (STORE_VARIABLE, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "workspace" / "runs").mkdir(parents=True)
    yield Workspace.at(tmp_path / "workspace")
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def engine(monkeypatch) -> docker.DockerClient:
    try:
        client = docker.from_env()
        client.images.get(IMAGE)
    except ImageNotFound:
        pytest.skip("the image of this source tree is not built (make images)")
    except DockerException:
        pytest.skip("no container engine")
    monkeypatch.setattr(containers, "IMAGE", IMAGE)
    return client


@pytest.fixture
def without_engine(monkeypatch) -> None:
    monkeypatch.setattr(containers, "_require_image", lambda: None)
    monkeypatch.setattr(containers, "_running", lambda _: [])


def test_without_an_engine_it_says_so(workspace, monkeypatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/engine.sock")
    with pytest.raises(PlatformError, match="no container engine answers"):
        containers.in_containers(workspace)


def test_a_container_may_no_more_than_on_a_cluster(workspace, without_engine) -> None:
    run = containers.in_containers(workspace).container_run_args
    assert run["read_only"]
    assert run["network_mode"] == "none"
    assert (run["cap_drop"], run["security_opt"]) == (["ALL"], ["no-new-privileges"])
    user, group = run["user"].split(":")
    assert 10_000 <= int(user) < 60_000, "an id that a user namespace of 65,536 has"
    assert group == "0"
    assert [(mount["Target"], mount["ReadOnly"]) for mount in run["mounts"]] == [
        (os.environ[CORPUS_VARIABLE], True),
        (str(workspace.root), False),
        (str(workspace.root / "store"), False),
    ]


def test_the_network_is_there_when_an_address_is_configured(workspace, without_engine, monkeypatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, "s3://patches/v1")
    run = containers.in_containers(workspace).container_run_args
    assert run["network_mode"] == "host"
    assert run["environment"][STORE_VARIABLE] == "s3://patches/v1"


def test_the_group_may_write_what_it_may_read_and_the_key_stays_its_owners(workspace, without_engine) -> None:
    key = load_key(workspace.root)
    (workspace.root / "events.jsonl").touch(mode=0o644)
    run = containers.in_containers(workspace).container_run_args
    modes = {path.name: path.stat().st_mode & 0o7777 for path in workspace.root.iterdir()}
    assert modes.pop("subject.key") == 0o600
    assert {mode & 0o020 for mode in modes.values()} == {0o020}
    assert modes["runs"] & 0o2000, "what is made in it has the group too"
    assert run["environment"]["LABRAM_SUBJECT_KEY"].encode() == key


def start(engine: docker.DockerClient, workspace: Workspace, code: str):
    run = dict(containers.in_containers(workspace).container_run_args)
    return engine.containers.run(IMAGE, ["sh", "-ec", 'x=1; python3 -c "$0"', code], detach=True, **run)


def await_file(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.1)


def test_the_image_is_this_source_tree_and_nothing_more(engine, workspace) -> None:
    container = start(engine, workspace, LOOK.replace("WORKSPACE", repr(str(workspace.root))))
    assert container.wait()["StatusCode"] == 0, container.logs().decode()
    found = json.loads(container.logs(stderr=False).splitlines()[-1])
    container.remove()
    assert found.pop("user") == containers._user(workspace)
    assert found.pop("bill") > 250
    assert found == {
        "code": code_version(),
        "capabilities": 0,
        "no_new_privileges": "1",
        "writable": ["/tmp", str(workspace.root)],
        "network": [],
        "tools": [],
        "modules": [],
    }
    labels = engine.images.get(IMAGE).labels
    assert labels["org.opencontainers.image.revision"].startswith(commit())
    assert "@sha256:" in labels["org.opencontainers.image.base.name"]


def test_a_task_hears_of_the_end_of_the_run_and_none_is_left(engine, workspace) -> None:
    """What `labram run` does when it is stopped: SIGTERM to the process that holds the containers."""
    mark = workspace.root / "heard"
    code = f"""
import signal, sys, time
def heard(*_):
    open({str(mark)!r}, "w").close()
    sys.exit(143)
signal.signal(signal.SIGTERM, heard)
open({str(workspace.root / "started")!r}, "w").close()
time.sleep(60)
"""
    holder = f"""
import time
from labram.platform.workspace import Workspace
from pipelines import containers
containers.in_containers(Workspace.at({str(workspace.root)!r}))
open({str(workspace.root / "ready")!r}, "w").close()
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", holder], env={**os.environ, "LABRAM_IMAGE": IMAGE}, cwd=Path(__file__).parents[2]
    )
    await_file(workspace.root / "ready")
    container = start(engine, workspace, code)
    await_file(workspace.root / "started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert mark.exists()
    container.reload()
    assert container.status == "exited"
    container.remove()
    assert containers._running(workspace) == []
