"""What Argo must store of a run, computed from the compiled file: the formula is in `pipelines.status_size`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labram.errors import PlatformError
from pipelines import status_size
from pipelines.status_size import LIMIT, estimate

COMPILE = """
import sys
from pathlib import Path
from labram import recipe
from pipelines.compile import compile_pipeline
for name, of in (("retrain", "demo"), ("study", "demo-study")):
    compile_pipeline(name, recipe.load(of), Path(sys.argv[1]))
compile_pipeline("retrain", recipe.load("real-small"), Path(sys.argv[1], "real-small"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The pipelines of three recipes, compiled in one process."""
    folder = tmp_path_factory.mktemp("ir")
    image = "registry.example/labram-python@sha256:" + "5" * 64
    subprocess.run([sys.executable, "-c", COMPILE, folder], env={**os.environ, "LABRAM_IMAGE": image}, check=True)
    return folder


def test_nodes_are_counted_as_argo_makes_them(folder) -> None:
    """4 for the run, 5 a task, 3 a condition, 4 a loop and 4 an iteration beside its tasks."""
    shards, tasks = 2, 4
    expected = 4 + 5 * 2 + 3 + (4 + shards * 9) + 5 * 3 + (4 + tasks * 14) + 5 * 4
    assert estimate(folder / "retrain.yaml").nodes == expected == 134
    assert estimate(folder / "retrain.yaml", {"shards": 5}).nodes == expected + 3 * 9


def test_the_status_of_the_demo_is_far_from_the_limit(folder) -> None:
    size = estimate(folder / "retrain.yaml")
    assert 100_000 < size.compressed < 500_000 < size.plain


def test_the_status_of_real_small_fits(folder) -> None:
    assert estimate(folder / "real-small" / "retrain.yaml").compressed < 500_000


def test_a_study_of_a_hundred_runs_is_computed(folder) -> None:
    """It is at the limit: 19 nodes a run."""
    size, smaller = (estimate(folder / "study.yaml", {"ablation_runs": runs}) for runs in (100, 80))
    assert (size.nodes, smaller.nodes) == (1958, 1958 - 20 * 19)
    assert smaller.compressed < LIMIT < size.compressed < 1.2 * LIMIT


def test_a_study_that_argo_could_not_store_is_no_pipeline(folder, monkeypatch) -> None:
    status_size.check(folder / "study.yaml")
    monkeypatch.setattr(status_size, "LIMIT", 100_000)
    with pytest.raises(PlatformError, match=r"study\.yaml: a run would have 514 nodes.*Argo cannot store.*Split"):
        status_size.check(folder / "study.yaml")
