import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from labram.errors import CheckpointError, LabramWarning, TrainingError
from labram.events import NullMonitor
from labram.recipe import OptimiserRecipe
from labram.training import loop
from labram.training.async_checkpoint import AsyncCheckpointWriter
from labram.training.checkpoints import Checkpoints
from labram.training.loop import fit
from labram.training.metric_accumulator import MetricAccumulator
from labram.training.optimiser import parameter_groups
from labram.training.plan import ModelSelection, TrainingPlan
from labram.training.preemption import PreemptionFlag


@dataclass
class Numbers:
    """A micro-batch."""

    x: torch.Tensor
    recording_ids: tuple[str, ...] = ("r1", "r2")

    @property
    def weight(self):
        return len(self.x)


class Line(nn.Module):
    """A linear model with dropout and a buffer that training updates, like a codebook."""

    dropout = 0.2

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(x.mean(dim=0), 0.1)
        return self.linear(nn.functional.dropout(x, self.dropout, self.training))


class Objective:
    """Least squares with NaN losses at the calls in `poisoned`."""

    def __init__(self, poisoned=()):
        torch.manual_seed(0)
        self.model, self.poisoned, self.calls, self.afters = Line(), poisoned, 0, []

    def loss(self, batch, random):
        self.calls += 1
        noise = torch.rand(1, generator=random)
        poison = float("nan") if self.calls in self.poisoned else 1.0
        loss = (self.model(batch.x * poison) - batch.x.sum(dim=1, keepdim=True)).square().mean() + 0 * noise.sum()
        return loss, {"loss": loss.detach(), "noise": noise.mean()}

    step_statistics = ()

    def after_step(self, step, batches):
        self.afters.append((step, len(batches)))

    def summarise(self, means):
        return {name: float(value) for name, value in means.items()}

    def validate(self, batches):
        return {"loss": float(np.mean([float(self.loss(batch, torch.Generator())[0]) for batch in batches]))}


class Stream:
    """Two micro-batches of different size a step."""

    def batch(self, step, share=slice(None)):
        random = torch.Generator().manual_seed(step)
        return [Numbers(torch.randn(size, 3, generator=random)) for size in (4, 2)][share]


class Recorder(NullMonitor):
    def __init__(self):
        self.notes, self.values, self.done = [], {}, []

    def note(self, text):
        self.notes.append(text)

    def metrics(self, step, values):
        self.values.setdefault(step, {}).update(values)

    def progress(self, done, total, **figures):
        self.done.append((done, total, figures))


PLAN = TrainingPlan(
    steps=12,
    warmup_steps=2,
    optimiser=OptimiserRecipe(peak_lr=0.05, clip_norm=1.0),
    seed=0,
    log_every=4,
    validate_every=6,
    checkpoint_every=5,
    threads=1,
)


def run(folder, objective=None, plan=PLAN, monitor=None, identity=None, validation=(), **changes):
    objective = objective or Objective()
    settings = {**vars(plan), **changes}
    fitted = fit(
        objective,
        Stream(),
        list(validation),
        TrainingPlan(**settings),
        groups=parameter_groups(objective.model, 0.01),
        checkpoints=Checkpoints(folder),
        identity=identity or {},
        monitor=monitor or NullMonitor(),
    )
    return objective.model.state_dict(), fitted


def equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("selection", [None, ModelSelection("loss", patience=9)])
def test_a_validation_loss_that_is_not_finite_ends_the_training(tmp_path, value, selection):
    objective = Objective()
    objective.validate = lambda batches: {"loss": value, "accuracy": 0.58}
    with pytest.raises(TrainingError, match=r"validation loss after step 6 is not finite.*peak_lr"):
        run(tmp_path, objective, validation=Stream().batch(99), selection=selection)


class Interrupted(Exception):
    pass


