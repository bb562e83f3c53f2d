"""Follows "Add a dataset" in CONTRIBUTING.md step by step, with the adapter that it shows."""

import importlib
import json
import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import labram.datasets
from labram.cli import app
from labram.corpus.catalogue import Corpus
from labram.datasets import ADAPTERS
from labram.datasets.__main__ import update_table
from labram.datasets.base import RecordingFile
from labram.datasets.registry import load_adapters, use_files
from labram.errors import CorpusError

ROOT = Path(__file__).parents[2]
NAME = "rest_and_task"


@pytest.fixture
def adapter_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Step 1: the example as a new module of the package, found by scanning."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Add a dataset\n")[2]
    example = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert example
    path = tmp_path / "package" / f"{NAME}.py"
    path.parent.mkdir()
    path.write_text(textwrap.dedent("   " + example[1].lstrip()), encoding="utf-8")
    monkeypatch.setattr(labram.datasets, "__path__", [*labram.datasets.__path__, str(path.parent)])
    importlib.invalidate_caches()
    adapters = load_adapters()
    assert set(adapters) - set(ADAPTERS) == {NAME}
    monkeypatch.setitem(ADAPTERS, NAME, adapters[NAME])
    yield path
    del sys.modules[f"labram.datasets.{NAME}"]
    delattr(labram.datasets, NAME)


@pytest.mark.usefixtures("adapter_file")
def test_a_new_adapter_is_listed_documented_and_ingested(
    tmp_path: Path,
    write_edf: Callable[..., Path],
    take_in: Callable[..., tuple[object, Corpus]],
    labels_of: Callable[[Corpus, str], list[tuple[float, float, tuple[float, ...]]]],
) -> None:
    listed = json.loads(CliRunner().invoke(app, ["datasets", "list", "--json"]).output)
    assert NAME in [row["name"] for row in listed]

    page = update_table((ROOT / "docs" / "datasets.md").read_text(encoding="utf-8"))
    assert f"| `{NAME}` | Rest and task (Doe J. Journal 2026;1:1) | 50 Hz | Cz | `state`: rest, task |" in page

    for number, session in enumerate(("rest", "task")):
        write_edf(tmp_path / "data" / "P01" / f"P01_{session}.edf", seed=number, seconds=12)
    _, corpus = take_in(tmp_path / "data")
    assert set(corpus.accepted()["dataset"]) == {NAME}
    assert labels_of(corpus, "state") == [(0, 12, (0.0,)), (0, 12, (1.0,))]


def test_only_classes_with_a_name_are_adapters_and_groups_come_in_order() -> None:
    assert list(load_adapters()) == list(ADAPTERS)
    assert [adapter.group for adapter in ADAPTERS.values()] == sorted(adapter.group for adapter in ADAPTERS.values())
    assert next(reversed(ADAPTERS)) == "folder"


def test_an_entry_point_of_another_package_adds_an_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(type(ADAPTERS["folder"])):
        name = "elsewhere"

    class Entry:
        def load(self) -> type:
            return Elsewhere

    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [Entry()])
    assert set(load_adapters()) - set(ADAPTERS) == {"elsewhere"}


def test_a_file_adds_an_adapter_without_touching_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example
    path = tmp_path / "mine.py"
    path.write_text(textwrap.dedent("   " + example[1].lstrip()), encoding="utf-8")
    monkeypatch.setenv("LABRAM_ADAPTERS", "")
    before = dict(ADAPTERS)
    monkeypatch.setitem(ADAPTERS, NAME, ADAPTERS["folder"])  # removed in the end
    del ADAPTERS[NAME]
    result = CliRunner().invoke(app, ["--adapter", str(path), "datasets", "list", "--json"])
    assert NAME in [row["name"] for row in json.loads(result.output)]
    assert all(ADAPTERS[name] is adapter for name, adapter in before.items())
    adapter = load_adapters()[NAME]
    read = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).label_version(None))"
    child = subprocess.run([sys.executable, "-c", read], input=pickle.dumps(adapter), capture_output=True, check=True)
    version = child.stdout.decode().strip()  # a worker process finds the module, and the corpus version has its code
    assert version == adapter.code_version() == adapter.label_version(RecordingFile(NAME, path, "P01"))
    assert ADAPTERS["eegmat"].label_version(RecordingFile("eegmat", path, "P01")) == ""
    for content, problem in (("x = ", "cannot be imported: SyntaxError"), ("x = 1", "has no adapter")):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(CorpusError, match=problem):
            use_files([path])
