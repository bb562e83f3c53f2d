import json
import shutil

import numpy as np
import pytest
import torch

from labram.errors import CheckpointError, LabelError, LabramWarning, TrainingError, WeightsError
from labram.events import NullMonitor
from labram.models import weights
from labram.training import loop, task_stage, tokenizer_stage
from labram.training.backbone_stage import train_backbone
from labram.training.stage_run import StageRun
from labram.training.task_metadata import TaskMetadata
from labram.training.task_stage import train_task_model
from labram.training.tokenizer_stage import train_tokenizer


class Trainer:
    """Runs the stages on one corpus, each in its own folders."""

    def __init__(self, tiny, architecture, folder):
        self.tiny, self.architecture, self.folder = tiny, architecture, folder

    def run(self, name):
        return StageRun(0, self.folder / f"{name}-checkpoints", self.folder / name, NullMonitor())

    def tokenizer(self, recipe, name="tokenizer"):
        return train_tokenizer(self.tiny.corpus, self.tiny.store, self.architecture, recipe, self.run(name))

    def pretrain(self, recipe, name="backbone"):
        teacher = self.folder / "tokenizer"
        return train_backbone(self.tiny.corpus, self.tiny.store, teacher, self.architecture, recipe, self.run(name))

    def finetune(self, task, name="task", backbone="backbone"):
        return train_task_model(self.tiny.corpus, self.tiny.store, self.folder / backbone, task, self.run(name))

    def history(self, name):
        return [json.loads(line) for line in (self.folder / name / "history.jsonl").read_text().splitlines()[:-1]]


@pytest.fixture
def trainer(mixed, architecture, tmp_path):
    return Trainer(mixed, architecture, tmp_path)


@pytest.fixture
def trained(trainer, tokenizer_recipe, pretraining_recipe):
    trainer.tokenizer(tokenizer_recipe())
    trainer.pretrain(pretraining_recipe())
    return trainer


def test_the_tokenizer_writes_the_files_of_gates_and_reports(trainer, tokenizer_recipe):
    figures = trainer.tokenizer(tokenizer_recipe())
    assert {"loss", "amplitude_loss", "amplitude_vs_mean", "perplexity", "used_codes", "steps"} <= set(figures)
    out = trainer.folder / "tokenizer"
    codebook = json.loads((out / "codebook.json").read_text())
    assert len(codebook["counts"]) == 16
    assert sum(codebook["counts"]) == codebook["patches"]
    assert codebook["used"] == figures["used_codes"]
    assert sum(usage["patches"] for usage in codebook["datasets"].values()) == codebook["patches"]
    assert all(1 <= usage["perplexity"] <= usage["used"] <= 16 for usage in codebook["datasets"].values())
    assert codebook["perplexity"] == pytest.approx(figures["perplexity"], rel=1e-5)
    with np.load(out / "examples.npz", allow_pickle=False) as examples:
        assert examples["original"].shape == examples["reconstructed"].shape == (6, 101)
        assert examples["frequencies"][-1] == 100
        assert {str(name) for name in examples["names"]} >= {"TP9 of 4 channels"}
    assert weights.load(out).config.codes == 16


def test_the_history_has_training_and_validation_rows(trainer, tokenizer_recipe):
    trainer.tokenizer(tokenizer_recipe())
    rows = trainer.history("tokenizer")
    assert [row["step"] for row in rows if row["phase"] == "training"] == [1, 2, 4, 6]
    assert [row["step"] for row in rows if row["phase"] == "validation"] == [3, 6]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert {"lr", "grad_norm", "perplexity"} <= set(rows[0])


def test_the_tokenizer_learns(trainer, tokenizer_recipe):
    optimiser = {"peak_lr": 2e-3, "betas": (0.9, 0.99)}
    trainer.tokenizer(tokenizer_recipe(steps=60, validate_every=60, checkpoint_every=60, optimiser=optimiser))
    losses = [row["loss"] for row in trainer.history("tokenizer") if row["phase"] == "training"]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:3])


