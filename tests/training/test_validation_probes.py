"""Pre-training is validated by probes on held-out subjects, beside its initial weights, and can stop on them."""

import json

import numpy as np
import pytest
import torch

from labram.errors import LabelError
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel
from labram.recipe import PretrainingRecipe, Recipe, ValidationProbeRecipe
from labram.training import loop
from labram.training.validation_probes import PROBE_GAIN, ValidationProbes
from tests.training.test_stages import Trainer

PROBE = {
    "task": "rhythm", "dataset": "tiny", "kind": "binary", "classes": ["rest", "ten_hz"], "seconds": 2,
    "metric": "auroc",
}  # fmt: skip
SPEED = PROBE | {"task": "speed", "kind": "regression", "classes": ["left", "right"], "metric": "rmse"}


@pytest.fixture
def trained(mixed, architecture, tmp_path, tokenizer_recipe):
    trainer = Trainer(mixed, architecture, tmp_path)
    trainer.tokenizer(tokenizer_recipe(steps=1, warmup_steps=0))
    return trainer


def model(seed):
    torch.manual_seed(seed)
    return MaskedModel(
        BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16, patch_embedding="time-frequency")
    )


def test_probes_find_what_an_embedding_holds_and_gain_nothing_without_change(mixed):
    one = model(0)
    probes = [ValidationProbeRecipe.model_validate(probe) for probe in (PROBE, SPEED)]
    found = ValidationProbes(mixed.corpus, mixed.store, probes, one)
    same = found.scores(one)
    assert same["probe/rhythm"] == same["probe/rhythm/random"] > 0.9
    assert same[PROBE_GAIN] == 0
    other = found.scores(model(1))
    gains = other["probe/rhythm"] - same["probe/rhythm"], same["probe/speed"] - other["probe/speed"]
    assert other[PROBE_GAIN] == pytest.approx(np.mean(gains))


def test_windows_are_limited_evenly_and_test_subjects_are_not_used(mixed):
    probe = ValidationProbeRecipe.model_validate(PROBE | {"most_windows": 10})
    (_, fitted, held_out), *_ = ValidationProbes(mixed.corpus, mixed.store, [probe], model(0))._probes
    assert len(fitted.indices) == len(held_out.indices) == 10
    assert (fitted.indices[0], fitted.indices[-1]) == (0, len(fitted.windows) - 1)
    assert set(held_out.windows.subject_keys) == {"r4", "r5"}
    assert set(fitted.windows.subject_keys) == {"r0", "r1", "r2"}


def test_curves_hold_the_probes_and_the_best_weights_are_kept(trained, pretraining_recipe, monkeypatch):
    monkeypatch.setattr(loop, "_improves", lambda *_: False)
    recipe = pretraining_recipe(probes=[PROBE], probe_patience=1, steps=6, validate_every=2)
    found = trained.pretrain(recipe)
    rows = [row for row in trained.history("backbone") if row["phase"] == "validation"]
    assert [row["step"] for row in rows] == [2, 4]
    assert all({"probe/rhythm", "probe/rhythm/random", PROBE_GAIN, "accuracy"} <= set(row) for row in rows)
    assert len({row["probe/rhythm/random"] for row in rows}) == 1
    assert found["best_step"] == 2
    assert found["steps"] == 4
    assert isinstance(weights.load(trained.folder / "backbone"), MaskedModel)
    json.dumps(found)


def test_a_probe_without_labels_is_an_error_before_training(trained, pretraining_recipe):
    with pytest.raises(LabelError, match="no train subject of other has a labelled window of rhythm"):
        trained.pretrain(pretraining_recipe(probes=[PROBE | {"dataset": "other"}]))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"probes": [PROBE, PROBE]}, "two have the same task"),
        ({"probe_patience": 2}, "probe_patience needs probes"),
        ({"probes": [PROBE], "sharded": True}, "probes need whole models"),
        ({"probes": [PROBE | {"metric": "r2"}]}, "metric of a binary probe must be one of"),
    ],
)
def test_settings_that_contradict_are_errors(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        PretrainingRecipe.model_validate({"steps": 1} | settings)


def test_labels_of_tested_subjects_do_not_select_a_backbone():
    task = {name: value for name, value in PROBE.items() if name != "task"} | {"name": "rhythm", "title": "Rhythm"}
    settings = {
        "name": "r", "description": "d", "tokenizer": {"steps": 1},
        "pretraining": {"steps": 1, "probes": [PROBE], "probe_patience": 2},
        "tasks": [task | {"adaptation": {"strategy": "probe"}}],
    }  # fmt: skip
    assert Recipe.model_validate(settings).pretraining.probe_patience == 2
    with pytest.raises(ValueError, match="labels of tiny would select the backbone"):
        Recipe.model_validate(settings | {"split": {"kind": "kfold"}})
