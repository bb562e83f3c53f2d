"""An evaluation says what was measured, how sure it is, and what it cannot say."""

import numpy as np
import pandas as pd
import pytest

from labram.errors import LabelError
from labram.evaluation.leakage import Ledger, Seen
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import MAX_POINTS, Evaluation, summarise
from labram.recipe import TaskRecipe

BINARY = TaskRecipe(name="t", title="T", dataset="d", kind="binary", classes=("rest", "task"), metric="auroc")
GAIT = TaskRecipe(name="g", title="G", dataset="d", kind="regression", classes=("hip", "knee"), metric="rmse")


def state_predictions(subjects=8, windows=10, skill=2.0, baseline_skill=0.5):
    """Two recordings a subject, one of each state."""
    generator = np.random.default_rng(1)
    y = np.tile(np.repeat([0.0, 1.0], windows), subjects)

    def answer(strength):
        return 1 / (1 + np.exp(-(strength * (y - 0.5) + generator.normal(size=len(y)))))

    return Predictions(
        recording_id=np.repeat([f"r{index}" for index in range(2 * subjects)], windows),
        subject_key=np.repeat([f"s{index}" for index in range(subjects)], 2 * windows),
        start=np.tile(np.arange(windows) * 4.0, 2 * subjects),
        y=y,
        prediction=answer(skill),
        baseline=answer(baseline_skill),
    )


def judged(predictions, task=BINARY, **settings):
    return summarise(predictions, task, split="test", corpus_version="v", bootstrap=200, seed=0, **settings)


def test_counts_and_figures_describe_the_windows():
    found = judged(state_predictions())
    assert (found.n_windows, found.n_subjects, found.n_recordings) == (160, 8, 16)
    assert found.headline.low < found.headline.value < found.headline.high
    assert sum(map(sum, found.confusion)) == 160
    assert found.difference.value == pytest.approx(found.headline.value - found.baseline["auroc"].value)


def test_a_clear_win_over_the_baseline_is_called_significant_and_a_loss_is_not_a_win():
    won = judged(state_predictions(skill=6.0))
    assert won.beats_baseline
    assert won.significant
    lost = judged(state_predictions(skill=0.2, baseline_skill=6.0))
    assert not lost.beats_baseline
    assert lost.difference.value < 0


def test_means_over_subjects_have_t_intervals_beside_the_bootstrap():
    found = judged(state_predictions(skill=2.0))
    assert found.subjects_defined == 8
    assert found.subject_mean.low < found.subject_mean.value < found.subject_mean.high
    assert found.over_subjects.startswith("Mean of each subject's own auroc, with t intervals over subjects: 0.")
    assert found.over_subjects.endswith("(8 of 8 subjects).")
    width, other = (each.high - each.low for each in (found.subject_difference, found.difference))
    assert width == pytest.approx(other, rel=0.5), "both methods agree roughly"
    assert judged(state_predictions(subjects=1)).over_subjects == ""


def test_no_difference_is_significant_with_three_subjects():
    found = judged(state_predictions(subjects=3, skill=6.0))
    assert found.beats_baseline
    assert found.difference.excludes_zero()
    assert not found.significant
    assert any("too few" in note for note in found.notes)


def test_one_subject_has_no_interval_and_a_note():
    found = judged(state_predictions(subjects=1))
    assert found.headline.low is None
    assert any("One subject" in note for note in found.notes)


def test_intervals_and_tests_draw_what_stays_together(tmp_path):
    whole = state_predictions(subjects=16, skill=1.0, baseline_skill=0.2)
    groups = [f"g{number // 4}" for number in range(16)]
    table = pd.DataFrame({
        "recording_id": [f"r{number}" for number in range(0, 32, 2)],
        "subject_key": [f"s{number}" for number in range(16)],
        "group_key": groups,
    })  # fmt: skip
    found = whole.with_groups(table)
    assert len(set(found.units)) == 4
    assert whole.with_groups(table.assign(group_key="")) is whole
    alone, together = judged(whole), judged(found)
    assert (together.n_subjects, together.headline.value) == (16, alone.headline.value)
    assert together.notes == (
        "Intervals and tests draw 4 groups of the 16 subjects, who stay together.",
        "4 groups are too few to call a difference significant (at least 6 are needed).",
    )
    assert together.p_value >= 1 / 2**3  # the least p-value of four units that can be exchanged
    assert alone.p_value < 1 / 2**3
    found.write(tmp_path / "p.parquet")
    assert Predictions.read(tmp_path / "p.parquet").units.tolist() == found.units.tolist()
    two = table.assign(group_key=["a", "b", *[""] * 14])
    of_both = pd.DataFrame({"recording_id": ["r1"], "subject_key": ["s0"], "group_key": ["b"]})
    joined = whole.with_groups(pd.concat([two, of_both]))  # s0 is in both groups, which are then one
    assert len(set(joined.units)) == 15


def test_recordings_are_judged_by_the_mean_of_their_windows():
    found = judged(state_predictions(skill=2.0))
    assert found.by_recording["auroc"] > found.headline.value
    assert found.by_recording["auroc"] == 1.0
    assert set(found.baseline_by_recording) == set(found.by_recording)


