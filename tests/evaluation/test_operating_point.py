"""Operating points keep what their rule says, on cases that can be counted by hand."""

import numpy as np
import pytest

from labram.errors import DamagedFileError, LabelError, RecipeError
from labram.evaluation.operating_point import (
    LOW_CONFIDENCE,
    UNLIKE,
    Cases,
    Novelty,
    OperatingPoint,
    choose_threshold,
    confidence,
    false_alarms_per_hour,
    min_confidence_of,
    performance,
)
from labram.evaluation.predictions import Predictions
from labram.recipe import OperatingPointRecipe
from labram.recipe.loader import validated

P = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.7, 0.8, 0.9])
Y = np.array([0, 0, 0, 0, 1, 1, 1, 1.0])


def cases(p=P, y=Y, recordings=None, hours=0.25):
    n = len(p)
    recordings = np.array(recordings or ["r"] * n, dtype=object)
    subjects = np.array([f"s{number // 2}" for number in range(n)], dtype=object)
    starts, folds = np.arange(n) * 1.0, np.zeros(n, int)
    return Cases(np.asarray(y, float), np.asarray(p, float), subjects, recordings, starts, np.full(n, hours), folds)


@pytest.mark.parametrize(
    ("rule", "at", "between"),
    [
        ("youden", None, (0.3, 0.4)),  # 4/4 and 3/4; the threshold above 0.6 has 3/4 and 4/4, and comes later
        ("sensitivity", 0.75, (0.6, 0.7)),
        ("sensitivity", 1.0, (0.3, 0.4)),
        ("specificity", 0.75, (0.3, 0.4)),
        ("specificity", 1.0, (0.6, 0.7)),
        ("false_alarms_per_hour", 0.0, (0.6, 0.7)),
        ("false_alarms_per_hour", 1.0, (0.0, 0.1)),  # the four windows of class 0 are one alarm in their hour
    ],
)
def test_a_rule_keeps_its_value_with_the_best_of_the_other(rule, at, between):
    threshold = choose_threshold(OperatingPointRecipe(rule=rule, at=at), cases())
    assert between[0] <= threshold <= between[1]


def test_false_alarms_are_runs_of_consecutive_windows_of_a_recording():
    p, y = [0.9, 0.9, 0.1, 0.9, 0.9, 0.9], [0, 0, 0, 0, 0, 1]
    one = cases(p, y)
    assert false_alarms_per_hour(one, 0.5) == pytest.approx(2 / (5 * 0.25))
    parted = cases(p, y, ["a", "b", "b", "b", "c", "c"])
    assert false_alarms_per_hour(parted, 0.5) == pytest.approx(4 / (5 * 0.25))


def test_false_alarms_far_apart_are_two():
    parted = cases([0.9, 0.9, 0.1], [0, 0, 1])._replace(starts=np.array([0.0, 900.0, 3000.0]))
    assert false_alarms_per_hour(parted, 0.5) == pytest.approx(1 / 0.5)
    assert false_alarms_per_hour(parted._replace(starts=np.array([0.0, 901.0, 3000.0])), 0.5) == pytest.approx(2 / 0.5)


def test_what_is_undefined_is_not_zero_and_is_not_decided():
    one_class = performance(cases(y=np.ones(8)), 0.5, 2.0, draws=20, seed=0)
    assert (one_class.false_alarms_per_hour, one_class.accuracy, one_class.coverage) == (None, None, 0.0)
    with pytest.raises(LabelError, match="predictions of 1 validation cases are not finite"):
        choose_threshold(OperatingPointRecipe(), cases(p=[np.nan, *P[1:]]))
    near = Novelty.of(np.random.default_rng(0).normal(size=(50, 5)))
    assert near.is_far(np.array([[0.0] * 5, [np.nan] * 5])).tolist() == [False, True]
    validation = performance(cases(), 0.35, 0.0, draws=20, seed=0)
    point = OperatingPoint(task="t", classes=("a", "b"), model="m", weights="w", rule="youden", at=None, by="window",
                           threshold=0.35, min_confidence=0.0, novelty=None, validation=validation)  # fmt: skip
    assert point.decide(np.array([0.5, np.nan]))[1] == ["", LOW_CONFIDENCE]


