"""A run chooses thresholds on subjects that it does not test."""

from dataclasses import replace

import numpy as np
import pytest

from labram.corpus.folds import cross_validated
from labram.errors import LabelError
from labram.evaluation.predictions import Predictions
from labram.evaluation.scoring import evaluate
from labram.evaluation.task_operating_point import task_operating_point
from labram.recipe import OperatingPointRecipe, SplitRecipe
from labram.registry.gates import sensitive
from tests.evaluation.test_probed_models import backbone, probed

__all__ = ["backbone", "probed"]  # fixtures
RECIPE = OperatingPointRecipe(rule="sensitivity", at=1.0, by="recording")


def point_of(workload, folder, task, tested):
    return task_operating_point(*workload, folder, task, tested, name="labram-w", weights="0", draws=50, seed=0)


def test_in_a_hold_out_it_is_chosen_on_out_of_fold_predictions_of_a_probe(workload, probed, tmp_path):
    half = RECIPE.model_copy(update={"at": 0.5})
    task, folder, _ = probed(pooling="channels", stack=True, operating_point=half)
    evaluated = evaluate(*workload, folder, task, bootstrap=50, seed=0, out=tmp_path)
    tested = Predictions.read(tmp_path / "predictions.parquet")
    point = point_of(workload, folder, task, tested)
    assert point.validation.sensitivity.value >= 0.5
    assert point.validation.subjects + point.test.subjects == 8
    assert 0 < point.threshold < 1
    decided = evaluated.with_decisions(point, half).decisions
    assert decided.summary.startswith("Decisions by recording for at least 0.5 sensitivity, at p = ")
    assert sensitive(decided, -0.1).passed
    assert not sensitive(decided, 1.0).passed
    assert sensitive(None, None).passed


def test_in_a_cross_validation_no_fold_chooses_its_own_threshold(workload, probed, tmp_path):
    task, folder, _ = probed(pooling="mean+std", operating_point=RECIPE)
    corpus, store = workload
    folds = (cross_validated(corpus, SplitRecipe(kind="kfold", folds=2), 0, {"eegmat"}), store)
    evaluate(*folds, folder, task, bootstrap=50, seed=0, out=tmp_path)
    tested = Predictions.read(tmp_path / "predictions.parquet")
    honest = tested.y * 0.2 + np.where(tested.fold == 0, 0.2, 0.6)  # each fold separates its classes elsewhere
    point = point_of(folds, folder, task, replace(tested, prediction=honest))
    assert point.validation.sensitivity.value == 1.0
    # 0.2 and 0.4 in one fold, 0.6 and 0.8 in the other: the threshold of the first lies below all of the second
    assert point.test.sensitivity.value == pytest.approx(0.5)
    assert point.test.specificity.value == pytest.approx(0.5)
    assert (point.test.subjects, point.test.cases) == (8, 16)


def test_without_two_classes_it_cannot_be_chosen(workload, probed, tmp_path):
    task, folder, _ = probed(pooling="mean+std", operating_point=RECIPE)
    evaluate(*workload, folder, task, bootstrap=50, seed=0, out=tmp_path)
    tested = Predictions.read(tmp_path / "predictions.parquet")
    with pytest.raises(LabelError, match="one class only"):
        point_of(workload, folder, task, replace(tested, y=np.zeros(len(tested.y)), fold=tested.y.astype(int)))
