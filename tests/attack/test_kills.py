"""SIGKILL at every step: before each change of a folder that an ingest makes, and at each step of a run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from labram.corpus.local_ingest import published_corpora
from labram.registry import model_registry
from labram.store.store import Store
from labram.tracking import mlflow_runs
from tests.fixtures.tiny_run import command, environment, labram_run

INGESTS = """
# Imports once, then ingests in a fork for each line of input: folder, store, and the change before which to be killed.
import json, os, signal, sys
from pathlib import Path
import great_expectations
from labram.corpus.local_ingest import ingest_folder
from labram.corpus import quality, rules
from labram.events import NullMonitor
from labram.recipe import load
from labram.store.store import Store

CHANGES = {"os.rename", "os.mkdir", "os.link", "os.remove", "os.rmdir", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

def ingest(data, store, kill_before):
    changes = 0
    def count(event, arguments):
        nonlocal changes
        if event in CHANGES or (event == "open" and (arguments[2] or 0) & WRITES):
            if changes == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)
            changes += 1
    sys.addaudithook(count)
    ingest_folder(Path(data), (), Store(Path(store)), recipe=load("demo"), workers=0, monitor=NullMonitor())
    return changes

load("demo")
print("ready", flush=True)
for line in sys.stdin:
    result, answer = os.pipe()
    child = os.fork()
    if child == 0:
        changes = ingest(*json.loads(line))
        os.write(answer, str(changes).encode())
        os._exit(0)
    os.close(answer)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([code, int(os.read(result, 100) or 0)]), flush=True)
    os.close(result)
"""
pytestmark = pytest.mark.attack
NEVER = -1
Ingest = Callable[..., tuple[int, int]]


@pytest.fixture(scope="module")
def ingest() -> Iterator[Ingest]:
    """Ingest a folder in a process that may be killed; return its exit code and the number of changes."""
    process = subprocess.Popen(
        [sys.executable, "-c", INGESTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment() | {"LABRAM_SUBJECT_KEY": "the same for all"},
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "ready\n"

    def run(data: Path, store: Path, kill_before: int = NEVER) -> tuple[int, int]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps([str(data), str(store), kill_before]) + "\n")
        process.stdin.flush()
        code, changes = json.loads(process.stdout.readline())
        return code, changes

    yield run
    process.stdin.close()
    process.wait(timeout=20)


@pytest.fixture
def data(tmp_path: Path, write_edf: Callable[..., Path]) -> Path:
    for number in range(3):
        write_edf(tmp_path / "data" / "eegmat" / f"Subject{number:02d}_1.edf", seed=number)
    (tmp_path / "data" / "eegmat" / "Subject07_1.edf").write_bytes(b"")
    return tmp_path / "data"


def tables(store: Path) -> list[pd.DataFrame]:
    ((_, corpus),) = published_corpora(Store(store)).items()
    return [corpus.catalogue, corpus.labels]


def entries(store: Path) -> list[str]:
    return sorted(path.stem for path in store.rglob("*.arrow"))


def assert_equal(store: Path, whole: Path) -> None:
    for table, expected in zip(tables(store), tables(whole), strict=True):
        pd.testing.assert_frame_equal(table, expected)
    assert entries(store) == entries(whole)
    assert all(Store(store).verify(key) for key in entries(store))


@pytest.mark.timeout(1800)
def test_an_ingest_killed_before_any_change_of_a_folder_ends_as_one_that_was_not(
    ingest: Ingest, data: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole = tmp_path / "whole"
    code, changes = ingest(data, whole)
    assert (code, changes > 12) == (0, True)
    record_property("inputs", changes)
    for kill in range(changes):
        store = tmp_path / f"store {kill}"
        assert ingest(data, store, kill)[0] == -signal.SIGKILL
        assert ingest(data, store)[0] == 0
        assert_equal(store, whole)


def test_a_store_is_never_half_a_new_one(
    ingest: Ingest,
    data: Path,
    tmp_path: Path,
    write_edf: Callable[..., Path],
    record_property: Callable[[str, object], None],
) -> None:
    """A good catalogue stays until the next one is complete: after a kill it is the old or the new one."""
    store, new = tmp_path / "store", tmp_path / "new"
    ingest(data, store)
    old = tables(store)
    write_edf(data / "eegmat" / "Subject09_1.edf", seed=9)
    _, changes = ingest(data, new)
    rows = {len(old[0]), len(tables(new)[0])}
    for kill in range(changes):
        code, _ = ingest(data, store, kill)
        assert len(tables(store)[0]) in rows
        if code == 0:
            break
    record_property("inputs", kill)
    assert_equal(store, new)


STEPS = (
    "plan_run", "ingest", "quality", "tokenizer", "pretrain", "finetune", "evaluate", "register", "gate", "promote",
    "report",
)  # fmt: skip


def digests(workspace: Path) -> dict[tuple[str, tuple[str, ...]], str]:
    """Return the digests of a workspace's models by name and aliases."""
    mlflow_runs.configure(workspace)
    mlflow.set_tracking_uri(mlflow_runs.tracking_uri(workspace))
    versions = model_registry.list_versions()
    return {(version.name, version.aliases): version.tags[model_registry.DIGEST_TAG] for version in versions}


@pytest.mark.pipeline
@pytest.mark.timeout(1800)
def test_a_run_killed_at_each_step_ends_with_the_models_of_one_that_was_not(
    tiny_recipe: Path, tiny_corpus: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert labram_run(tiny_recipe, tiny_corpus, whole).returncode == 0
    at = [step for step in STEPS if kill_at(step, command(tiny_recipe, tiny_corpus, killed), killed)]
    record_property("inputs", len(at))
    assert set(at) >= set(STEPS) - {"report"}
    done = labram_run(tiny_recipe, tiny_corpus, killed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(killed) == digests(whole)


def kill_at(step: str, run: list[str], workspace: Path) -> bool:
    """Start a run and kill it, with all its processes, when a step begins; return whether it did."""
    seen = started(step, workspace)
    process = subprocess.Popen(
        run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True
    )
    while process.poll() is None and started(step, workspace) == seen:
        time.sleep(0.02)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return started(step, workspace) > seen


def started(step: str, workspace: Path) -> int:
    """Return how often a step has begun, over all runs."""
    lines = [line for path in workspace.glob("runs/*/events.jsonl") for line in path.read_text().splitlines()]
    return sum('"started"' in line and f'"step": "{step}' in line for line in lines)
