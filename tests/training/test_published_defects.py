"""Defects of the published training, fixed here; numbered as in docs/training.md. The model's are in tests/models."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from labram import recipe as recipes
from labram.events import NullMonitor
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer
from labram.training import loop
from labram.training.async_checkpoint import AsyncCheckpointWriter
from labram.training.checkpoints import Checkpoints
from labram.training.data.labelled import LabelledBatch
from labram.training.data.pretraining_windows import pretraining_windows
from labram.training.data.windows import WindowSampler
from labram.training.model_configs import backbone_config, tokenizer_config
from labram.training.objectives import task_objective
from labram.training.objectives.masked_objective import MaskedObjective
from labram.training.objectives.task_objective import TaskObjective
from labram.training.objectives.tokenizer_objective import TokenizerObjective
from labram.training.optimiser import parameter_groups
from labram.training.plan import pretraining_plan, task_plan
from labram.training.preemption import PreemptionFlag
from labram.training.stage_run import StageRun
from labram.training.tokenizer_stage import train_tokenizer

ROOT = Path(__file__).parents[2]
OF_THE_TRAINING = {6, 12, 13, 14, 15, 16, 26, 29, 31, 34}


class Breaks(NullMonitor):
    """Interrupts the training after a step."""

    def __init__(self, after):
        self.after = after

    def progress(self, done, total, **figures):
        if done == self.after:
            raise KeyboardInterrupt


@pytest.fixture
def train(mixed, architecture, tmp_path):
    """Trains a tokenizer."""

    def run(recipe, monitor=None):
        return train_tokenizer(
            mixed.corpus,
            mixed.store,
            architecture,
            recipe,
            StageRun(
                seed=0,
                checkpoints=tmp_path / "checkpoints",
                out=tmp_path / "tokenizer",
                monitor=monitor or NullMonitor(),
            ),
        )

    return run


@pytest.fixture
def windows(mixed, tokenizer_recipe):
    """Training windows, and validation windows of two montages."""
    recipe = tokenizer_recipe(micro_batches=4)
    return pretraining_windows(mixed.corpus, mixed.store, recipe, 0, NullMonitor())


def models(architecture, tokenizer_recipe):
    torch.manual_seed(0)
    tokenizer = Tokenizer(tokenizer_config(architecture, tokenizer_recipe()))
    return tokenizer, MaskedModel(backbone_config(architecture, architecture.codes))


def test_defect_6_a_training_resumes_at_its_step_and_from_its_own_folder_only(
    train, tokenizer_recipe, tmp_path, monkeypatch
):
    """Published: training resumes at epoch 1 for any checkpoint, also from those of the current folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(KeyboardInterrupt):
        train(tokenizer_recipe(checkpoint_every=2), Breaks(after=5))
    asked, batch = [], WindowSampler.batch
    monkeypatch.setattr(
        WindowSampler, "batch", lambda self, step, *share: asked.append(step) or batch(self, step, *share)
    )
    assert train(tokenizer_recipe(checkpoint_every=2))["steps"] == 6
    assert asked == [4, 5]
    assert not list(Path.cwd().iterdir())


def test_defect_12_the_best_epoch_is_chosen_by_the_metric_of_the_paper(task_recipe):
    """Published: by accuracy, although the paper selects by AUROC and kappa."""
    base = recipes.load("base")
    assert [task.metric for task in base.tasks] == ["auroc", "cohen_kappa"]
    for task in (*base.tasks, task_recipe("regression")):
        assert task_plan(task, 10, 0, select=True).selection.metric == task.metric