class Breaks(Recorder):
    """Interrupts the training at a step."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def progress(self, done, total, **figures):
        if done == self.at:
            raise Interrupted


@pytest.mark.parametrize("moment", range(1, 12))
def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, moment):
    validation = Stream().batch(99)
    weights, fitted = run(tmp_path / "whole", validation=validation)
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", monitor=Breaks(at=moment), validation=validation)
    again, resumed = run(tmp_path / "broken", validation=validation)
    assert equal(again, weights)
    assert resumed == fitted
    written = [
        step for step in range(1, moment) if step % PLAN.checkpoint_every == 0 or step % PLAN.validate_every == 0
    ]
    assert (fitted.resumed, resumed.resumed) == ((), tuple(written[-1:]))


def test_a_checkpoint_is_never_older_than_the_minutes_that_are_set(tmp_path):
    weights, fitted = run(tmp_path / "whole", checkpoint_every=100)
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", monitor=Breaks(at=7), checkpoint_every=100, checkpoint_every_minutes=1e-9)
    again, resumed = run(tmp_path / "broken", checkpoint_every=100)
    assert resumed.resumed == (6,), "the step before was saved although no number of steps was due"
    assert equal(again, weights)
    assert resumed == fitted


def test_the_best_weights_survive_an_interruption(tmp_path):
    plan = TrainingPlan(**{**vars(PLAN), "validate_every": 2, "selection": ModelSelection("loss", patience=9)})
    validation = Stream().batch(99)
    weights, fitted = run(tmp_path / "whole", plan=plan, validation=validation)
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", plan=plan, monitor=Breaks(at=11), validation=validation)
    again, resumed = run(tmp_path / "broken", plan=plan, validation=validation)
    assert equal(again, weights)
    assert resumed == fitted


class Watches(Recorder):
    """Copies the weights after each step."""

    def __init__(self, model):
        super().__init__()
        self.model, self.seen = model, []

    def progress(self, done, total, **figures):
        self.seen.append(self.model.linear.weight.detach().clone())


def test_the_average_of_the_weights_is_kept_and_survives_an_interruption(tmp_path):
    objective, validation = Objective(), Stream().batch(99)
    watch = Watches(objective.model)
    weights, fitted = run(
        tmp_path / "whole", objective, monitor=watch, validation=validation, weight_average=0.5, steps=11
    )
    average = watch.seen[0]
    for step, seen in enumerate(watch.seen[1:], start=2):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * seen
    torch.testing.assert_close(weights["linear.weight"], average)
    assert not torch.equal(weights["linear.weight"], watch.seen[-1])
    changed = {"validation": validation, "weight_average": 0.5, "steps": 11}
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", monitor=Breaks(at=8), **changed)
    again, resumed = run(tmp_path / "broken", **changed)
    assert equal(again, weights)
    assert resumed == fitted


def test_gradients_of_micro_batches_add_up_weighted_by_their_size(tmp_path, monkeypatch):
    monkeypatch.setattr(Line, "dropout", 0.0)
    apart, _ = run(tmp_path / "apart")
    micro_batches = Stream.batch
    whole = lambda self, step, share: [Numbers(torch.cat([part.x for part in micro_batches(self, step)]))]  # noqa: E731
    monkeypatch.setattr(Stream, "batch", whole)
    together, _ = run(tmp_path / "together")
    torch.testing.assert_close(apart["linear.weight"], together["linear.weight"], rtol=1e-4, atol=1e-5)


def test_the_objective_is_called_after_each_step(tmp_path):
    objective = Objective()
    run(tmp_path, objective)
    assert objective.afters == [(step, 2) for step in range(1, 13)]


def test_a_non_finite_step_is_skipped_and_counted(tmp_path):
    class Skips(Recorder):
        def __init__(self, model):
            super().__init__()
            self.model, self.weights = model, []

        def progress(self, done, total, **figures):
            self.weights.append({name: value.clone() for name, value in self.model.state_dict().items()})

    objective = Objective(poisoned=(5,))  # first micro-batch of the third step
    monitor = Skips(objective.model)
    _, fitted = run(tmp_path, objective, monitor=monitor)
    assert fitted.skipped_steps == 1
    assert equal(monitor.weights[1], monitor.weights[2])
    assert not equal(monitor.weights[2], monitor.weights[3])
    assert all(np.isfinite(row["loss"]) for row in fitted.history)
    assert [row["skipped_steps"] for row in fitted.history] == [0, 1, 1, 1]


def test_three_consecutive_non_finite_steps_are_an_error_that_names_the_recordings(tmp_path):
    with pytest.raises(TrainingError, match=r"not finite in 3 consecutive steps, up to step 4, .* r1, r2"):
        run(tmp_path, Objective(poisoned=(3, 5, 8)))


def test_on_a_gpu_the_error_at_a_logged_step_still_names_the_recordings_of_the_third_step(tmp_path):
    class Named(Stream):
        def batch(self, step, share=slice(None)):
            return [Numbers(batch.x, (f"of step {step + 1}",)) for batch in super().batch(step, share)]

    objective, plan = Objective(poisoned=(3, 5, 7)), TrainingPlan(**{**vars(PLAN), "log_every": 8})
    groups, writer = parameter_groups(objective.model, 0.01), AsyncCheckpointWriter(Checkpoints(tmp_path), print)
    training = loop._Loop(objective, Named(), plan, groups, writer, {}, NullMonitor())
    training.device = SimpleNamespace(type="cuda")
    assert all(training.step(PreemptionFlag()) for _ in range(7))
    with pytest.raises(TrainingError, match=r"up to step 4, whose windows are from of step 4\."):
        training.step(PreemptionFlag())


def test_counts_of_an_older_checkpoint_are_restored():
    running = MetricAccumulator(torch.device("cpu"))
    running.load_state_dict({"steps": torch.tensor(5.0), "faults": torch.tensor([4.0, 2.0, 2.0])})
    running.add({}, torch.tensor(False), 9)
    assert (running.skipped_steps, running.last_step_of_nonfinite_run(3)) == (5, 9)


def test_sigterm_within_a_step_abandons_it(tmp_path):
    class Asked(Objective):
        def loss(self, batch, random):
            if self.calls == 14:  # first of the two micro-batches of the eighth step
                os.kill(os.getpid(), signal.SIGTERM)
            return super().loss(batch, random)

    weights, _ = run(tmp_path / "whole")
    objective = Asked()
    with pytest.raises(SystemExit, match="143"):
        run(tmp_path / "asked", objective)
    assert objective.calls == 15
    again, fitted = run(tmp_path / "asked")
    assert fitted.resumed == (7,)
    assert equal(again, weights)


def test_separate_pairs_of_non_finite_steps_are_no_error(tmp_path):
    _, fitted = run(tmp_path, Objective(poisoned=(3, 5, 9, 11)))
    assert fitted.skipped_steps == 4


def test_a_full_disk_does_not_stop_training(tmp_path, monkeypatch):
    def full(*_):
        raise CheckpointError("no space", remedy="Free some")

    monkeypatch.setattr(Checkpoints, "save", full)
    monitor = Recorder()
    with pytest.warns(LabramWarning, match="continues without a checkpoint"):
        _, fitted = run(tmp_path, monitor=monitor)
    assert fitted.step == 12
    assert len(monitor.notes) == 3


UNLIMITED = resource.getrlimit(resource.RLIMIT_FSIZE)


class Fills(Recorder):
    """Limits file sizes to 200 bytes from step 7 to step 16."""

    def __init__(self, checkpoints):
        super().__init__()
        self.checkpoints, self.meanwhile = checkpoints, None

    def progress(self, done, total, **figures):
        if done == 7:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200, UNLIMITED[1]))
        if done == 16:
            self.meanwhile = self.checkpoints.newest({}, self.note)
            resource.setrlimit(resource.RLIMIT_FSIZE, UNLIMITED)


def test_a_temporarily_full_disk_costs_only_checkpoints(tmp_path):
    monitor = Fills(Checkpoints(tmp_path / "full"))
    try:
        with pytest.warns(LabramWarning, match=r"step \d+ cannot be written .*File too large"):
            weights, _ = run(tmp_path / "full", monitor=monitor, steps=20, checkpoint_every=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, UNLIMITED)
    assert monitor.meanwhile.step in (3, 6), "what was written before is intact"
    assert Checkpoints(tmp_path / "full").newest({}, monitor.note).step == 20
    assert not list((tmp_path / "full").glob(".*"))
    assert equal(weights, run(tmp_path / "empty", steps=20, checkpoint_every=3)[0])


def test_a_checkpoint_has_the_state_at_the_time_of_the_call(tmp_path, monkeypatch):
    """Training continues while a slow disk is written."""
    save, steps = Checkpoints.save, []

    def slow(self, checkpoint):
        before = {name: value.clone() for name, value in checkpoint.tensors["weights"].items()}
        time.sleep(0.2)
        assert equal(before, checkpoint.tensors["weights"])
        steps.append((checkpoint.step, threading.current_thread() is threading.main_thread()))
        save(self, checkpoint)

    monkeypatch.setattr(Checkpoints, "save", slow)
    weights, _ = run(tmp_path / "slow")
    assert steps == [(5, False), (10, False), (12, False)]
    monkeypatch.setattr(Checkpoints, "save", save)
    assert equal(weights, run(tmp_path / "fast")[0])


def test_a_damaged_checkpoint_is_reported_and_the_previous_one_used(tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path, monitor=Breaks(at=11))
    (tmp_path / "step-000010" / "weights.safetensors").write_bytes(b"")
    monitor = Recorder()
    with pytest.warns(LabramWarning, match="step-000010: it is damaged"):
        weights, _ = run(tmp_path, monitor=monitor)
    assert monitor.notes[1] == "resuming after step 5 of 12"
    assert equal(weights, run(tmp_path / "whole")[0])


def test_a_changed_architecture_is_an_error_even_if_allowed(tmp_path):
    run(tmp_path)
    other = Objective()
    other.model.linear = nn.Linear(3, 2)
    with pytest.raises(CheckpointError, match="for another model architecture"):
        run(tmp_path, other)


def test_progress_is_reported_each_step_and_metrics_when_due(tmp_path):
    monitor = Recorder()
    run(tmp_path, monitor=monitor, validation=Stream().batch(99))
    assert [done for done, _, _ in monitor.done] == list(range(1, 13))
    assert all({"loss", "patches_per_s"} == set(figures) for _, _, figures in monitor.done)
    assert sorted(monitor.values) == [1, 4, 6, 8, 12]
    assert "validation/loss" in monitor.values[6]
    assert {"loss", "lr", "patches_per_s"} <= set(monitor.values[12])


def test_logged_metrics_are_means_since_the_last_logged_step(tmp_path):
    every = run(tmp_path / "every", log_every=1)[1].history
    some = run(tmp_path / "some", log_every=4)[1].history
    assert some[1]["loss"] == pytest.approx(np.mean([row["loss"] for row in every[1:4]]), rel=1e-5)


def test_training_stops_early_when_validation_does_not_improve(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_improves", lambda *_: False)
    plan = TrainingPlan(**{**vars(PLAN), "validate_every": 1, "selection": ModelSelection("loss", patience=3)})
    _, fitted = run(tmp_path, plan=plan, validation=Stream().batch(99))
    assert (fitted.step, fitted.metrics["best_step"]) == (4, 1)


def test_a_tie_is_broken_by_the_loss_and_nan_by_anything():
    nan = float("nan")
    assert loop._improves("auroc", {"auroc": 0.5, "loss": 1.0}, {"auroc": 0.5, "loss": 2.0})
    assert loop._improves("auroc", {"auroc": nan, "loss": 1.0}, {"auroc": nan, "loss": 2.0})
    assert not loop._improves("auroc", {"auroc": nan, "loss": 1.0}, {"auroc": 0.1, "loss": 2.0})


PROGRAM = """
import pathlib, sys
import numpy as np
from labram.corpus.catalogue import Corpus
from labram.store.store import Store
from labram.events import NullMonitor
from labram.recipe import ArchitectureRecipe, TokenizerRecipe
from labram.training.stage_run import StageRun
from labram.training.tokenizer_stage import train_tokenizer
import os, signal, time

