"""Preemption: SIGTERM once and twice, and SIGKILL at any moment."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labram.training.distributed.job import Job

KILLS = int(os.environ.get("LABRAM_TEST_KILLS", "6"))
"""Number of kills; every other one is while a checkpoint is written."""

WAITS = """
import time
from labram.training.preemption import catch_sigterm
with catch_sigterm():
    print("ready", flush=True)
    while True:
        time.sleep(0.05)
"""

FORKS = """
# Imports once, then trains in a fork for each line of input, and prints its exit code.
import os, sys
from labram.events import NullMonitor
from labram.training.distributed.worker import run_stage
from labram.training.distributed.job import Job

print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run_stage(Job.from_json(line), NullMonitor())
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def program(text):
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_the_second_sigterm_ends_at_once():
    process = program(WAITS)
    process.terminate()
    time.sleep(0.3)
    assert process.poll() is None, "the first one is noted"
    process.terminate()
    assert process.wait(timeout=5) == -signal.SIGTERM


class Forks:
    """Runs consecutive trainings, each of which may be killed."""

    def __init__(self):
        self.process = program(FORKS)

    def run(self, job, kill_after=None):
        """Train in a fork, which is killed when `kill_after` returns; return its exit code."""
        self.process.stdin.write(job.to_json() + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if kill_after is not None:
            kill_after()
            os.kill(child, signal.SIGKILL)
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)


@pytest.fixture
def forks():
    forks = Forks()
    yield forks
    forks.close()


def results(job):
    return [(job.out / name).read_bytes() for name in ("model.safetensors", "history.jsonl", "codebook.json")]


def while_it_writes(folder: Path):
    """Return while a checkpoint is being written."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not any(folder.glob(".step-*.tmp/*")):
        time.sleep(0.0005)


def test_killed_at_any_moment_it_ends_with_the_same_bits(
    forks, tiny, architecture, tokenizer_recipe, tmp_path, record_property
):
    record_property("inputs", KILLS)
    tiny.add("a", ("FP1", "FP2"), _walk(0, 2, 20))
    tiny.add("b", ("FP1", "C3", "C4"), _walk(1, 3, 20))
    tiny.add("c", ("FP1", "FP2"), _walk(2, 2, 8), split="validation")
    tiny.corpus.save(tmp_path / "corpus")
    recipe = tokenizer_recipe(
        steps=8 * KILLS,
        micro_batches=1,
        patches=8,
        window_patches=4,
        log_every=1,
        validate_every=40,
        checkpoint_every=3,
        restart_every=5,
    )

    def job(name):
        return Job(
            stage="tokenizer",
            corpus=tmp_path / "corpus",
            store=str(tmp_path / "store"),
            architecture=architecture.to_json(),
            settings=recipe.to_json(),
            seed=0,
            checkpoints=tmp_path / name / "checkpoints",
            out=tmp_path / name / "out",
        )

    start = time.monotonic()
    assert forks.run(job("whole")) == 0
    whole = time.monotonic() - start
    draw, codes, within = random.Random(0), [], 0
    killed = job("killed")
    for kill in range(KILLS):
        moment = draw.uniform(0.02, whole / KILLS)
        if kill % 2:
            codes.append(forks.run(killed, lambda: while_it_writes(killed.checkpoints)))
            within += any(killed.checkpoints.glob(".step-*.tmp"))
        else:
            codes.append(forks.run(killed, lambda moment=moment: time.sleep(moment)))
    assert codes == [-signal.SIGKILL] * KILLS
    assert within >= KILLS // 10
    assert not (killed.out / "model.safetensors").exists()
    assert forks.run(killed) == 0
    assert results(killed) == results(job("whole"))
    steps = [json.loads(line)["step"] for line in (killed.out / "history.jsonl").read_text().splitlines()[:-1]]
    assert len(steps) > 8 * KILLS


def _walk(seed, channels, seconds):
    import numpy as np

    return 10 * np.random.default_rng(seed).normal(size=(channels, seconds * 200)).cumsum(axis=1).clip(-8, 8)