def test_defect_13_probabilities_are_computed_in_float64_from_float32_logits():
    """Published: in float16."""

    class Reduced(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x, rows):
            return torch.tensor([[20.0], [-20.0]], dtype=torch.bfloat16)

    objective, seen = TaskObjective(Reduced(), "binary"), []
    batch = LabelledBatch(np.zeros((2, 1, 1, 200), np.float32), np.array([1.0, 0.0]), (1,), ("a", "b"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_objective, "scores", lambda kind, y, prediction: seen.append(prediction) or {})
        objective.validate([batch])
    assert seen[0].dtype == np.float64
    assert 0 < seen[0][1] < 1e-8 < 1 - seen[0][1]
    assert seen[0][0] < 1


def test_defect_14_every_step_mixes_montages(windows):
    """Published: one montage after the other, each for a part of the epoch."""
    batches, _ = windows
    assert all(len({batch.montage for batch in batches.batch(step)}) == 2 for step in range(20))


def test_defect_15_one_counter_of_steps_and_no_gradient_that_carries_over(train, tokenizer_recipe, monkeypatch):
    """Published: a step is lost with each montage, and what was accumulated for one is added to the next."""
    step, left = torch.optim.AdamW.step, []

    class Looks(NullMonitor):
        def progress(self, done, total, **figures):
            left.append(sum(parameter.grad is not None for parameter in parameters))

    parameters, rates = [], []

    def steps(self, *arguments):
        parameters[:] = [parameter for group in self.param_groups for parameter in group["params"]]
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", steps)
    recipe = tokenizer_recipe(steps=7, warmup_steps=2, micro_batches=3)
    assert train(recipe, Looks())["steps"] == len(rates) == 7
    assert rates[1] == max(rates) == recipe.optimiser.peak_lr
    assert left == [0] * 7


def test_defect_16_a_constant_recording_stops_no_training(mixed, train, tokenizer_recipe):
    """Published: NaN, and the process exits with code 1."""
    for index in range(4):
        mixed.add(f"flat{index}", ("FP1", "FP2"), np.full((2, 8000), 3.0 * index))
    figures = train(tokenizer_recipe(micro_batches=3))
    assert figures["skipped_steps"] == 0
    assert np.isfinite(figures["loss"])


def test_defect_26_validation_metrics_are_means_over_all_batches(windows, architecture, tokenizer_recipe):
    """Published: the components of the loss are those of the last batch."""
    _, validation = windows
    tokenizer, _ = models(architecture, tokenizer_recipe)
    objective = TokenizerObjective(tokenizer.eval())
    alone = [objective.validate([batch])["amplitude_loss"] for batch in validation]
    assert np.ptp(alone) > 0
    weights = [batch.weight for batch in validation]
    assert objective.validate(validation)["amplitude_loss"] == pytest.approx(
        np.average(alone, weights=weights), rel=1e-5
    )


@pytest.mark.parametrize("stage", ["tokenizer", "pretraining"])
def test_defect_29_no_step_of_the_loop_waits_for_the_device(windows, architecture, tokenizer_recipe, tmp_path, stage):
    """Published: several values a step are fetched for the log, which synchronises the device."""
    batches, _ = windows
    tokenizer, masked = models(architecture, tokenizer_recipe)
    whole = MaskedObjective(masked, tokenizer, mask_ratio=0.5, symmetric=True) if stage == "pretraining" else None
    objective = whole or TokenizerObjective(tokenizer)
    plan = pretraining_plan(tokenizer_recipe(steps=100, log_every=50), 0)
    groups, writer = parameter_groups(objective.model, 0.05), AsyncCheckpointWriter(Checkpoints(tmp_path), print)
    training = loop._Loop(objective, batches, plan, groups, writer, {}, NullMonitor())
    assert training.step(PreemptionFlag())
    training.device = SimpleNamespace(type="cuda")  # not the CPU, whose values may be looked at at any time
    with _Operations() as seen:
        assert training.step(PreemptionFlag())
    assert "_fused_adamw_" in seen.names
    assert not seen.names & {"_local_scalar_dense", "item", "nonzero", "equal", "masked_select", "unique"}


class _Operations(TorchDispatchMode):
    """Keeps the names of PyTorch's operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **kwargs or {})


def test_defect_31_metrics_are_computed_once_over_all_windows(monkeypatch):
    """Published: by every rank in full, with metrics of each batch."""
    model, calls = nn.Linear(1, 1), []
    objective = TaskObjective(model, "binary")
    monkeypatch.setattr(TaskObjective, "_output", lambda self, x, rows: x[:, 0, 0, :1])
    monkeypatch.setattr(task_objective, "scores", lambda kind, y, prediction: calls.append(len(y)) or {})
    batch = LabelledBatch(np.zeros((3, 1, 1, 200), np.float32), np.array([1.0, 0, 1]), (1,), ("a",) * 3)
    objective.validate([batch] * 5)
    assert calls == [15]


def test_defect_34_baselines_are_logged_beside_the_loss(windows, architecture, tokenizer_recipe):
    """Published: loss and accuracy only, without a baseline."""
    _, validation = windows
    tokenizer, masked = models(architecture, tokenizer_recipe)
    figures = MaskedObjective(masked.eval(), tokenizer, mask_ratio=0.5, symmetric=True).validate(validation)
    assert 0 < figures["majority"] <= 1
    assert 0 <= figures["target_entropy"] <= np.log(architecture.codes)
    assert figures["loss"] / 2 == pytest.approx(np.log(architecture.codes), rel=0.2)


def test_every_defect_of_the_training_has_a_test_and_a_line_in_the_documentation():
    tests = Path(__file__).read_text(encoding="utf-8")
    table = re.findall(r"^\| (\d+) \|.*`(test_defect_\w+)`", (ROOT / "docs" / "training.md").read_text(), re.M)
    assert {int(number) for number, _ in table} == OF_THE_TRAINING
    for number, name in table:
        assert name.startswith(f"test_defect_{number}_")
        assert f"def {name}(" in tests
