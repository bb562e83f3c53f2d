"""Cross-validation of a probe: every subject predicted once by models of others, and nothing found where nothing is."""

import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from labram.corpus.catalogue import Corpus
from labram.corpus.folds import cross_validated, fold_corpus
from labram.errors import LabelError
from labram.evaluation.cross_validation import cross_validate
from labram.evaluation.folds import folds_of, reductions
from labram.evaluation.leakage import PRETRAINING, Ledger, Seen
from labram.evaluation.predictions import Predictions
from labram.evaluation.scoring import champion_predictions, evaluate, predict
from labram.evaluation.trained_folds import fold_folder
from labram.inference.predictor import Predictor
from labram.linear.features import measure
from labram.linear.model import LinearCard, choose
from labram.linear.probe import Probe
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.recipe import AlignmentRecipe, SplitRecipe, TaskRecipe
from labram.store.store import Store, to_patches
from labram.training.data.labelled import LabelledWindows
from labram.training.task_metadata import TaskMetadata
from tests.evaluation.conftest import CHANNELS, WORKLOAD, eeg
from tests.evaluation.test_probed_models import backbone, probed

__all__ = ["backbone", "probed"]  # fixtures


@pytest.fixture
def workload(workload):
    """The eight subjects in two folds."""
    corpus, store = workload
    return cross_validated(corpus, SplitRecipe(kind="kfold", folds=2), 0, {"eegmat"}), store


def with_labels(corpus, labels):
    return Corpus(corpus.catalogue, corpus.labels.assign(label=[[float(label)] for label in labels]))


def test_every_subject_is_predicted_once_and_the_model_is_fitted_to_all(workload, probed, tmp_path):
    task, folder, _ = probed(pooling="mean+std", stack=True)
    found = evaluate(*workload, folder, task, bootstrap=50, seed=0, out=tmp_path / "out", test_uses=3)
    assert (found.protocol, found.folds, found.repetitions) == ("kfold", 2, 1)
    assert (found.n_subjects, found.n_windows, found.n_recordings) == (8, 96, 16)
    assert found.tested == "2-fold cross-validation over 8 subjects"
    assert found.model["auroc"].value > 0.95
    assert all((found.labram, found.random, found.baseline))
    rows = Predictions.read(tmp_path / "out" / "predictions.parquet")
    assert len(set(zip(rows.recording_id, rows.start, strict=True))) == len(rows.y) == 96
    folds = {key: set(rows.fold[rows.subject_key == key]) for key in set(rows.subject_key)}
    assert sorted(len(numbers) for numbers in folds.values()) == [1] * 8
    assert "The registered model is fitted to all 8." in found.marks[0]
    assert "have been used 3 times in this workspace" in found.marks[-1]


def test_out_of_fold_predictions_are_not_those_of_the_registered_model(workload, probed, tmp_path):
    """Labels that are random for each subject: the fitted model knows them, models of other subjects cannot."""
    corpus, store = workload
    labels = np.random.default_rng(3).permutation([0, 1] * 8)
    null = with_labels(corpus, labels)
    task, folder, _ = probed(pooling="channels")
    found = evaluate(null, store, folder, task, bootstrap=100, seed=0, out=tmp_path / "out")
    assert not found.clears(found.chance)
    assert found.labram == {}


def test_repetitions_give_every_window_a_row_in_each(workload, probed, tmp_path):
    corpus, store = workload
    corpus = cross_validated(corpus, SplitRecipe(kind="kfold", folds=2, repeats=2), 0, {"eegmat"})
    task, folder, _ = probed(pooling="mean")
    found = evaluate(corpus, store, folder, task, bootstrap=20, seed=0, out=tmp_path / "out")
    assert (found.n_windows, found.repetitions) == (96, 2)
    assert found.tested == "2-fold cross-validation over 8 subjects, repeated 2 times"
    assert set(found.by_recording) == set(found.model)