def test_a_collapsed_codebook_is_reported_early_and_is_an_error_at_the_end(trainer, tokenizer_recipe, monkeypatch):
    notes = []
    monkeypatch.setattr(NullMonitor, "note", lambda _, text: notes.append(text))
    with pytest.raises(TrainingError, match=r"collapsed.*fewer architecture\.codes"):
        trainer.tokenizer(tokenizer_recipe(min_perplexity=1000.0))
    assert [note.split(" the codebook")[0] for note in notes if "perplexity" in note] == ["after step 3"]


def test_pretraining_logs_the_accuracy_of_the_most_frequent_code(trained):
    rows = trained.history("backbone")
    assert all({"accuracy", "accuracy_symmetric", "majority", "target_entropy"} <= set(row) for row in rows)
    assert all(1 / 16 <= row["majority"] <= 1 for row in rows)
    assert weights.load(trained.folder / "backbone").config.codes == 16


def test_pretraining_does_not_change_the_tokenizer(trained):
    found = weights.digest(trained.folder / "tokenizer")
    assert found == json.loads((trained.folder / "tokenizer" / "config.json").read_text())["digest"]


def test_pretraining_from_another_model_than_a_tokenizer_is_an_error(trained, pretraining_recipe):
    with pytest.raises(WeightsError, match="expected the weights of a tokenizer, got those of a MaskedModel"):
        train_backbone(
            trained.tiny.corpus,
            trained.tiny.store,
            trained.folder / "backbone",
            trained.architecture,
            pretraining_recipe(),
            trained.run("again"),
        )


def test_the_same_seed_gives_the_same_bits(trainer, tokenizer_recipe):
    first = trainer.tokenizer(tokenizer_recipe(), "tokenizer")
    second = trainer.tokenizer(tokenizer_recipe(), "again")
    assert first == second
    assert weights.digest(trainer.folder / "tokenizer") == weights.digest(trainer.folder / "again")


def test_training_leaves_the_callers_random_state_and_settings_alone(trainer, tokenizer_recipe):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    trainer.tokenizer(tokenizer_recipe(steps=1, threads=2))
    assert torch.equal(torch.rand(2), expected)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_a_finished_training_is_not_repeated(trainer, tokenizer_recipe, monkeypatch):
    first = trainer.tokenizer(tokenizer_recipe())
    monkeypatch.setattr(tokenizer_stage.TokenizerObjective, "loss", lambda *_: pytest.fail("it trains"))
    monkeypatch.setattr(tokenizer_stage, "write_spectrum_examples", lambda *_: None)
    assert trainer.tokenizer(tokenizer_recipe()) == first


def test_resuming_with_another_recipe_is_an_error(trainer, tokenizer_recipe):
    trainer.tokenizer(tokenizer_recipe())
    with pytest.raises(CheckpointError, match=r"tokenizer\.ema_decay: 0\.99 → 0\.9\b"):
        trainer.tokenizer(tokenizer_recipe(ema_decay=0.9))


def test_resuming_with_another_corpus_is_an_error(trainer, tokenizer_recipe):
    trainer.tokenizer(tokenizer_recipe())
    trainer.tiny.rows.pop()
    with pytest.raises(CheckpointError, match="corpus: "):
        trainer.tokenizer(tokenizer_recipe())


def test_without_validation_subjects_the_ends_of_recordings_are_used(trainer, tokenizer_recipe):
    for row in trainer.tiny.rows:
        row["split"] = "train"
    with pytest.warns(LabramWarning, match="no validation subjects"):
        figures = trainer.tokenizer(tokenizer_recipe())
    assert np.isfinite(figures["loss"])


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_fine_tuning_writes_a_model_with_its_task_metadata(trained, task_recipe, kind):
    task = task_recipe(kind)
    figures = trained.finetune(task)
    about = TaskMetadata.read(trained.folder / "task")
    assert about.recipe == task
    assert len(about.montages) == 2
    assert task.metric in figures
    assert figures["best_step"] <= figures["steps"]
    model = weights.load(trained.folder / "task")
    assert model.outputs == task.outputs
    assert json.loads((trained.folder / "task" / "load_report.json").read_text())["clean"]
    if kind == "regression":
        mean, sd = np.array(about.target_mean), np.array(about.target_sd)
        windows = np.array([20, 10, 15])  # of r0, r1 and r2, whose targets are (5, 0), (15, -10) and (5, 0)
        targets = np.repeat([[5.0, 0.0], [15.0, -10.0], [5.0, 0.0]], windows, axis=0)
        np.testing.assert_allclose(mean, targets.mean(axis=0))
        np.testing.assert_allclose(sd, targets.std(axis=0))


