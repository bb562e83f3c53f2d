"""A probe is trained, scored beside LaBraM alone and random weights, and used on requests as it was scored."""

import numpy as np
import pytest
import torch

from labram.corpus.catalogue import Corpus
from labram.errors import LabelError, MisfitWeightsError, WindowError
from labram.evaluation import random_weights
from labram.evaluation.predictions import Predictions
from labram.evaluation.scoring import evaluate
from labram.events import NullMonitor
from labram.inference.predictor import Predictor
from labram.linear.features import WindowGroup
from labram.linear.probe import Probe
from labram.metrics import score
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel
from labram.models.official import export_checkpoint
from labram.recipe import TaskRecipe
from labram.training.stage_run import StageRun
from labram.training.task_metadata import TaskMetadata
from labram.training.task_stage import train_task_model
from tests.evaluation.conftest import CHANNELS, WORKLOAD, eeg


@pytest.fixture
def backbone(tmp_path):
    torch.manual_seed(0)
    config = BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16)
    weights.save(MaskedModel(config), tmp_path / "backbone")
    return tmp_path / "backbone"


@pytest.fixture
def probed(workload, backbone, tmp_path):
    """Train a probe with some settings; return its task, folder and metrics."""
    corpus, store = workload

    def train(name="probe", alignment=None, operating_point=None, **adaptation):
        task = TaskRecipe.model_validate(
            WORKLOAD.model_dump()
            | {"adaptation": {"strategy": "probe", **adaptation}, "alignment": {"kind": alignment or "none"}}
            | {"operating_point": operating_point}
        )
        run = StageRun(0, tmp_path / "checkpoints", tmp_path / name, NullMonitor())
        return task, tmp_path / name, train_task_model(corpus, store, backbone, task, run)

    return train


def test_a_stacked_probe_is_scored_beside_labram_alone_and_random_weights(workload, probed, tmp_path):
    task, folder, figures = probed(pooling="channels", stack=True)
    assert figures["auroc"] > 0.9
    assert 0 <= figures["share"] <= 1
    found = evaluate(*workload, folder, task, bootstrap=50, seed=0, out=tmp_path / "out")
    assert found.model["auroc"].value > 0.95
    assert found.share == figures["share"]
    assert "stacked out of fold, LaBraM's share" in found.predictor
    assert found.labram["auroc"].value != found.random["auroc"].value
    expected = found.labram["auroc"].value - found.random["auroc"].value
    assert found.pretraining.value == pytest.approx(expected)
    columns = Predictions.read(tmp_path / "out" / "predictions.parquet")
    assert len(columns.labram) == len(columns.baseline) == len(columns.prediction)
    scores = [score("auroc", "binary", columns.y, draw) for draw in columns.random]
    assert len(set(scores)) > 1
    assert found.random_draws == 2
    assert found.random_range == pytest.approx((min(scores), max(scores)))
    assert found.random["auroc"].value == pytest.approx(np.mean(scores))
    assert "Scores of random weights are means over 2 draws" in " ".join(found.marks)
    assert (found.backbone.subjects, found.backbone.draws, found.backbone.pooling) == (8, 2, "channels")


def test_a_fine_tuned_models_backbone_is_probed_beside_random_weights(workload, model, backbone, tmp_path):
    task = TaskMetadata.read(model).recipe
    found = evaluate(*workload, model, task, bootstrap=20, seed=0, out=tmp_path / "out", backbone=backbone)
    assert found.random == {}, "only a probe has a twin"
    assert (found.backbone.subjects, found.backbone.draws) == (8, 2)
    assert not found.backbone.better, "a backbone of random weights is none that has learnt"
    without = evaluate(*workload, model, task, bootstrap=20, seed=0, out=tmp_path / "without")
    assert without.backbone is None


def test_a_probe_alone_has_no_other_part(workload, probed, tmp_path):
    task, folder, figures = probed(pooling="mean")
    found = evaluate(*workload, folder, task, bootstrap=20, seed=0, out=tmp_path / "out")
    assert (found.share, found.labram, figures["share"]) == (1.0, {}, 1.0)
    assert found.predictor.startswith("LaBraM embeddings (pooling: mean), 5 channels")
    assert figures["trained_parameters"] == 101
    assert weights.digest(folder) != ""