def test_subjects_of_pre_training_mark_the_score(workload, probed, tmp_path):
    corpus, _ = workload
    task, folder, _ = probed(pooling="mean")
    rows = corpus.accepted()
    used = rows[rows["subject_key"].isin(["s1", "s2"])]
    ledger = Ledger().after(PRETRAINING, Seen.of(used["subject_key"], used["content_hash"]))
    ledger.after(task.name, Seen.of(rows["subject_key"], rows["content_hash"])).write(folder)
    found = evaluate(*workload, folder, task, bootstrap=20, seed=0, out=tmp_path / "out")
    assert found.pretrained_subjects == 2
    assert any("of 2 of the 8 tested subjects" in mark for mark in found.marks)
    assert any("of the 6 subjects that pre-training did not use" in note for note in found.notes)


def test_a_champion_is_fitted_anew_in_the_same_folds(workload, probed, tmp_path):
    task, folder, _ = probed(pooling="mean")
    candidate = cross_validate(*workload, folder, task, seed=0)
    champion = champion_predictions(*workload, folder, WORKLOAD)
    assert candidate.same_windows(champion)
    np.testing.assert_allclose(champion.prediction, candidate.prediction, atol=1e-6)
    assert champion.baseline is None
    assert champion.random == ()


def test_a_fine_tuned_champion_has_no_out_of_fold_predictions(workload, model):
    assert champion_predictions(*workload, model, WORKLOAD) is None


def test_alignment_that_must_help_does(workload, tmp_path):
    """Classes differ in amplitude, and subjects by much more; alignment removes only what subjects differ in."""
    corpus, _ = workload
    store = Store(tmp_path / "scaled")
    for row in corpus.catalogue.to_dict("records"):
        subject, state = int(row["recording_id"][1]), int(row["recording_id"][2])
        signal = eeg(2 * subject + state, alpha=3, channels=len(row["montage"])) * 1.5**state * 2.0 ** (subject % 5)
        store.write(row["store_key"], to_patches(signal), tuple(row["montage"]))
    windows = LabelledWindows.load(corpus, store, WORKLOAD, None)
    subjects, _ = pd.factorize(windows.subject_keys.astype(object))
    card = LinearCard(kind="binary", features="bands", channels=CHANNELS[1:], classes=1, penalty=0.1)
    scores = {}
    for kind in ("none", "zscore"):
        tables = measure(windows.window_groups(AlignmentRecipe(kind=kind)), card.channels, ("bands",))
        scores[kind] = choose([(card, tables.tables["bands"])], windows.y, subjects, "auroc").score
    assert scores["none"] < 0.8
    assert scores["zscore"] > 0.95


def test_the_registered_probe_is_fitted_to_windows_of_all_subjects(workload, probed):
    _, folder, _ = probed(pooling="mean")
    one = Probe.load(folder)
    assert one is not None
    assert one.card.parts[0].channels == ("FP2", "C3", "C4", "O1", "O2")


def test_the_best_of_several_baselines_is_the_one_that_counts(workload, probed, tmp_path):
    task, folder, _ = probed(pooling="mean")
    both = task.model_copy(update={"baselines": ("spectral", "riemann")})
    found = evaluate(*workload, folder, both, bootstrap=20, seed=0, out=tmp_path / "out")
    assert set(found.baselines) == {"spectral", "riemann"}
    assert found.baseline["auroc"].value == max(estimate.value for estimate in found.baselines.values())
    assert found.baseline_method.endswith("(the best of spectral, riemann)")
    assert found.compared.startswith("Baselines: spectral 1.000 [")
    assert {path.name for path in (tmp_path / "out").glob("baseline*.npz")} == {"baseline.npz", "baseline-riemann.npz"}


def sessions(corpus, kind):
    """The same corpus, in which both recordings of a subject are sessions with both labels in turn."""
    labels = corpus.labels.to_dict("records")
    spans = [
        label | {"start": 4.0 * part, "seconds": 4.0, "label": [float((part + int(label["label"][0])) % 2)]}
        for label in labels
        for part in range(6)
    ]
    return cross_validated(Corpus(corpus.catalogue, pd.DataFrame(spans)), SplitRecipe(kind=kind), 0, {"eegmat"})