def test_there_is_no_verdict_by_recording_where_labels_change_within_one():
    mixed = state_predictions()
    found = judged(Predictions(mixed.subject_key, mixed.subject_key, mixed.start, mixed.y, mixed.prediction))
    assert found.by_recording == {}


def test_a_regression_gives_points_instead_of_a_confusion_matrix():
    generator = np.random.default_rng(0)
    y = generator.normal(size=(900, 2))
    names = np.repeat(["a", "b", "c"], 300)
    found = judged(Predictions(names, names, np.arange(900.0), y, y + 0.1, baseline=0 * y), GAIT)
    assert found.confusion == ()
    assert 400 < len(found.scatter) <= MAX_POINTS
    assert {target for target, _, _ in found.scatter} == {0, 1}
    assert found.model["rmse"].value == pytest.approx(0.1)
    assert found.difference.value > 0, "less error is better"
    assert found.beats_baseline


def test_a_regression_states_how_errors_depend_on_the_target():
    y = np.random.default_rng(0).normal(size=(40, 2))
    names = np.repeat([f"s{number}" for number in range(8)], 5)
    prediction = np.c_[0.25 * y[:, 0], y[:, 1] + 3]
    found = judged(Predictions(names, names, np.arange(40.0), y, prediction), GAIT)
    assert (
        "Slope of error against target (0: none; -1: the same prediction for all): hip -0.75, knee 0.00." in found.notes
    )
    assert found.model["spearman"].value == pytest.approx(1.0)
    assert found.model["mae"].value == pytest.approx((0.75 * np.abs(y[:, 0]).mean() + 3) / 2)


def test_less_bad_than_a_bad_baseline_is_no_win():
    found = judged(state_predictions(skill=-0.5, baseline_skill=-6.0))
    assert found.difference.value > 0
    assert found.headline.value < found.chance
    assert not found.beats_baseline
    assert [note for note in found.notes if "better than chance" in note] == [
        "The model is not better than chance (auroc 0.5).",
        "The baseline is not better than chance (auroc 0.5).",
    ]


def test_less_error_than_the_mean_of_the_targets_is_better_than_chance():
    generator = np.random.default_rng(0)
    y = generator.normal(size=(900, 2))
    names = np.repeat(["a", "b", "c"], 300)
    good, bad = (judged(Predictions(names, names, np.arange(900.0), y, y + gap), GAIT) for gap in (0.1, 2.0))
    assert good.chance == pytest.approx(1.0, abs=0.1)
    assert good.clears(good.chance)
    assert not good.clears(0.05)
    assert not bad.clears(bad.chance)
    assert "not better than chance" in bad.notes[0]


def test_without_a_baseline_nothing_is_claimed_about_it():
    whole = state_predictions()
    found = judged(Predictions(whole.recording_id, whole.subject_key, whole.start, whole.y, whole.prediction))
    assert found.baseline == {}
    assert found.difference.value is None
    assert not found.beats_baseline


def test_no_window_is_an_error_that_names_the_task():
    empty = np.array([])
    with pytest.raises(LabelError, match="no labelled window of task 't'"):
        judged(Predictions(empty, empty, empty, empty, empty))


def test_evaluation_and_predictions_survive_the_disk(tmp_path):
    predictions = state_predictions()
    found = judged(predictions, overlap=2, notes=("said before",))
    found.write(tmp_path / "evaluation.json")
    predictions.write(tmp_path / "predictions.parquet")
    again = Predictions.read(tmp_path / "predictions.parquet")
    assert Evaluation.read(tmp_path / "evaluation.json") == found
    assert judged(again, overlap=2, notes=("said before",)) == found
    assert again.recording_id.tolist() == predictions.recording_id.tolist()


def test_targets_and_missing_baselines_survive_the_disk(tmp_path):
    y = np.arange(12.0).reshape(6, 2)
    names = np.array(list("aabbcc"))
    Predictions(names, names, np.arange(6.0), y, y + 1).write(tmp_path / "p.parquet")
    again = Predictions.read(tmp_path / "p.parquet")
    assert np.array_equal(again.y, y)
    assert again.baseline is None


def test_a_ledger_grows_with_every_stage_and_survives_the_disk(tmp_path):
    ledger = Ledger().after("tokenizer", Seen.of(["b", "a", "a"], ["1"])).after("workload", Seen.of(["a"], ["2"]))
    ledger.write(tmp_path)
    assert Ledger.read(tmp_path) == ledger
    assert ledger.stages["tokenizer"].subjects == ("a", "b")
    assert Ledger.read(tmp_path / "elsewhere") == Ledger()


def test_merged_ledgers_have_seen_what_either_has():
    one, other = Ledger().after("x", Seen.of(["a"], [])), Ledger().after("x", Seen.of(["b"], ["1"]))
    assert one.merged(other).stages["x"] == Seen.of(["a", "b"], ["1"])


def test_a_record_with_the_former_names_of_the_bootstrap_is_still_read():
    found = judged(state_predictions())
    former = found.to_json().replace("bootstrap_draws", "resamples").replace("undefined_draws", "skipped_resamples")
    assert former != found.to_json()
    assert Evaluation.from_json(former) == found
