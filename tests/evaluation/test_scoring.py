"""A model is scored on test subjects only, beside a baseline that has seen none of them."""

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.errors import LabelError
from labram.evaluation.baselines import load_all
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import Evaluation
from labram.evaluation.scoring import champion_predictions, evaluate, evaluated
from labram.recipe import AlignmentRecipe
from labram.training.task_metadata import TaskMetadata


@pytest.fixture
def task(model):
    return TaskMetadata.read(model).recipe


def scored(workload, model, task, out):
    corpus, store = workload
    return evaluate(corpus, store, model, task, bootstrap=100, seed=0, corpus_version="v", out=out)


def test_only_the_windows_of_test_subjects_are_scored(workload, model, task, tmp_path):
    evaluation = scored(workload, model, task, tmp_path / "out")
    assert (evaluation.n_subjects, evaluation.n_recordings, evaluation.n_windows) == (3, 6, 36)
    assert evaluation.corpus_version == "v"
    predictions = Predictions.read(tmp_path / "out" / "predictions.parquet")
    assert set(predictions.subject_key) == {"s5", "s6", "s7"}
    assert sorted(set(predictions.start)) == [0, 4, 8, 12, 16, 20]


def test_the_baseline_finds_the_alpha_that_an_untrained_model_does_not(workload, model, task, tmp_path):
    evaluation = scored(workload, model, task, tmp_path / "out")
    assert evaluation.baseline["auroc"].value > 0.95
    assert not evaluation.beats_baseline
    assert "channels" in evaluation.baseline_method
    assert evaluation.baseline_by_recording["auroc"] == 1.0


def test_the_baseline_uses_the_channels_that_all_montages_share_and_is_kept(workload, model, task, tmp_path):
    scored(workload, model, task, tmp_path / "out")
    baseline = load_all(tmp_path / "out")[0]
    assert "FP1" not in baseline.card.channels
    assert len(baseline.card.channels) == 5


def test_results_on_disk_are_those_returned_and_the_same_every_time(workload, model, task, tmp_path):
    first = scored(workload, model, task, tmp_path / "one")
    assert Evaluation.read(tmp_path / "one" / "evaluation.json") == first
    assert scored(workload, model, task, tmp_path / "two") == first


def test_another_model_is_asked_about_the_very_same_windows(workload, model, task, tmp_path):
    corpus, store = workload
    scored(workload, model, task, tmp_path / "out")
    candidate = Predictions.read(tmp_path / "out" / "predictions.parquet")
    champion = champion_predictions(corpus, store, model, task)
    assert champion.recording_id.tolist() == candidate.recording_id.tolist()
    assert np.array_equal(champion.prediction, candidate.prediction)
    assert champion.baseline is None


def test_what_was_evaluated_is_known_by_subject_and_content(workload, model, task, tmp_path):
    corpus, store = workload
    seen = evaluated(corpus, champion_predictions(corpus, store, model, task))
    assert seen.subjects == ("s5", "s6", "s7")
    assert "hash of r50" in seen.contents
    assert len(seen.contents) == 6


@pytest.mark.parametrize("splits", [("test",), ("train", "validation")])
def test_without_windows_to_score_or_to_fit_on_the_error_says_which(workload, model, task, tmp_path, splits):
    corpus, store = workload
    rows = corpus.catalogue[~corpus.catalogue["split"].isin(splits)]
    says = "to evaluate" if splits == ("test",) else "to fit the baseline to"
    with pytest.raises(LabelError, match=says):
        scored((Corpus(rows, corpus.labels), store), model, task, tmp_path / "out")


def test_every_score_states_its_alignment_which_the_baseline_may_use_too(workload, model, task, tmp_path):
    assert scored(workload, model, task, tmp_path / "plain").alignment == "none"
    aligned = task.model_copy(update={"alignment": AlignmentRecipe(kind="zscore")})
    TaskMetadata(recipe=aligned).write(model)
    evaluation = scored(workload, model, aligned, tmp_path / "aligned")
    assert evaluation.alignment.startswith("z-score of each channel, by subject and montage")
    assert "(48 to 48 s each)" in evaluation.alignment
    assert load_all(tmp_path / "aligned")[0].card.alignment in (AlignmentRecipe(), aligned.alignment)


def test_a_champion_is_asked_with_its_own_alignment(workload, model, task, tmp_path):
    corpus, store = workload
    plain = champion_predictions(corpus, store, model, task)
    aligned = task.model_copy(update={"alignment": AlignmentRecipe(kind="euclidean")})
    assert np.array_equal(champion_predictions(corpus, store, model, aligned).prediction, plain.prediction)
    TaskMetadata(recipe=aligned).write(model)
    assert not np.allclose(champion_predictions(corpus, store, model, task).prediction, plain.prediction, atol=1e-7)