@pytest.mark.parametrize("kind", ["within-session", "cross-session"])
def test_sessions_and_their_parts_are_predicted_by_models_of_the_same_person(workload, kind):
    corpus, store = workload
    corpus = sessions(corpus, kind)
    windows = LabelledWindows.load(corpus, store, WORKLOAD, None)
    folds = folds_of(corpus, windows, "eegmat")
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(96))
    for fold in folds:
        assert not set(fold.train) & set(fold.test)
        assert len(set(windows.subject_keys[[*fold.train, *fold.test]])) == 1
        recordings = set(windows.recording_ids[fold.train]), set(windows.recording_ids[fold.test])
        assert (recordings[0] == recordings[1]) == (kind == "within-session")
        assert len(fold.inner) == len(fold.train)


def test_sessions_of_one_label_each_are_not_tested_within_themselves(workload):
    corpus, store = workload
    corpus = cross_validated(corpus, SplitRecipe(kind="within-session"), 0, {"eegmat"})
    with pytest.raises(LabelError, match="within-session needs a session of two labels"):
        folds_of(corpus, LabelledWindows.load(corpus, store, WORKLOAD, None), "eegmat")


def test_what_folds_and_montages_leave_out_is_said(workload, probed, tmp_path):
    corpus, store = workload
    one_class = corpus.labels[(corpus.labels["recording_id"].str[2] == "0") | (corpus.labels["recording_id"] == "r01")]
    few = Corpus(corpus.catalogue, one_class)
    windows = LabelledWindows.load(few, store, WORKLOAD, None)
    (said,) = reductions(few, windows, WORKLOAD)
    assert said.startswith("In 1 of 2 folds no subject that models are fitted to has the class arithmetic")
    only = Corpus(corpus.catalogue, corpus.labels[corpus.labels["recording_id"].str[1].isin(["0", "1"])])
    five = cross_validated(only, SplitRecipe(kind="kfold", folds=5), 0, {"eegmat"})
    said = reductions(five, LabelledWindows.load(five, store, WORKLOAD, None), WORKLOAD)
    assert said == ("3 of 5 folds have no subject with labels of the task, and are left out.",)
    task, folder, _ = probed(pooling="mean")
    found = evaluate(corpus, store, folder, task, bootstrap=20, seed=0, out=tmp_path / "out")
    assert "Linear models use the 5 channels that all 2 montages share, and leave FP1 out." in found.notes


def test_fine_tuned_models_predict_the_subjects_of_their_own_fold(workload, model, tmp_path):
    corpus, store = workload
    for number in (0, 1):
        copied = fold_folder(model, 0, number)
        shutil.copytree(model, copied, ignore=shutil.ignore_patterns("folds"))
        torch.manual_seed(number)
        weights.save(DownstreamModel(weights.load(copied).config, 1), copied)
    found = evaluate(corpus, store, model, WORKLOAD, bootstrap=20, seed=0, out=tmp_path / "out")
    assert (found.protocol, found.folds, found.n_windows, found.random) == ("kfold", 2, 96, {})
    assert "those of one fold select its epoch" in found.marks[0]
    assert found.baseline["auroc"].value > 0.95
    rows = Predictions.read(tmp_path / "out" / "predictions.parquet")
    for number in (0, 1):
        part = fold_corpus(corpus, "eegmat", (0, number))
        alone = predict(Predictor(fold_folder(model, 0, number)), LabelledWindows.load(part, store, WORKLOAD, "test"))
        ours = rows.rows(np.flatnonzero(rows.fold == number))
        assert set(ours.subject_key) == set(alone.subject_key)
        np.testing.assert_allclose(np.sort(ours.prediction), np.sort(alone.prediction), atol=1e-6)


def test_predictions_of_one_target_are_compared_after_they_are_read_back(workload, probed, tmp_path):
    corpus, store = workload
    task, folder, _ = probed(pooling="mean")
    settings = task.model_dump() | {"kind": "regression", "classes": ["state"], "metric": "r2"}
    TaskMetadata(recipe=TaskRecipe.model_validate(settings)).write(folder)
    champion = champion_predictions(corpus, store, folder, task)
    assert champion.y.shape == (96, 1)
    champion.write(tmp_path / "written.parquet")
    assert Predictions.read(tmp_path / "written.parquet").same_windows(champion)