def test_fine_tuning_keeps_the_weights_of_the_best_epoch(trained, task_recipe):
    task = task_recipe(epochs=4, optimiser={"peak_lr": 3e-3}, patience=10)
    figures = trained.finetune(task)
    rows = [row for row in trained.history("task") if row["phase"] == "validation"]
    assert len(rows) == 4
    assert figures["auroc"] == max(row["auroc"] for row in rows)


def test_fine_tuning_stops_early_when_validation_does_not_improve(trained, task_recipe, monkeypatch):
    monkeypatch.setattr(loop, "_improves", lambda *_: False)
    figures = trained.finetune(task_recipe(epochs=9, patience=2))
    epochs = len([row for row in trained.history("task") if row["phase"] == "validation"])
    assert epochs == 3
    assert figures["steps"] == 3 * figures["best_step"]


def test_fine_tuning_without_labels_is_an_error_with_a_remedy(trained, task_recipe):
    with pytest.raises(LabelError, match="no training subject of other"):
        trained.finetune(task_recipe(dataset="other"))


def test_fine_tuning_without_validation_subjects_keeps_the_last_epoch(trained, task_recipe):
    for row in trained.tiny.rows:
        row["split"] = "train" if row["split"] == "validation" else row["split"]
    with pytest.warns(LabramWarning, match="keeping the last epoch"):
        figures = trained.finetune(task_recipe())
    assert "best_step" not in figures


def test_rare_classes_weigh_more_and_the_mean_weight_is_one():
    y = np.array([0.0] * 6 + [1.0] * 2)
    balanced = task_stage._class_weights(y, 3)
    assert balanced[0] * 6 == pytest.approx(balanced[1] * 2)
    assert balanced[2] == 0
    assert balanced[y.astype(int)].mean() == pytest.approx(1.0)


@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles for the CPU with g++")
@pytest.mark.parametrize(
    "stage", ["task", *(pytest.param(stage, marks=pytest.mark.attack) for stage in ("tokenizer", "backbone"))]
)
def test_compiled_models_learn_the_same_from_windows_of_every_size(
    mixed, architecture, tmp_path, monkeypatch, tokenizer_recipe, pretraining_recipe, task_recipe, stage
):
    histories = {}
    for compiled in ("0", "1"):
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        trainer = Trainer(mixed, architecture, tmp_path / compiled)
        stages = {
            "tokenizer": lambda trainer=trainer: trainer.tokenizer(tokenizer_recipe()),
            "backbone": lambda trainer=trainer: trainer.pretrain(pretraining_recipe()),
            "task": lambda trainer=trainer: trainer.finetune(task_recipe(drop_path=0.0)),
        }
        for name, train in stages.items():
            monkeypatch.setenv("LABRAM_COMPILE", compiled if name == stage else "0")
            train()
            if name == stage:
                break
        rows = trainer.history(stage)
        histories[compiled] = [{name: value for name, value in row.items() if name != "phase"} for row in rows]
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["graph_break"]
    for eager, compiled in zip(histories["0"], histories["1"], strict=True):
        assert compiled == pytest.approx(eager, rel=1e-3, abs=1e-5)


def test_compiling_without_a_compiler_is_an_error_with_a_remedy(trainer, tokenizer_recipe, monkeypatch):
    monkeypatch.setenv("LABRAM_COMPILE", "1")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(TrainingError, match=r"LABRAM_COMPILE.*no C compiler.*g\+\+"):
        trainer.tokenizer(tokenizer_recipe())


def test_an_invalid_labram_compile_is_an_error(trainer, tokenizer_recipe, monkeypatch):
    monkeypatch.setenv("LABRAM_COMPILE", "yes")
    with pytest.raises(TrainingError, match=r"LABRAM_COMPILE: expected 0 or 1, got 'yes'"):
        trainer.tokenizer(tokenizer_recipe())
