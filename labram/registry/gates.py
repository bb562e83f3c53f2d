"""Promotion gates: pure functions that return a `Gate` with its outcome and the reason."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import AliasChoices, Field

from labram.errors import LabramError
from labram.evaluation import statistics
from labram.evaluation.backbone_probe import BackboneProbe
from labram.evaluation.leakage import PRETRAINING, Ledger, Seen
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import Decisions, Evaluation
from labram.evaluation.subgroups import Subgroup
from labram.frozen_model import FrozenModel
from labram.metrics import greater_is_better
from labram.recipe import GateRecipe, TaskRecipe
from labram.recipe.gates import GoldenRecording

Value = float | int | str | None
BELOW_BASELINE = "passed below its baseline"
"""Outcome of a model that only passes because the recipe sets ``gates.baseline: false``."""
NOT_BETTER_THAN_RANDOM = "passed without beating random weights"
"""Outcome of a backbone that only passes because the recipe sets ``gates.probes: false``."""
OUTCOMES = ("passed", BELOW_BASELINE, NOT_BETTER_THAN_RANDOM)
"""Outcomes with which a model may be promoted."""
_WAIVED = {"baseline": BELOW_BASELINE, "probes": NOT_BETTER_THAN_RANDOM}

SERVED_TOLERANCE = 1e-3
"""Largest difference of predictions over HTTP, which are rounded on their way."""


class Gate(FrozenModel):
    """One promotion gate and its outcome.

    Attributes:
        name: Name in tables and tags.
        passed: Whether the model may be promoted, as far as this gate is concerned.
        detail: The reason, in words.
        waived: Whether the condition does not hold, and the recipe turns the gate off.
        values: Values that decided.
    """

    name: str
    passed: bool
    detail: str
    waived: bool = False
    values: dict[str, Value] = Field(default_factory=dict, validation_alias=AliasChoices("values", "figures"))


class Verdict(FrozenModel):
    """All gates of one registered version.

    Attributes:
        model: Registered name.
        version: The challenger's version.
        champion: Version of the champion that it was compared with; None if there was none.
        gates: The gates with their outcomes.
        approval: Whether a person must approve the promotion (``gates.approval: required``).
        sign: Whether a promoted version is signed (``gates.sign``).
    """

    model: str
    version: str
    champion: str | None
    gates: tuple[Gate, ...]
    approval: bool = False
    sign: bool = False

    @property
    def passed(self) -> bool:
        """Whether there is a gate and every gate passed."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)

    @property
    def outcome(self) -> str:
        """Outcome in words: one of `OUTCOMES`, or ``not promoted (gate NAME failed)``."""
        if self.passed:
            return next((_WAIVED[gate.name] for gate in self.gates if gate.waived), "passed")
        return f"not promoted (gate {', '.join(gate.name for gate in self.failed_gates) or 'missing'} failed)"

    @property
    def failed_gates(self) -> tuple[Gate, ...]:
        """Gates that did not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)


def better_than_chance(evaluation: Evaluation, floor: float | None) -> Gate:
    """Check that the model is significantly better than chance, or than the recipe's floor.

    The whole 95 % interval of the headline metric must be better than the floor.

    Args:
        evaluation: The challenger's evaluation on the test split.
        floor: Least value of the metric, from ``gates.floors``; None for chance level.
    """
    least, reached = evaluation.chance if floor is None else floor, evaluation.headline
    values: dict[str, Value] = {
        "candidate": reached.value,
        "low": reached.low,
        "high": reached.high,
        "floor": least,
        "subjects": evaluation.n_subjects,
    }
    if reached.value is None or least is None:
        detail = f"{evaluation.metric} is undefined on the test windows"
        return Gate(name="chance", passed=False, detail=detail, values=values)
    passed, origin = evaluation.clears(least), "chance" if floor is None else "the recipe's floor"
    detail = (
        f"{evaluation.metric} {reached.value:.3f} {_interval(reached, sign='')} "
        f"{'exceeds' if passed else 'does not exceed'} {least:.3f}, {origin}"
    )
    return Gate(name="chance", passed=passed, detail=detail, values=values)


def baseline_not_better(evaluation: Evaluation, *, margin: float, required: bool) -> Gate:
    """Check that the headline metric is at most `margin` worse than the baseline's on the same windows.

    As for the champion, the point estimate decides.

    Args:
        evaluation: The challenger's evaluation on the test split.
        margin: Tolerated loss, in units of the metric.
        required: Whether a worse model is rejected (``gates.baseline``).
    """
    difference, baseline = evaluation.difference, evaluation.baseline.get(evaluation.metric)
    values: dict[str, Value] = {
        "candidate": evaluation.headline.value,
        "baseline": baseline.value if baseline else None,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "margin": margin,
    }
    if difference.value is None or baseline is None:
        holds, detail = False, f"{evaluation.metric} of the model or of a baseline is undefined on the test windows"
    else:
        holds = difference.value >= -margin
        detail = (
            f"{evaluation.metric} {evaluation.headline.value:.3f} against the baseline's {baseline.value:.3f}: "
            f"{difference.value:+.3f} {_interval(difference)}, at least {-margin:+.3f} allowed"
        )
    waived = not holds and not required
    detail += " (the recipe sets gates.baseline: false)" if waived else ""
    return Gate(name="baseline", passed=holds or waived, detail=detail, waived=waived, values=values)


def not_calibrated(evaluation: Evaluation, *, allow: bool) -> Gate:
    """Check that the score used no label of the tested people.

    Args:
        evaluation: The challenger's evaluation.
        allow: Whether the recipe accepts a calibrated score (``gates.allow_calibrated``).
    """
    if not evaluation.calibrated:
        return Gate(name="labels", passed=True, detail="no label of a tested person was used")
    end = "the recipe allows it" if allow else "set gates.allow_calibrated: true to accept that"
    return Gate(name="labels", passed=allow, detail=f"alignment: {evaluation.alignment}; {end}")


def metric_not_worse(
    candidate: Predictions,
    champion: Predictions | None,
    task: TaskRecipe,
    *,
    margin: float,
    bootstrap: int,
    seed: int,
) -> Gate:
    """Check that the headline metric is at most `margin` worse than the champion's on the same windows.

    The point estimate decides: with few subjects the interval of the paired difference is too wide for either a
    superiority or a non-inferiority test. The interval is reported with the gate.

    Args:
        candidate: Predictions of the challenger on the test split.
        champion: Predictions of the champion on the same windows, in the same folds; None if it cannot make any.
        task: The task, which names the metric.
        margin: Tolerated loss, in units of the metric.
        bootstrap: Number of bootstrap samples of subjects.
        seed: Seed of the bootstrap.
    """
    name = "metric"
    if champion is None:
        detail = (
            "the champion was fine-tuned, and its run has no predictions in these folds; use split.kind: holdout, or "
            "remove its alias"
        )
        return Gate(name=name, passed=False, detail=detail)
    if not candidate.same_windows(champion):
        detail = "candidate and champion were not evaluated on the same windows"
        return Gate(name=name, passed=False, detail=detail)
    draws = statistics.bootstrap(candidate.units, draws=bootstrap, seed=seed)
    ours = statistics.scores(task.kind, candidate.y, candidate.prediction, draws)[task.metric]
    theirs = statistics.scores(task.kind, champion.y, champion.prediction, draws)[task.metric]
    difference = statistics.advantage(task.metric, ours, theirs, draws.n_subjects)
    values: dict[str, Value] = {
        "candidate": _rounded(ours[0]),
        "champion": _rounded(theirs[0]),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "margin": margin,
        "subjects": draws.n_subjects,
    }
    if difference.value is None:
        return Gate(name=name, passed=False, detail=f"{task.metric} is undefined on the test windows", values=values)
    detail = (
        f"{task.metric} {ours[0]:.3f} against the champion's {theirs[0]:.3f}: "
        f"{difference.value:+.3f} {_interval(difference)}, at least {-margin:+.3f} allowed"
    )
    return Gate(name=name, passed=difference.value >= -margin, detail=detail, values=values)


def subgroups_not_worse(
    evaluation: Evaluation, groups: Sequence[Subgroup], *, max_loss: float | None, min_subjects: int
) -> Gate:
    """Check that no subgroup is worse than all test windows together by more than `max_loss`.

    Groups with fewer than `min_subjects` subjects are named, and do not decide.

    Args:
        evaluation: The challenger's evaluation.
        groups: Scores of the subgroups, the worst first.
        max_loss: Tolerated loss (``gates.max_subgroup_loss``); None: the gate only reports.
        min_subjects: Least number of subjects of a group that decides.
    """
    whole = evaluation.headline.value
    if groups and whole is None:
        detail = f"{evaluation.metric} is undefined on the test windows"
        return Gate(name="subgroups", passed=max_loss is None, detail=detail)
    counted = [group for group in groups if group.subjects >= min_subjects and group.value is not None]
    if not groups or whole is None:
        return Gate(name="subgroups", passed=True, detail="the test windows are of one dataset and one montage")
    worst = (counted or list(groups))[0]
    loss = None if worst.value is None else whole - worst.value
    if loss is not None and not greater_is_better(evaluation.metric):
        loss = -loss
    score = "undefined" if worst.value is None else f"{worst.value:.3f}"
    detail = f"worst of {len(groups)}: {worst.name}, {evaluation.metric} {score} ({worst.subjects} subjects)"
    if undefined := [group.name for group in groups if group.value is None and group.subjects >= min_subjects]:
        detail += f"; undefined for {', '.join(undefined)}"
    if not counted:
        detail += f"; none has {min_subjects} subjects, so none decides"
    elif max_loss is None:
        detail += f"; all windows {whole:.3f} (gates.max_subgroup_loss is not set)"
    else:
        detail += f"; all windows {whole:.3f}, at most {max_loss:.3f} worse allowed"
    passed = max_loss is None or not counted or (loss is not None and loss <= max_loss)
    values: dict[str, Value] = {"whole": _rounded(whole), "worst": worst.value, "group": worst.name, "loss": loss}
    return Gate(name="subgroups", passed=passed, detail=detail, values=values)


def sensitive(decisions: Decisions | None, least: float | None) -> Gate:
    """Fail if the whole confidence interval of the sensitivity at the operating point does not exceed `least`.

    Args:
        decisions: Decisions on the tested subjects.
        least: The value; None: the sensitivity is only reported.
    """
    name = "sensitivity"
    if decisions is None:
        return Gate(name=name, passed=least is None, detail="the task has no operating point")
    reached = decisions.reached.sensitivity
    lower = reached.value if reached.low is None else reached.low
    passed = least is None or (lower is not None and lower > least)
    wanted = "" if least is None else f", {'above' if passed else 'not above'} {least:g}"
    return Gate(name=name, passed=passed, detail=f"{reached} at the operating point{wanted}")


def calibrated(error: float | None, *, most: float | None) -> Gate:
    """Check that predicted probabilities are calibrated.

    Args:
        error: Expected calibration error; None if there are no probabilities.
        most: Largest tolerated error (``gates.max_calibration_error``); None: the gate only reports.
    """
    if error is None:
        finite = most is None
        return Gate(name="calibration", passed=finite, detail="no calibration error is defined for these predictions")
    detail = f"expected calibration error {error:.3f}"
    detail += f", at most {most:.3f} allowed" if most is not None else " (gates.max_calibration_error is not set)"
    return Gate(name="calibration", passed=most is None or error <= most, detail=detail, values={"error": error})


def golden_recordings(
    predictions: Predictions, task: TaskRecipe, golden: Sequence[GoldenRecording], ids: Mapping[str, str]
) -> Gate:
    """Check that the mean predictions of golden recordings are their known answers.

    Args:
        predictions: Predictions of the challenger on the test windows.
        task: The task, which names the classes.
        golden: The golden recordings of this task.
        ids: Recording id by SHA-256, of all tested recordings.
    """
    wrong = []
    for entry in golden:
        found = [recording for digest, recording in ids.items() if digest.startswith(entry.sha256)]
        rows = np.isin(predictions.recording_id.astype(str), found)
        if not rows.any():
            wrong.append(f"{entry.sha256[:12]} was not tested")
        elif problem := _wrong_answer(predictions.prediction[rows], task, entry):
            wrong.append(f"{entry.sha256[:12]}: {problem}")
    passed = f"{len(golden)} golden recordings, all as expected" if golden else "the recipe names none (gates.golden)"
    values: dict[str, Value] = {"golden": len(golden), "wrong": len(wrong)}
    return Gate(name="golden", passed=not wrong, detail="; ".join(wrong) or passed, values=values)


def _wrong_answer(prediction: np.ndarray, task: TaskRecipe, entry: GoldenRecording) -> str:
    """Return how the mean prediction of a recording differs from its answer; "" if it does not."""
    mean = np.asarray(prediction, dtype=float).mean(axis=0)
    if isinstance(entry.answer, float):
        value = float(np.ravel(mean)[0])
        right = abs(value - entry.answer) <= entry.tolerance
        return "" if right else f"{value:.3g}, expected {entry.answer:g} within {entry.tolerance:g}"
    number = task.classes.index(entry.answer)
    if task.kind == "binary":
        mean = np.array([1.0 - mean, mean])
    probability = float(mean[number])
    right = probability >= entry.min_probability
    return "" if right else f"{entry.answer} with probability {probability:.3f}, expected {entry.min_probability:g}"


def codebook_health(codebook: Mapping[str, Any], gates: GateRecipe) -> Gate:
    """Check that the codebook has not collapsed.

    Args:
        codebook: Contents of the tokenizer's ``codebook.json``: `used` codes and `perplexity` on validation windows.
        gates: The minimum of both.
    """
    used, perplexity = int(codebook["used"]), float(codebook["perplexity"])
    passed = used >= gates.min_used_codes and gates.min_perplexity <= perplexity < np.inf
    detail = (
        f"{used} codes used (minimum {gates.min_used_codes}); "
        f"perplexity {perplexity:.1f} (minimum {gates.min_perplexity:.1f})"
    )
    return Gate(
        name="codebook", passed=passed, detail=detail, values={"used": used, "perplexity": _rounded(perplexity, 3)}
    )


def masked_accuracy(validation: Mapping[str, float]) -> Gate:
    """Check that masked-code prediction beats the majority class. Used in runs without tasks.

    Args:
        validation: `accuracy` and `majority` on windows of validation subjects.
    """
    reached, majority = float(validation["accuracy"]), float(validation["majority"])
    detail = f"masked-code accuracy {reached:.2%}; the most frequent code alone scores {majority:.2%}"
    values: dict[str, Value] = {"accuracy": _rounded(reached), "majority": _rounded(majority)}
    return Gate(name="context", passed=bool(majority < reached < np.inf), detail=detail, values=values)


def better_than_random(probes: Sequence[BackboneProbe], *, required: bool) -> Gate:
    """Check that probes of a backbone's frozen embeddings are better than the same probes of random weights.

    On at least one task the whole paired interval over subjects must be above zero, and on none may it be below.

    Args:
        probes: The probe of each task; tasks whose subjects allow none are left out.
        required: Whether another backbone is rejected (``gates.probes``).
    """
    better, worse = ([probe.task for probe in probes if getattr(probe, name)] for name in ("better", "worse"))
    holds = bool(better) and not worse
    detail = f"significantly better than random weights on {', '.join(better) or 'no task'}"
    detail += f", significantly worse on {', '.join(worse)}" if worse else ""
    described = "; ".join(probe.describe() for probe in probes)
    detail += f" ({described or 'no task has subjects to compare them on'})"
    detail += "" if holds or required else " (the recipe sets gates.probes: false)"
    values: dict[str, Value] = {probe.task: probe.difference.value for probe in probes}
    waived = not holds and not required
    return Gate(name="probes", passed=holds or waived, detail=detail, waived=waived, values=values)


def backbone_passed(backbone: Verdict) -> Gate:
    """Check, for a tokenizer, that the backbone that was trained with it passed its gates."""
    failed = ", ".join(gate.name for gate in backbone.failed_gates)
    detail = f"the backbone that was trained with it {'passed' if backbone.passed else f'did not pass ({failed})'}"
    return Gate(name="backbone", passed=backbone.passed, detail=detail)


def no_task_comparison(champion: str | None) -> Gate:
    """Check, in a run without tasks, that no champion exists yet: there is no metric to compare with one.

    Args:
        champion: Version of the champion; None if there is none.
    """
    if champion is None:
        return Gate(name="tasks", passed=True, detail="no champion yet, and the recipe has no tasks")
    detail = f"the recipe has no tasks to compare it with the champion, version {champion}"
    return Gate(name="tasks", passed=False, detail=detail)


def leakage(ledger: Ledger, evaluated: Seen, *, allow: bool, folds: int = 0) -> Gate:
    """Check that training and pre-training saw no subject or recording of the evaluation.

    Args:
        ledger: What training and pre-training saw; in a cross-validation without the task, whose folds are apart.
        evaluated: What the evaluation used.
        allow: Whether the recipe allows an overlap (``gates.allow_overlap``, or ``split.pretraining: all``).
        folds: Number of folds of a cross-validation.
    """
    overlap = ledger.overlap(evaluated)
    values: dict[str, Value] = {
        "subjects": len({key for keys in overlap.subjects.values() for key in keys}),
        "recordings": len({key for keys in overlap.contents.values() for key in keys}),
        "evaluated_recordings": len(evaluated.contents),
    }
    if PRETRAINING not in ledger.stages:
        detail = "the backbone has no leakage ledger, so its pre-training data is unknown"
        detail += " (the recipe allows it)" if allow else "; set gates.allow_overlap: true to accept that"
        return Gate(name="leakage", passed=allow, detail=detail, values=values)
    detail = overlap.describe()
    if not overlap.empty and allow:
        detail += " (the recipe allows it)"
    elif not overlap.empty and folds:
        detail += "; set split.pretraining: others, or all to accept that scores are marked"
    if folds:
        detail = f"no subject is in training and test of one of {folds} folds; before the folds: {detail}"
    return Gate(name="leakage", passed=overlap.empty or allow, detail=detail, values=values)


def weights_load(outcome: int | LabramError) -> Gate:
    """Check that the weights are intact and load strictly.

    Args:
        outcome: Number of tensors loaded, or the error that loading raised.
    """
    if isinstance(outcome, LabramError):
        return Gate(name="weights", passed=False, detail=str(outcome))
    return Gate(name="weights", passed=True, detail=f"all {outcome} tensors match", values={"tensors": outcome})


def smoke_inference(output: np.ndarray | LabramError, expected: tuple[int, ...]) -> Gate:
    """Check that the registered model returns finite values of the expected shape for synthetic windows.

    Args:
        output: The prediction, or the error that it raised.
        expected: Expected shape.
    """
    if isinstance(output, LabramError):
        return Gate(name="inference", passed=False, detail=str(output))
    finite = bool(np.isfinite(output).all())
    detail = f"shape {output.shape}, {'finite' if finite else 'not finite'}; expected {expected}"
    return Gate(name="inference", passed=finite and output.shape == expected, detail=detail)


def served_inference(answer: np.ndarray | LabramError, expected: np.ndarray) -> Gate:
    """Check that the HTTP server answers a request with the predictions of the registered model.

    Args:
        answer: The server's predictions, or the error that it answered with.
        expected: Predictions of the model for the same windows.
    """
    if isinstance(answer, LabramError):
        return Gate(name="server", passed=False, detail=str(answer))
    if answer.shape != expected.shape:
        return Gate(name="server", passed=False, detail=f"answered shape {answer.shape}, expected {expected.shape}")
    largest = float(np.abs(answer - expected).max(initial=0.0))
    detail = f"answers over HTTP as the registered model does, largest difference {largest:.1g}"
    return Gate(name="server", passed=largest <= SERVED_TOLERANCE, detail=detail, values={"difference": largest})


def _rounded(value: float, digits: int = 6) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _interval(estimate: statistics.Estimate, *, sign: str = "+") -> str:
    if estimate.low is None or estimate.high is None:
        return "(no interval: one subject)"
    return f"({estimate.low:{sign}.3f} to {estimate.high:{sign}.3f})"
