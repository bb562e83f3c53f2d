"""An audit finds what was put in, and nothing where nothing is."""

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.evaluation.audit import Audit
from labram.evaluation.audit_probes import _Data, _dataset_identity, audit_model
from labram.evaluation.cross_validation import cross_validate
from labram.evaluation.scoring import predict
from labram.inference.predictor import Predictor
from labram.recipe import TaskRecipe
from labram.store.store import Store, to_patches
from labram.training.data.labelled import LabelledWindows, windows_of_datasets
from labram.training.task_metadata import TaskMetadata
from tests.evaluation.conftest import WORKLOAD, eeg
from tests.evaluation.test_cross_validation import workload
from tests.evaluation.test_probed_models import backbone, probed

__all__ = ["backbone", "probed", "workload"]  # fixtures
SUBJECTS, WINDOWS = 8, 20


def data(task=WORKLOAD, y=None):
    subjects = np.repeat(np.arange(SUBJECTS), WINDOWS)
    y = np.tile([0.0, 1.0], SUBJECTS * WINDOWS // 2) if y is None else y
    positions = np.tile(np.arange(WINDOWS) / WINDOWS, SUBJECTS)
    return _Data(task, y, subjects, positions, np.random.default_rng(0))


def noise(features=6):
    return np.random.default_rng(1).normal(size=(SUBJECTS * WINDOWS, features))


def test_embeddings_of_the_task_alone_know_the_task_and_not_the_subject():
    known = data()
    table = noise()
    table[:, 0] += 3 * known.y
    task, identity = known.null(table), known.identity(table)
    assert task.value > 0.95
    assert task.p == pytest.approx(0.01)
    assert task.upper < 0.65
    assert identity.value < 0.3
    assert known.explained(table, known.y.astype(int)).p == pytest.approx(0.01)


def test_embeddings_of_the_subject_alone_know_the_subject_and_not_the_task():
    known = data()
    table = noise() + 5 * np.random.default_rng(2).normal(size=(SUBJECTS, 6))[known.subjects]
    task, identity = known.null(table), known.identity(table)
    assert task.p > 0.05
    assert abs(task.value - 0.5) < 0.12
    assert identity.value > 0.9
    assert identity.upper < 0.2
    share = known.explained(table, known.subjects)
    assert share.value > 0.9
    assert share.mean == pytest.approx((SUBJECTS - 1) / (SUBJECTS * WINDOWS - 1), rel=0.2)


def test_labels_that_do_not_vary_within_subjects_are_permuted_among_them():
    known = data(y=np.repeat([0.0, 1.0], SUBJECTS * WINDOWS // 2))
    assert known.varies_within == 0
    order = known._permuted()
    assert all(len(set(known.y[order][known.subjects == subject])) == 1 for subject in range(SUBJECTS))
    table = noise() + 5 * np.random.default_rng(2).normal(size=(SUBJECTS, 6))[known.subjects]
    assert known.null(table).p > 0.02


def test_an_audit_of_a_model_is_read_back_as_written(workload, probed, tmp_path):
    corpus, store = workload
    task, folder, _ = probed(pooling="mean+std")
    predictions = cross_validate(corpus, store, folder, task, seed=None)
    found = audit_model(corpus, store, folder, task, predictions, seed=0)
    assert (found.windows, found.subjects, found.label_varies_within) == (96, 8, 1.0)
    assert set(found.alignments) == {"none", "zscore", "euclidean"}
    assert len(found.by_subject) == 8
    assert set(found.by_montage) == {"5 channels", "6 channels"}
    assert sum(count for _, _, count in found.reliability) == 96
    assert 0 <= found.expected_calibration_error <= 1
    assert found.fitted_parameters == 201
    assert found.dataset is None, "the corpus has one dataset"
    assert found.subject_variance_before is None, "a frozen backbone is the same before and after"
    found.write(tmp_path)
    assert Audit.read(tmp_path) == found
    assert Audit.read(tmp_path / "none") is None


def test_datasets_are_told_apart_only_where_they_differ(workload, model, backbone, tmp_path):
    corpus, store = workload
    task, scaled = TaskMetadata.read(model).recipe, Store(tmp_path / "scaled")

    def identity(datasets, store=store):
        rows = corpus.catalogue.assign(dataset=[datasets[int(name[1])] for name in corpus.catalogue["recording_id"]])
        windows = windows_of_datasets(Corpus(rows, corpus.labels), store, task, 40, 5)
        assert len(windows) == 80, "five windows of each of 16 recordings"
        return _dataset_identity(windows, Predictor(model).model, seed=0)

    same = identity("abababab")
    assert same.p > 0.05
    for row in corpus.catalogue.to_dict("records"):
        subject = int(row["recording_id"][1])
        signal = eeg(subject, alpha=3, channels=len(row["montage"]))
        signal = signal.cumsum(axis=1).clip(-300, 300) * 0.2 if subject % 2 else signal
        scaled.write(row["store_key"], to_patches(signal), tuple(row["montage"]))
    other = identity("abababab", scaled)
    assert other.value > 0.7
    assert other.p <= 0.05
    assert identity("aaaaaaaa") is None
    predictions = predict(Predictor(model), LabelledWindows.load(corpus, store, task, None))
    found = audit_model(corpus, store, model, task, predictions, seed=0, backbone=backbone)
    assert 0 < found.subject_variance_before.value < 1


def test_targets_of_a_regression_have_no_calibration(workload, probed):
    corpus, store = workload
    task, folder, _ = probed(pooling="mean")
    settings = task.model_dump() | {"kind": "regression", "classes": ["state"], "metric": "r2"}
    predictions = cross_validate(corpus, store, folder, task, seed=None)
    found = audit_model(corpus, store, folder, TaskRecipe.model_validate(settings), predictions, seed=0)
    assert found.label_variance is None
    assert found.reliability == ()
