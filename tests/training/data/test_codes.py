"""Stored codes equal those that the tokenizer computes for the training windows."""

import numpy as np
import pytest
import torch

from labram.errors import StoreError
from labram.events import NullMonitor
from labram.models import weights
from labram.models.tokenizer import Tokenizer
from labram.recipe import PretrainingRecipe
from labram.training.backbone_stage import train_backbone
from labram.training.data import codes
from labram.training.data.windows import WindowSampler
from labram.training.stage_run import StageRun
from labram.training.tokenizer_stage import train_tokenizer

LIMITS = {"patches": 48, "micro_batches": 3, "window_patches": 24, "window_seconds": 4}


@pytest.fixture
def teacher(mixed, architecture, tokenizer_recipe, tmp_path):
    """Folder of a tokenizer."""
    train_tokenizer(
        mixed.corpus,
        mixed.store,
        architecture,
        tokenizer_recipe(steps=2),
        StageRun(0, tmp_path / "checkpoints", tmp_path / "tokenizer", NullMonitor()),
    )
    return tmp_path / "tokenizer"


@pytest.fixture
def tokenizer(teacher):
    return weights.load(teacher).eval()


@pytest.fixture
def sampler(mixed):
    return WindowSampler.of(mixed.corpus, mixed.store, split="train", seed=0, **LIMITS)


def counted(sampler, tokenizer, digest="a" * 64):
    notes = []
    monitor = NullMonitor()
    monitor.note = notes.append
    return codes.with_stored_codes(sampler, tokenizer, digest, monitor), notes


def test_stored_codes_equal_the_tokenizers_codes_of_the_windows(sampler, tokenizer):
    coded, notes = counted(sampler, tokenizer)
    assert notes == ["computed and stored codes of 4 recordings; 0 were already stored"]
    for step in range(10):
        for batch in coded.batch(step):
            expected = tokenizer.encode(torch.from_numpy(batch.x), torch.tensor(batch.rows))
            assert np.array_equal(batch.codes, expected.numpy())


def test_windows_with_codes_are_consecutive_from_the_start(make_tiny, tokenizer, tmp_path):
    tiny = make_tiny(tmp_path / "ramp")
    tiny.add("ramp", ("FP1",), np.arange(23 * 200, dtype=float)[None] / 4)
    ramp = WindowSampler.of(tiny.corpus, tiny.store, split="train", seed=0, **LIMITS)
    coded, _ = counted(ramp, tokenizer)
    firsts = np.concatenate([batch.x[:, 0, 0, 0] for step in range(10) for batch in coded.batch(step)])
    assert set(np.round(firsts * 400 / 200, 2)) == {0, 4, 8, 12, 16}


def test_a_code_depends_on_its_window(tokenizer, sampler):
    """The reason to store codes of windows, not of patches."""
    (batch, *_) = (batch for batch in sampler.batch(0) if batch.x.shape[2] == 4)
    rows = torch.tensor(batch.rows)
    whole = tokenizer.features(torch.from_numpy(batch.x), rows).unflatten(1, (len(rows), 4))[:, :, :2]
    half = tokenizer.features(torch.from_numpy(batch.x[:, :, :2]), rows).unflatten(1, (len(rows), 2))
    assert not torch.allclose(whole, half, atol=1e-3)


def test_stored_codes_are_computed_again_for_another_tokenizer_only(sampler, tokenizer):
    counted(sampler, tokenizer)
    assert counted(sampler, tokenizer)[1] == []
    assert counted(sampler, tokenizer, "b" * 64)[1] != []


def test_a_truncated_file_of_codes_is_computed_again(sampler, tokenizer, mixed):
    counted(sampler, tokenizer)
    (pool, *_) = sampler.pools
    path = mixed.store._array_path(pool.keys[0], pool.codes_name("codes-" + "a" * 16, 0))
    path.write_bytes(path.read_bytes()[:140])
    assert counted(sampler, tokenizer)[1] == ["computed and stored codes of 1 recordings; 3 were already stored"]


def test_missing_codes_are_an_error(sampler, tokenizer, mixed):
    coded, _ = counted(sampler, tokenizer)
    for path in mixed.store.root.rglob("*.npy"):
        path.unlink()
    with pytest.raises(StoreError, match="codes of a recording are missing"):
        coded.batch(0)


def test_pretraining_by_stored_codes_runs_the_tokenizer_for_validation_only(
    mixed, teacher, architecture, pretraining_recipe, tmp_path, monkeypatch
):
    asked = []
    encode = Tokenizer.encode
    monkeypatch.setattr(
        Tokenizer,
        "encode",
        lambda self, x, rows: asked.append(torch.is_grad_enabled()) or encode(self, x, rows),
    )

    def pretrain(name):
        asked.clear()
        return train_backbone(
            mixed.corpus,
            mixed.store,
            teacher,
            architecture,
            pretraining_recipe(stored_codes=True),
            StageRun(0, tmp_path / name / "checkpoints", tmp_path / name / "out", NullMonitor()),
        )

    first = pretrain("first")
    again = pretrain("again")
    assert again == first
    assert len(asked) == 4, "two validations of two batches"
    assert not any(asked)


def test_stored_codes_with_random_window_lengths_are_an_error(pretraining_recipe):
    with pytest.raises(ValueError, match="set shortest_window_seconds to null"):
        PretrainingRecipe.model_validate(
            {**pretraining_recipe().model_dump(), "stored_codes": True, "shortest_window_seconds": 2}
        )
