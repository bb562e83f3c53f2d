import errno
from pathlib import Path

import pytest
import torch

from labram.errors import CheckpointError
from labram.training import checkpoints
from labram.training.checkpoints import Checkpoint, Checkpoints, differences

IDENTITY = {"recipe": {"steps": 10, "optimiser": {"peak_lr": 1e-3}}, "seed": 0}


def checkpoint(step, loss=None):
    tensors = {"weights": {"w": torch.full((4,), float(step))}, "optimiser": {"w/step": torch.tensor(float(step))}}
    history = [{"step": index, "loss": 1 / (index + 1)} for index in range(step)]
    return Checkpoint(step, IDENTITY, tensors, {"skipped": 1}, history, loss)


@pytest.fixture
def folder(tmp_path):
    return Checkpoints(tmp_path / "run")


def newest(folder, identity=IDENTITY):
    notes = []
    return folder.newest(identity, notes.append), notes


def test_what_is_written_is_read(folder):
    folder.save(checkpoint(3))
    found, notes = newest(folder)
    assert not notes
    assert (found.step, found.state, found.history) == (3, {"skipped": 1}, checkpoint(3).history)
    assert torch.equal(found.tensors["weights"]["w"], torch.full((4,), 3.0))
    assert found.tensors["optimiser"]["w/step"].item() == 3.0


def test_an_empty_folder_has_no_checkpoint(folder):
    assert newest(folder) == (None, [])


def test_the_two_newest_are_kept(folder):
    for step in (2, 4, 6, 8):
        folder.save(checkpoint(step))
    assert sorted(place.name for place in folder.folder.glob("step-*")) == ["step-000006", "step-000008"]
    assert (folder.folder / "latest").read_text() == "step-000008\n"


def test_the_best_is_kept_beside_them(folder):
    for step, loss in ((2, 0.5), (4, 0.2), (6, None), (8, 0.3), (10, float("nan")), (12, 0.21)):
        folder.save(checkpoint(step, loss))
    kept = ["step-000004", "step-000010", "step-000012"]
    assert sorted(place.name for place in folder.folder.glob("step-*")) == kept
    assert newest(folder)[0].step == 12
    folder.save(checkpoint(14, 0.1))
    assert sorted(place.name for place in folder.folder.glob("step-*")) == ["step-000012", "step-000014"]


def test_an_allowed_change_is_reported(folder):
    folder.save(checkpoint(2))
    notes = []
    found = folder.newest({**IDENTITY, "seed": 1}, notes.append, allow=True)
    assert found.step == 2
    assert notes == ["resuming from a checkpoint that was written with other settings: seed: 0 → 1"]


@pytest.mark.parametrize("file", ["weights.safetensors", "optimiser.safetensors", "history.jsonl", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(folder, file, damage):
    folder.save(checkpoint(2))
    folder.save(checkpoint(4))
    path = folder.folder / "step-000004" / file
    content = bytearray(path.read_bytes())
    if damage == "delete":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    found, notes = newest(folder)
    assert found.step == 2
    assert len(notes) == 1
    assert "step-000004" in notes[0]


def test_a_partial_checkpoint_of_a_killed_writer_is_ignored(folder):
    folder.save(checkpoint(2))
    partial = folder.folder / ".step-000004.1.tmp"
    partial.mkdir()
    (partial / "weights.safetensors").write_bytes(b"half")
    assert newest(folder)[0].step == 2
    folder.save(checkpoint(4))
    assert not partial.exists()


def test_a_full_disk_leaves_earlier_checkpoints_intact(folder, monkeypatch):
    folder.save(checkpoint(2))

    def full(tensors: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left"):
        folder.save(checkpoint(4))
    assert newest(folder)[0].step == 2
    assert not list(folder.folder.glob(".*.tmp"))


def test_a_changed_recipe_is_an_error_that_names_the_change(folder):
    folder.save(checkpoint(2))
    changed = {"recipe": {"steps": 10, "optimiser": {"peak_lr": 2e-3}}, "seed": 0}
    with pytest.raises(CheckpointError, match=r"recipe\.optimiser\.peak_lr: 0\.001 → 0\.002"):
        newest(folder, changed)


def test_differences_name_added_and_removed_keys():
    assert differences({"a": 1}, {"b": 2}) == ["a: 1 → null", "b: null → 2"]
    assert differences(IDENTITY, IDENTITY) == []
