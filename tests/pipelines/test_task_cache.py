"""Outputs of earlier tasks are reused only while they are intact: running again repairs a workspace."""

from pathlib import Path

import numpy as np
import pytest
from kfp import dsl
from kfp.local import cache

from labram.corpus.catalogue import Corpus
from labram.platform.workspace import Workspace
from labram.store.store import Store
from pipelines import task_cache

KEY = "a" * 64


@pytest.fixture
def reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The cache that KFP's local runner would use in a workspace."""
    monkeypatch.setattr(cache, "LocalCache", cache.LocalCache)
    task_cache.use_for(Workspace.at(tmp_path))
    return cache.LocalCache(str(tmp_path / "cache"))


def put(reused, folder: Path) -> None:
    reused.put(KEY, {"model": dsl.Model(name="model", uri=str(folder), metadata={}), "Output": "word"})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "inner/more"):
        (folder / name).write_bytes(b"0123456789")
    return folder


def test_an_intact_output_is_reused(reused, model) -> None:
    put(reused, model)
    assert reused.get(KEY)["Output"] == "word"
    assert reused.get(KEY)["model"].uri == str(model)


@pytest.mark.parametrize(
    "damage",
    [
        lambda model: (model / "model.safetensors").write_bytes(b"0123456780"),
        lambda model: (model / "model.safetensors").write_bytes(b""),
        lambda model: (model / "inner" / "more").unlink(),
        lambda model: (model / "config.json").rename(model / "config"),
        lambda model: (model / "new").touch(),
        lambda model: model.rename(model.with_name("elsewhere")),
    ],
    ids=["altered", "emptied", "deleted", "renamed", "added", "moved"],
)
def test_a_task_with_a_damaged_output_runs_again(reused, model, damage) -> None:
    put(reused, model)
    damage(model)
    assert reused.get(KEY) is None
    if model.exists():
        put(reused, model)
        assert reused.get(KEY) is not None, "what the task writes now is reused"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": 1}', '{"model": {"__kfp_artifact__": true}}'])
@pytest.mark.parametrize("file", ["json", "digests"])
def test_a_damaged_entry_is_no_entry(reused, model, tmp_path, file, text) -> None:
    put(reused, model)
    (tmp_path / "cache" / f"{KEY}.{file}").write_text(text)
    assert reused.get(KEY) is None


def test_an_altered_parameter_is_not_believed(reused, model, tmp_path) -> None:
    put(reused, model)
    entry = tmp_path / "cache" / f"{KEY}.json"
    entry.write_text(entry.read_text(encoding="utf-8").replace('"word"', '"swap"'))
    assert reused.get(KEY) is None


@pytest.mark.parametrize("damage", ["delete", "alter", "none"])
def test_ingest_runs_again_if_the_store_lacks_one_of_its_recordings(reused, tmp_path, damage) -> None:
    store, part = Store(tmp_path / "store"), tmp_path / "part"
    store.write("b" * 32, np.ones((4, 2, 200), np.float16), ("C3", "C4"))
    shown = {"recording_id": "set-1", "dataset": "set", "montage": ["C3", "C4"], "reasons": [], "warnings": []}
    Corpus.of([shown | {"store_key": "b" * 32}, shown | {"recording_id": "set-2", "store_key": ""}], []).save(part)
    put(reused, part)
    path = store.path("b" * 32)
    if damage == "delete":
        path.unlink()
    elif damage == "alter":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert (reused.get(KEY) is not None) == (damage == "none")
