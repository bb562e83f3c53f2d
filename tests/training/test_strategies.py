"""Every strategy trains the weights that it names and no others, learns what is there, and leaves a plain model."""

import json
import shutil

import numpy as np
import pytest
import torch

from labram.errors import RecipeError
from labram.evaluation.study import ablation_runs
from labram.events import NullMonitor
from labram.inference.predictor import Predictor
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel
from labram.recipe import AdaptationRecipe, load, merge
from labram.training import loop
from labram.training.stage_run import StageRun
from labram.training.task_stage import train_task_model
from tests.training.conftest import WIDE, noise

CONFIG = BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16, patch_embedding="time-frequency")
LAYERS = {"attn.qkv": (300, 100), "attn.proj": (100, 100), "mlp.fc1": (400, 100), "mlp.fc2": (100, 400)}


@pytest.fixture
def adapt(mixed, tmp_path, task_recipe):
    """Adapt random weights to a task; return folder and metrics."""
    torch.manual_seed(0)
    weights.save(MaskedModel(CONFIG), tmp_path / "backbone")

    def train(kind="binary", *, epochs=6, **adaptation):
        task = task_recipe(
            kind,
            epochs=epochs,
            warmup_epochs=0,
            adaptation=adaptation,
            class_weights=False,
            optimiser={"peak_lr": 3e-3, "betas": (0.9, 0.999), "min_lr": 1e-6},
        )
        run = StageRun(0, tmp_path / "checkpoints", tmp_path / "out", NullMonitor())
        return tmp_path / "out", train_task_model(mixed.corpus, mixed.store, tmp_path / "backbone", task, run)

    return train


def encoder(folder):
    return {name: value for name, value in weights.load(folder).state_dict().items() if name.startswith("encoder.")}


def test_lora_changes_linear_layers_by_its_rank_and_leaves_a_plain_model(adapt, tmp_path):
    folder, found = adapt(strategy="lora", rank=3, epochs=3)
    updates = sum(3 * sum(shape) for shape in LAYERS.values())
    assert found["trained_parameters"] == updates + 2 * 100 + 101  # and the norm and the head
    assert found["auroc"] > 0.9
    before, after = encoder(tmp_path / "backbone"), encoder(folder)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {f"encoder.blocks.0.{layer}.weight" for layer in LAYERS}
    ranks = {int(torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-4)) for name in changed}
    assert ranks == {3}
    assert Predictor(folder).predict_prepared(np.zeros((1, 2, 400), np.float32), ["C3", "C4"]).shape == (1,)


def test_a_rank_as_large_as_the_width_is_an_error_before_training(adapt):
    with pytest.raises(RecipeError, match="a rank of 100 is not less than the width 100"):
        adapt(strategy="lora", rank=100)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_two_stages_begin_with_the_head_in_closed_form_and_never_end_below_it(adapt, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(loop, "_improves", lambda *_: False)
    folder, found = adapt(kind, strategy="two-stage", epochs=1)
    assert found["best_step"] == 0
    metric, least = ("auroc", 0.9) if kind == "binary" else ("r2", 0.3)
    assert found[metric] > least
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()[:-1]]
    assert next(row["step"] for row in rows if row["phase"] == "validation") == 0
    before, after = encoder(tmp_path / "backbone"), encoder(folder)
    assert all(torch.equal(before[name], after[name]) for name in after)
    assert found["frozen_parameters"] == 0


def test_the_second_stage_moves_the_encoder_slowly(adapt, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_improves", lambda *_: True)
    moved = {}
    for rate in (1.0, 0.01):
        folder, _ = adapt(strategy="two-stage", encoder_rate=rate, epochs=1)
        before, after = encoder(tmp_path / "backbone"), encoder(folder)
        name = "encoder.blocks.0.mlp.fc1.weight"
        moved[rate] = float((after[name] - before[name]).abs().mean())
        shutil.rmtree(tmp_path / "checkpoints")
    assert moved[0.01] < 0.05 * moved[1.0]


@pytest.mark.parametrize("head", ["channels", "attention", "covariance"])
def test_every_head_learns_the_rhythm(adapt, mixed, head):
    for row in mixed.rows:  # of the others, one has one class only: a head that tells electrodes apart learns that
        row["verdict"] = "accepted" if len(row["montage"]) == len(WIDE) else "quarantined"
    mixed.add("r9", WIDE, noise(9, len(WIDE), 12, 10.0), split="validation")
    mixed.label("r9", "rhythm", 0.0, 12, 1)
    folder, found = adapt(strategy="two-stage", head=head, epochs=2)
    assert found["auroc"] > 0.9
    assert weights.load(folder).pooling == head


def test_settings_of_another_strategy_are_an_error():
    for settings, complaint in (
        ({"strategy": "probe", "rank": 4}, "rank: only for strategy: lora, not for probe"),
        ({"strategy": "probe", "head": "attention"}, "head: only for strategy: full or two-stage or lora"),
        ({"strategy": "full", "encoder_rate": 0.5}, "encoder_rate: only for strategy: two-stage"),
    ):
        with pytest.raises(ValueError, match=complaint):
            AdaptationRecipe.model_validate(settings)


def test_variants_of_a_study_replace_the_strategy_of_the_task():
    recipe = load("demo-study")
    variants = [
        {"name": "probe"},
        {"name": "lora", "task": {"adaptation": {"strategy": "lora", "rank": 2}}},
        {"name": "two-stage", "task": {"adaptation": {"strategy": "two-stage", "head": "attention"}}},
    ]
    study = recipe.model_validate(merge(recipe.model_dump(mode="json"), {"study": {"seeds": 1, "variants": variants}}))
    found = [run.task.adaptation for run in ablation_runs(study) if run.task.name == "gait"]
    assert [adaptation.strategy for adaptation in found] == ["probe", "lora", "two-stage"]
    assert [adaptation.pooling for adaptation in found] == ["channels", "mean", "mean"]
    assert (found[1].rank, found[2].head) == (2, "attention")