def test_performance_is_counted_with_intervals_over_subjects():
    found = performance(cases(), 0.35, 0.0, draws=200, seed=0)
    assert (found.sensitivity.value, found.specificity.value) == (1.0, 0.75)
    assert found.specificity.low < 0.75 < found.specificity.high
    assert (found.cases, found.subjects, found.coverage, found.accuracy) == (8, 4, 1.0, 7 / 8)
    assert found.curve[0] == (1.0, 7 / 8)
    assert found.curve[-1] == (0.5, 1.0), "0.9, 0.8, 0.1 and 0.7 are the most confident"


def test_the_least_confident_are_abstained_from():
    assert confidence(np.array([0.0, 0.4, 0.5, 0.75, 1.0]), 0.5) == pytest.approx([1, 0.2, 0, 0.5, 1])
    limit = min_confidence_of(cases(), 0.35, 0.25)
    found = performance(cases(), 0.35, limit, draws=10, seed=0)
    assert found.coverage == 0.75
    assert min_confidence_of(cases(), 0.35, 0.0) == 0.0


def test_windows_unlike_the_validation_recordings_are_abstained_from(tmp_path):
    random = np.random.default_rng(0)
    usual = random.normal(size=(500, 5))
    novelty = Novelty.of(usual)
    assert novelty.is_far(usual).mean() == pytest.approx(0.01, abs=0.005)
    assert novelty.is_far(usual + 8).all()
    point = OperatingPoint(
        task="t",
        classes=("a", "b"),
        model="m",
        weights="w",
        rule="youden",
        at=None,
        by="window",
        threshold=0.5,
        min_confidence=0.2,
        novelty=novelty,
        validation=performance(cases(), 0.5, 0.2, draws=10, seed=0),
    )
    decisions, reasons = point.decide(np.array([0.9, 0.55, 0.1]), np.stack([usual[0] * 0, usual[0] * 0, usual[0] + 9]))
    assert decisions.tolist() == [1, 1, 0]
    assert reasons == ["", LOW_CONFIDENCE, UNLIKE]
    point.write(tmp_path / "p.json")
    assert OperatingPoint.read(tmp_path / "p.json") == point
    (tmp_path / "p.json").write_text((tmp_path / "p.json").read_text().replace("0.5", "0.6"), encoding="utf-8")
    with pytest.raises(DamagedFileError):
        OperatingPoint.read(tmp_path / "p.json")


def test_recordings_are_decided_on_the_mean_of_their_windows():
    predictions = Predictions(
        recording_id=np.array(["a", "a", "b"], dtype=object),
        subject_key=np.array(["s", "s", "t"], dtype=object),
        start=np.array([0.0, 4.0, 0.0]),
        y=np.array([0, 0, 1.0]),
        prediction=np.array([0.2, 0.4, 0.9]),
    )
    found = Cases.of(predictions, seconds=4, by="recording")
    assert found.p == pytest.approx([0.3, 0.9])
    assert found.hours * 3600 == pytest.approx([8, 4])
    assert found.subjects.tolist() == ["s", "t"]


def test_what_a_rule_lacks_is_named():
    for settings, problem in (
        ({"rule": "sensitivity"}, "needs a value"),
        ({"rule": "specificity", "at": 1.2}, "from 0 to 1"),
        ({"rule": "false_alarms_per_hour", "at": -1.0}, "greater than or equal to 0"),
        ({"at": 0.9}, "youden keeps no value"),
    ):
        with pytest.raises(RecipeError, match=problem):
            validated(OperatingPointRecipe, settings, "test")
    with pytest.raises(LabelError, match="one class only"):
        choose_threshold(OperatingPointRecipe(), cases(y=np.zeros(8)))