class Says(NullMonitor):
    def progress(self, done, total, **figures):
        print(done, flush=True)

folder = pathlib.Path(sys.argv[1])
train_tokenizer(
    Corpus.load(folder / "corpus"), Store(folder / "store"),
    ArchitectureRecipe.from_json((folder / "architecture.json").read_text()),
    TokenizerRecipe.from_json((folder / "recipe.json").read_text()),
    StageRun(0, folder / sys.argv[2] / "checkpoints", folder / sys.argv[2] / "out", Says()),
)
"""


@pytest.fixture
def program(mixed, architecture, tokenizer_recipe, tmp_path):
    """Starts a training of the tokenizer in a process, and returns that process and its folder."""
    mixed.corpus.save(tmp_path / "corpus")
    (tmp_path / "architecture.json").write_text(architecture.to_json())
    recipe = tokenizer_recipe(steps=30, checkpoint_every=4, log_every=3, validate_every=10)
    (tmp_path / "recipe.json").write_text(recipe.to_json())

    def start(name):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        return process, tmp_path / name

    return start


def finish(program, name):
    process, folder = program(name)
    steps = [int(line) for line in process.stdout]
    assert process.wait(timeout=120) == 0
    files = ("out/model.safetensors", "out/history.jsonl", "out/codebook.json")
    return steps, [(folder / file).read_bytes() for file in files]


def stop_after(program, name, step, number):
    process, _ = program(name)
    for line in process.stdout:
        if int(line) == step:
            os.kill(process.pid, number)
            break
    asked = time.monotonic()
    last = [int(line) for line in process.stdout]
    code = process.wait(timeout=120)
    assert time.monotonic() - asked < 20
    return code, (last or [step])[-1]


@pytest.mark.attack
def test_a_tokenizer_that_is_killed_and_terminated_ends_with_the_same_bits(program):
    _, expected = finish(program, "whole")
    code, _ = stop_after(program, "stopped", 6, signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, last = stop_after(program, "stopped", 17, signal.SIGTERM)
    assert code == 143
    steps, files = finish(program, "stopped")
    assert steps[0] == last + 1, "SIGTERM leaves a checkpoint of the step that was under way"
    assert files == expected