@pytest.mark.parametrize("pooling", ["mean", "cls", "channels", "mean+std", "moments", "tokens"])
def test_training_again_gives_the_same_probe_with_any_pooling(probed, pooling):
    _, one, _ = probed("one", pooling=pooling)
    _, two, _ = probed("two", pooling=pooling)
    first, second = Probe.load(one), Probe.load(two)
    np.testing.assert_array_equal(first.parts[0].weights, second.parts[0].weights)
    assert first.card.model_copy(update={"arrays_sha256": ""}) == second.card.model_copy(update={"arrays_sha256": ""})


def test_a_request_is_predicted_as_the_subjects_windows_were_scored(workload, probed, tmp_path):
    task, folder, _ = probed(pooling="channels", within_subject=True, alignment="euclidean", stack=True)
    evaluate(*workload, folder, task, bootstrap=20, seed=0, out=tmp_path / "out")
    scored = Predictions.read(tmp_path / "out" / "predictions.parquet")
    windows = np.concatenate(
        [eeg(10 + state, alpha=3 if state else 15).reshape(6, 6, 800).swapaxes(0, 1) for state in (0, 1)]
    )
    predictor = Predictor(folder)
    requested = predictor.predict(windows, [f"EEG {name}-REF" for name in CHANNELS], 200.0)
    np.testing.assert_allclose(requested, scored.prediction[scored.subject_key == "s5"], atol=2e-3)
    with pytest.raises(WindowError, match="it needs 4 windows, got 3"):
        predictor.predict(windows[:3], CHANNELS, 200.0)
    with pytest.raises(LabelError, match="needs channels FP2"):
        predictor.predict(windows[:, 2:], CHANNELS[2:], 200.0)


def test_metadata_names_the_adaptation(probed):
    _, folder, _ = probed(pooling="cls")
    assert TaskMetadata.read(folder).recipe.adaptation.pooling == "cls"


def test_settings_of_a_probe_are_an_error_for_fine_tuning():
    with pytest.raises(ValueError, match="pooling, stack: only for strategy: probe"):
        TaskRecipe.model_validate(WORKLOAD.model_dump() | {"adaptation": {"pooling": "cls", "stack": True}})


def test_a_probe_of_one_target_answers_with_a_column(workload, backbone, tmp_path):
    corpus, store = workload
    settings = WORKLOAD.model_dump() | {
        "kind": "regression",
        "classes": ["state"],
        "metric": "r2",
        "adaptation": {"strategy": "probe", "stack": True},
    }
    task = TaskRecipe.model_validate(settings)
    run = StageRun(0, tmp_path / "checkpoints", tmp_path / "probe", NullMonitor())
    train_task_model(corpus, store, backbone, task, run)
    windows = eeg(0, alpha=5, seconds=16).reshape(6, 4, 800).swapaxes(0, 1)
    assert Predictor(tmp_path / "probe").predict(windows, CHANNELS, 200.0).shape == (4, 1)
    found = evaluate(corpus, store, tmp_path / "probe", task, bootstrap=20, seed=0, out=tmp_path / "out")
    assert found.model["r2"].value > 0.5
    assert all((found.labram, found.random, found.baseline))


def test_large_tasks_have_fewer_draws():
    def windows(count):
        return [WindowGroup([], ("C3", "C4", "CZ", "OZ"), ["s"] * count)]

    assert random_weights.draws(windows(10), 10) == random_weights.DRAWS
    assert random_weights.draws(windows(25_000), 10) == 1
    assert random_weights.draws(windows(10**7), 10) == 1


@pytest.mark.parametrize("layout", ["official", "braindecode"])
def test_a_probe_is_not_exported_as_a_model_with_an_untrained_head(probed, tmp_path, layout):
    _, folder, _ = probed(pooling="mean")
    with pytest.raises(MisfitWeightsError, match="its own head is untrained"):
        export_checkpoint(folder, tmp_path / "out.pth", layout=layout)
    assert not (tmp_path / "out.pth").exists()


def test_one_training_subject_is_fitted_with_defaults(workload, backbone, tmp_path):
    corpus, store = workload
    catalogue, labels = corpus.catalogue, corpus.labels
    alone = Corpus(
        catalogue[catalogue["subject_key"].isin(["s1", "s5"])].reset_index(drop=True),
        labels[labels["recording_id"].str[:2].isin(["r1", "r5"])].reset_index(drop=True),
    )
    task = TaskRecipe.model_validate(WORKLOAD.model_dump() | {"adaptation": {"strategy": "probe", "stack": True}})
    run = StageRun(0, tmp_path / "checkpoints", tmp_path / "probe", NullMonitor())
    assert train_task_model(alone, store, backbone, task, run)["share"] == 0.5
    assert "One training subject" in Probe.load(tmp_path / "probe").parts[1].card.note
