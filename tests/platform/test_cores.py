"""How many processes an ingest task starts."""

import os

import pytest

from labram.errors import PlatformError
from labram.platform import cores


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
