"""How many processes an ingest task starts."""

import os
import subprocess
import sys

import pytest

from labram import cores
from labram.errors import PlatformError


@pytest.mark.parametrize(
    ("cpu_max", "expected"), [("400000 100000", 4), ("50000 100000", 1), ("max 100000", 6), ("9900000 100000", 6)]
)
def test_the_cpu_limit_of_a_container_counts(tmp_path, monkeypatch, cpu_max, expected) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(f"{cpu_max}\n")
    monkeypatch.delenv(cores.WORKERS_VARIABLE, raising=False)
    assert cores.available_cores() == cores.ingest_workers() == expected


@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("50000", 1), ("-1", 6)])
def test_the_cpu_limit_of_an_older_kernel_counts_too(tmp_path, monkeypatch, quota, expected) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "absent")
    monkeypatch.setattr(cores, "CPU_V1", tmp_path)
    (tmp_path / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.available_cores() == expected


def test_outside_a_container_the_cores_of_the_machine_count(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "absent")
    monkeypatch.setattr(cores, "CPU_V1", tmp_path)
    assert cores.available_cores() == len(os.sched_getaffinity(0))


def test_the_variable_comes_first_and_must_be_a_positive_number(monkeypatch) -> None:
    monkeypatch.setenv(cores.WORKERS_VARIABLE, "3")
    assert cores.ingest_workers() == 3
    for wrong in ("0", "many", "-1"):
        monkeypatch.setenv(cores.WORKERS_VARIABLE, wrong)
        with pytest.raises(PlatformError, match="LABRAM_WORKERS: expected a positive whole number"):
            cores.ingest_workers()


THREADS = """
import os, sys
os.sched_getaffinity = lambda _: set(range(8))
from pathlib import Path
from labram import cores
cores.CPU_MAX = Path(sys.argv[1])
import numpy
from threadpoolctl import threadpool_info
cores.follow_container_limit()
print({pool["num_threads"] for pool in threadpool_info()}, os.environ.get("OMP_NUM_THREADS"))
"""


@pytest.mark.parametrize(
    ("cpu_max", "variable", "expected"),
    [("100000 100000", None, "{1} 1"), ("100000 100000", "2", "{1} 2"), ("max 100000", "1", "{1} 1")],
)
def test_threads_of_libraries_follow_the_limit_of_the_container(tmp_path, cpu_max, variable, expected) -> None:
    """OpenBLAS, which NumPy has loaded before, and what is loaded later; without a limit nothing changes."""
    (tmp_path / "cpu.max").write_text(cpu_max)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment |= {"OMP_NUM_THREADS": variable} if variable else {}
    command = [sys.executable, "-c", THREADS, str(tmp_path / "cpu.max")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr
