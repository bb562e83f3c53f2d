"""Every gate passes what it should, refuses what it should, and says why."""

from dataclasses import replace

import numpy as np
import pytest

from labram.errors import WeightsError, WindowError
from labram.evaluation.backbone_probe import compared
from labram.evaluation.calibration import calibration_error
from labram.evaluation.leakage import PRETRAINING, Ledger, Seen
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import summarise
from labram.evaluation.statistics import single_scores
from labram.evaluation.subgroups import subgroups
from labram.metrics import of_kind, score
from labram.recipe import GateRecipe, TaskRecipe
from labram.recipe.gates import GoldenRecording
from labram.registry import gates

TASK = TaskRecipe(
    name="workload", title="Workload", dataset="d", kind="binary", classes=("rest", "task"), metric="auroc"
)


def predictions(skill, subjects=8, windows=20, seed=0):
    generator = np.random.default_rng(seed)
    count = subjects * windows
    y = np.tile([0.0, 1.0], count // 2)
    score = 1 / (1 + np.exp(-(skill * (y - 0.5) + generator.normal(size=count))))
    return Predictions(
        recording_id=np.repeat([f"r{index}" for index in range(subjects)], windows),
        subject_key=np.repeat([f"s{index}" for index in range(subjects)], windows),
        start=np.tile(np.arange(windows), subjects).astype(float),
        y=y,
        prediction=score,
    )


def compare(candidate, champion, margin=0.02):
    return gates.metric_not_worse(candidate, champion, TASK, margin=margin, bootstrap=200, seed=0)


def first(skill, floor=None, **shape):
    found = summarise(predictions(skill, **shape), TASK, split="test", corpus_version="", bootstrap=200, seed=0)
    return gates.better_than_chance(found, floor)


def test_a_champion_must_clear_chance_with_its_whole_interval():
    assert first(2.0).passed
    lucky = first(0.05)
    assert lucky.values["candidate"] > 0.5 > lucky.values["low"]
    assert not lucky.passed
    assert lucky.detail.startswith("auroc 0.5")
    assert "does not exceed 0.500, chance" in lucky.detail


def test_the_recipe_may_state_the_floor_of_a_champion():
    assert first(0.05, floor=0.4).passed
    refused = first(2.0, floor=0.99)
    assert not refused.passed
    assert "does not exceed 0.990, the recipe's floor" in refused.detail


def test_one_subject_gives_no_interval_and_so_no_champion():
    assert not first(3.0, subjects=1).passed


def poisoned(skill, value=np.nan):
    found = predictions(skill)
    found.prediction[::40] = value
    return found


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_not_finite_pass_no_gate(value):
    bad = poisoned(3.0, value)
    found = summarise(bad, TASK, split="test", corpus_version="", bootstrap=200, seed=0)
    assert not gates.better_than_chance(found, 0.1).passed
    assert found.headline.value is None
    assert not found.beats_baseline
    assert "predictions of 4 windows are not finite" in " ".join(found.notes)
    assert not compare(bad, predictions(0.1)).passed
    assert not compare(predictions(3.0), bad).passed


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_no_metric_is_defined_for_predictions_that_are_not_finite(kind):
    y = np.tile([0.0, 1.0], 30)
    prediction = {"multiclass": np.stack([1 - y, y], axis=1)}.get(kind, y.copy())
    prediction[5] = np.nan
    for name in of_kind(kind):
        assert np.isnan(score(name, kind, y, prediction))
    assert all(np.isnan(value) for value in single_scores(kind, y, prediction).values())


def test_an_undefined_floor_or_figure_passes_no_gate():
    found = summarise(predictions(3.0), TASK, split="test", corpus_version="", bootstrap=200, seed=0)
    assert found.clears(0.5)
    assert not found.clears(float("nan"))
    for used, perplexity in ((9000, float("nan")), (9000, float("inf"))):
        assert not gates.codebook_health({"used": used, "perplexity": perplexity}, GateRecipe()).passed
    for accuracy, majority in ((np.nan, 0.1), (0.5, np.nan), (np.inf, 0.1)):
        assert not gates.masked_accuracy({"accuracy": accuracy, "majority": majority}).passed


def beside_baseline(skill, baseline, *, required=True, margin=0.02):
    both = replace(predictions(skill), baseline=None if baseline is None else predictions(baseline).prediction)
    found = summarise(both, TASK, split="test", corpus_version="", bootstrap=50, seed=0)
    return gates.baseline_not_better(found, margin=margin, required=required)


def test_a_model_that_loses_to_its_baseline_by_more_than_the_margin_is_not_promoted():
    assert beside_baseline(2.0, 1.0).passed
    lost = beside_baseline(1.0, 2.0)
    assert not lost.passed
    assert lost.values["difference"] < -0.02
    assert "at least -0.020 allowed" in lost.detail
    loss = -lost.values["difference"]
    assert beside_baseline(1.0, 2.0, margin=loss + 0.001).passed
    assert not beside_baseline(1.0, None).passed, "a score without a baseline shows nothing"


def test_a_recipe_that_turns_the_baseline_gate_off_says_so_in_gate_and_outcome():
    waived = beside_baseline(1.0, 2.0, required=False)
    assert waived.passed
    assert waived.waived
    assert "the recipe sets gates.baseline: false" in waived.detail
    better = beside_baseline(2.0, 1.0, required=False)
    assert not better.waived
    for gate, outcome in ((waived, "passed below its baseline"), (better, "passed")):
        assert gates.Verdict(model="m", version="1", champion=None, gates=(gate,)).outcome == outcome


def probed(advantage, task="workload", subjects=8, draws=5, bootstrap=200):
    """A backbone that knows `advantage` more than random weights, whose draws differ from one another."""
    random = tuple(predictions(0.5 + 0.3 * draw, subjects, seed=draw).prediction for draw in range(draws))
    backbone = replace(predictions(1.1 + advantage, subjects, seed=9), random=random)
    settings = TASK.model_copy(update={"name": task})
    return compared(backbone, settings, bootstrap=bootstrap, seed=0)


def test_a_backbone_passes_by_beating_the_mean_of_several_random_weights():
    gate = gates.better_than_random([probed(1.5), probed(0.0, "ssvep")], required=True)
    assert gate.passed
    assert gate.detail.startswith("significantly better than random weights on workload (workload: auroc 0.9")
    assert "(mean of 5 draws, 0.6" in gate.detail
    found = probed(1.5)
    scores = [score("auroc", "binary", predictions(1.0).y, each) for each in drawn(5)]
    assert found.random.value == pytest.approx(np.mean(scores))
    assert (found.lowest, found.highest) == pytest.approx((min(scores), max(scores)))
    assert found.difference.value == pytest.approx(found.score.value - np.mean(scores))


def drawn(count):
    return [predictions(0.5 + 0.3 * draw, seed=draw).prediction for draw in range(count)]


def test_a_backbone_that_is_worse_anywhere_or_better_nowhere_does_not_pass():
    null, worse = probed(0.0), probed(-2.5, "ssvep")
    assert not (null.better)
    assert not (null.worse)
    assert worse.worse
    refused = gates.better_than_random([probed(3.0), worse], required=True)
    assert not refused.passed
    assert "significantly worse on ssvep" in refused.detail
    assert not gates.better_than_random([null], required=True).passed
    assert not gates.better_than_random([], required=True).passed
    assert not gates.better_than_random([probed(3.0, subjects=5)], required=True).passed, "five subjects show nothing"
    waived = gates.better_than_random([null], required=False)
    assert waived.waived
    verdict = gates.Verdict(model="b", version="1", champion=None, gates=(waived,))
    assert verdict.outcome == "passed without beating random weights"


def test_subjects_of_pre_training_are_left_out_if_enough_others_remain():
    twins = replace(predictions(3.0), random=(predictions(0.5).prediction,))
    few = compared(twins, TASK, bootstrap=50, seed=0, pretrained={"s0", "s1"})
    assert (few.subjects, few.seen) == (6, 0)
    most = compared(twins, TASK, bootstrap=50, seed=0, pretrained={"s0", "s1", "s2"})
    assert (most.subjects, most.seen) == (8, 3)
    assert most.describe().endswith("pre-training used 3 of the 8 subjects, without labels")


def test_a_calibrated_score_counts_for_no_gate_unless_the_recipe_allows_it():
    rest = {"kind": "euclidean", "source": "rest", "seconds": 60}
    task = TaskRecipe.model_validate(TASK.model_dump() | {"alignment": rest})
    found = summarise(
        predictions(3.0), task, split="test", corpus_version="", bootstrap=50, seed=0, alignment="on rest"
    )
    assert found.calibrated
    assert found.tested == "test split, 8 subjects, calibrated"
    assert found.marks[0].startswith("Calibrated: ")
    gate = gates.not_calibrated(found, allow=False)
    assert not gate.passed
    assert gate.detail == "alignment: on rest; set gates.allow_calibrated: true to accept that"
    assert gates.not_calibrated(found, allow=True).passed
    plain = summarise(predictions(3.0), TASK, split="test", corpus_version="", bootstrap=50, seed=0)
    assert gates.not_calibrated(plain, allow=False).passed


def test_a_tokenizer_passes_with_its_backbone():
    for passed in (True, False):
        judged = gates.Verdict(
            model="b", version="1", champion=None, gates=(gates.Gate(name="probes", passed=passed, detail=""),)
        )
        assert gates.backbone_passed(judged).passed is passed


def test_a_better_candidate_passes_and_a_worse_one_is_refused_with_figures():
    strong, weak = predictions(3.0), predictions(0.5)
    assert compare(strong, weak).passed
    refused = compare(weak, strong)
    assert not refused.passed
    assert refused.values["difference"] < -0.02
    assert refused.values["low"] <= refused.values["difference"] <= refused.values["high"]
    assert refused.values["subjects"] == 8


def test_values_of_a_gate_have_been_called_figures():
    passed = first(2.0)
    assert gates.Gate.model_validate({"figures": passed.values, **passed.model_dump(exclude={"values"})}) == passed


def test_a_loss_within_the_margin_passes():
    strong, slightly_worse = predictions(3.0), predictions(2.7)
    loss = -compare(slightly_worse, strong).values["difference"]
    assert loss > 0
    assert compare(slightly_worse, strong, margin=loss + 0.001).passed
    assert not compare(slightly_worse, strong, margin=loss - 0.001).passed


def test_predictions_of_other_windows_cannot_be_compared():
    gate = compare(predictions(3.0), predictions(3.0, subjects=7))
    assert not gate.passed
    assert "same windows" in gate.detail


def test_an_undefined_metric_is_no_pass():
    single = predictions(3.0)
    constant = Predictions(single.recording_id, single.subject_key, single.start, np.ones(160), single.prediction)
    assert not compare(constant, constant).passed
    found = summarise(constant, TASK, split="test", corpus_version="", bootstrap=50, seed=0)
    assert not gates.better_than_chance(found, None).passed


@pytest.mark.parametrize(("used", "perplexity", "passed"), [(50, 20.0, True), (3, 20.0, False), (50, 1.1, False)])
def test_a_collapsed_codebook_is_refused(used, perplexity, passed):
    gate = gates.codebook_health({"used": used, "perplexity": perplexity}, GateRecipe())
    assert gate.passed is passed
    assert str(used) in gate.detail


def ledger():
    seen = Seen.of(["a", "b"], ["1", "2"])
    return Ledger().after("tokenizer", seen).after(PRETRAINING, seen).after("workload", Seen.of(["b"], ["2"]))


def test_disjoint_subjects_and_contents_pass_the_leakage_gate():
    assert gates.leakage(ledger(), Seen.of(["c"], ["3"]), allow=False).passed


def test_a_subject_that_pretraining_saw_is_a_leak():
    gate = gates.leakage(ledger(), Seen.of(["a", "c"], ["3"]), allow=False)
    assert not gate.passed
    assert gate.values["subjects"] == 1
    assert "tokenizer" in gate.detail
    assert "workload" not in gate.detail


def test_the_same_bytes_under_another_subject_are_a_leak():
    gate = gates.leakage(ledger(), Seen.of(["someone new"], ["2"]), allow=False)
    assert not gate.passed
    assert gate.values == {"subjects": 0, "recordings": 1, "evaluated_recordings": 1}


def test_a_declared_overlap_passes_and_is_still_told():
    gate = gates.leakage(ledger(), Seen.of(["a"], ["1"]), allow=True)
    assert gate.passed
    assert "allows" in gate.detail


def test_a_model_without_a_ledger_cannot_show_that_it_is_clean():
    assert not gates.leakage(Ledger(), Seen.of(["a"], ["1"]), allow=False).passed


def test_weights_that_do_not_load_strictly_are_refused_with_the_reason():
    assert gates.weights_load(12).passed
    gate = gates.weights_load(WeightsError("2 tensors missing", remedy="Train again"))
    assert not gate.passed
    assert "2 tensors missing" in gate.detail


def test_an_answer_must_be_finite_and_of_the_expected_shape():
    assert gates.smoke_inference(np.zeros(1), (1,)).passed
    assert not gates.smoke_inference(np.zeros(2), (1,)).passed
    assert not gates.smoke_inference(np.array([np.nan]), (1,)).passed
    refused = gates.smoke_inference(WindowError("too long", remedy="Shorten it"), (1,))
    assert not refused.passed
    assert "too long" in refused.detail


def test_a_verdict_needs_every_gate_and_survives_json():
    good, bad = gates.Gate(name="a", passed=True, detail=""), gates.Gate(name="b", passed=False, detail="no")
    verdict = gates.Verdict(model="m", version="2", champion="1", gates=(good, bad))
    assert not verdict.passed
    assert verdict.failed_gates == (bad,)
    assert gates.Verdict.from_json(verdict.to_json()) == verdict
    assert not gates.Verdict(model="m", version="2", champion=None, gates=()).passed


def grouped(max_loss, subjects=12, worst=0.0):
    """A model that is good on montage a and, on montage b, as good as `worst` says."""
    good, bad = predictions(4.0, subjects=subjects), predictions(worst, subjects=subjects, seed=1)
    both = Predictions(
        recording_id=np.concatenate(
            [[f"a{name}" for name in good.recording_id], [f"b{name}" for name in bad.recording_id]]
        ),
        subject_key=np.concatenate(
            [[f"a{name}" for name in good.subject_key], [f"b{name}" for name in bad.subject_key]]
        ),
        start=np.concatenate([good.start, bad.start]),
        y=np.concatenate([good.y, bad.y]),
        prediction=np.concatenate([good.prediction, bad.prediction]),
    )
    of_recording = {name: name[0] for name in both.recording_id}
    found = subgroups(both, TASK, {"montage": of_recording, "dataset": dict.fromkeys(of_recording, "d")})
    whole = summarise(both, TASK, split="test", corpus_version="", bootstrap=50, seed=0)
    return found, gates.subgroups_not_worse(whole, found, max_loss=max_loss, min_subjects=6), bad


def test_the_worst_group_is_named_and_fails_the_gate_if_the_recipe_bounds_its_loss():
    found, gate, bad = grouped(0.1)
    assert [group.name for group in found] == ["montage b", "montage a"], "one dataset is no grouping"
    assert found[0].value == pytest.approx(score("auroc", "binary", bad.y, bad.prediction))
    assert (found[0].subjects, found[0].windows) == (12, 240)
    assert not gate.passed
    assert "worst of 2: montage b, auroc 0." in gate.detail
    assert gate.values["group"] == "montage b"
    assert grouped(None)[1].passed
    assert grouped(0.1, worst=4.0)[1].passed


def test_the_subgroup_gate_does_not_pass_on_an_undefined_score_and_names_undefined_groups():
    good = predictions(4.0, subjects=12)
    broken = replace(good, prediction=np.where(np.arange(len(good.y)) == 5, np.nan, good.prediction))
    halves = {name: str(number % 2) for number, name in enumerate(dict.fromkeys(good.recording_id))}
    whole = summarise(broken, TASK, split="test", corpus_version="", bootstrap=20, seed=0)
    found = subgroups(broken, TASK, {"montage": halves})
    gate = gates.subgroups_not_worse(whole, found, max_loss=0.1, min_subjects=3)
    assert not gate.passed
    assert gate.detail == "auroc is undefined on the test windows"
    assert gates.subgroups_not_worse(whole, found, max_loss=None, min_subjects=3).passed
    fine = summarise(good, TASK, split="test", corpus_version="", bootstrap=20, seed=0)
    (undefined,) = [group.name for group in found if group.value is None]
    assert f"undefined for {undefined}" in gates.subgroups_not_worse(fine, found, max_loss=0.1, min_subjects=3).detail


def test_a_group_of_few_subjects_decides_nothing_and_is_named():
    gate = grouped(0.1, subjects=4)[1]
    assert gate.passed
    assert "none has 6 subjects" in gate.detail


def test_a_golden_recording_must_get_its_answer():
    found = predictions(6.0, subjects=2)
    ids = {"ab" * 32: "r0", "cd" * 32: "r1"}
    found = replace(found, prediction=np.where(found.recording_id == "r0", 0.9, 0.3))

    def judged(*entries):
        golden = [GoldenRecording(task="workload", **entry) for entry in entries]
        return gates.golden_recordings(found, TASK, golden, ids)

    right, wrong = {"sha256": "ab" * 6, "answer": "task"}, {"sha256": "cd" * 6, "answer": "task"}
    assert judged().passed
    assert judged(right, wrong | {"answer": "rest"}).passed
    assert judged(right, wrong).detail == f"{'cd' * 6}: task with probability 0.300, expected 0.5"
    assert not judged(right | {"min_probability": 0.95}).passed
    assert judged({"sha256": "ef" * 6, "answer": "rest"}).detail == f"{'ef' * 6} was not tested"
    nothing = replace(found, prediction=np.full(len(found.y), np.nan))
    golden = [GoldenRecording(task="workload", **right)]
    assert not gates.golden_recordings(nothing, TASK, golden, ids).passed, "what is not finite is no answer"
    age = TaskRecipe(name="age", title="Age", dataset="d", kind="regression", classes=("years",), metric="rmse")
    many = [GoldenRecording(task="age", sha256="ab" * 6, answer=1.0, tolerance=limit) for limit in (0.05, 0.2)]
    assert [gates.golden_recordings(found, age, [entry], ids).passed for entry in many] == [False, True]


def test_the_calibration_error_is_that_of_its_definition():
    y = np.array([1.0, 1.0, 0.0, 0.0])
    assert calibration_error("binary", y, np.array([1.0, 1.0, 0.0, 0.0])) == 0.0
    assert calibration_error("binary", y, np.array([0.9, 0.9, 0.9, 0.9])) == pytest.approx(0.4)
    three = np.array([[0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.1, 0.6, 0.3]])
    assert calibration_error("multiclass", np.array([0, 1, 1, 1]), three) == pytest.approx(0.5 * 0.3 + 0.5 * 0.4)
    assert calibration_error("regression", y, y) is None
    assert calibration_error("binary", y, np.array([np.nan, 0.0, 0.0, 0.0])) is None


def test_a_badly_calibrated_model_fails_only_if_the_recipe_bounds_its_error():
    assert gates.calibrated(0.3, most=None).passed
    assert gates.calibrated(0.3, most=0.4).passed
    refused = gates.calibrated(0.3, most=0.2)
    assert not refused.passed
    assert refused.detail == "expected calibration error 0.300, at most 0.200 allowed"
    assert not gates.calibrated(None, most=0.2).passed
    assert gates.calibrated(None, most=None).passed


def test_the_server_must_answer_as_the_model_does():
    answer = np.array([0.1, 0.9])
    assert gates.served_inference(answer + 1e-5, answer).passed
    assert not gates.served_inference(answer + 0.1, answer).passed
    assert not gates.served_inference(answer[:1], answer).passed
    refused = gates.served_inference(WindowError("FP1: flat", remedy="Leave it out"), answer)
    assert not refused.passed
    assert "FP1: flat" in refused.detail
