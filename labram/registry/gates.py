"""Conditions on promotion. Each is a pure function of what it judges and gives a `Gate` that explains itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from labram.errors import LabramError
from labram.evaluation import statistics
from labram.evaluation.leakage import PRETRAINING, Ledger, Seen
from labram.evaluation.record import Evaluation, Predictions
from labram.frozen_model import FrozenModel
from labram.recipe import GateRecipe, TaskRecipe

Figure = float | int | str | None


class Gate(FrozenModel):
    """One condition and its outcome."""

    name: str
    passed: bool
    detail: str
    figures: dict[str, Figure] = Field(default_factory=dict)


class Verdict(FrozenModel):
    """All gates of one registered version.

    Attributes:
        model: Registered name.
        version: The challenger's version.
        champion: The champion's version that it was compared with; None where there was none.
        gates: Outcomes.
    """

    model: str
    version: str
    champion: str | None
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether every gate passed; no gate at all is no permission."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)

    @property
    def failed_gates(self) -> tuple[Gate, ...]:
        """The gates that did not pass."""
        return tuple(gate for gate in self.gates if not gate.passed)


def better_than_chance(evaluation: Evaluation, floor: float | None) -> Gate:
    """A first champion is better than answers that ignore the signals, and that not by luck.

    The whole 95 % interval of the headline metric decides: without a champion to compare with, the estimate alone would
    let anything in.

    Args:
        evaluation: Of the challenger on the test split.
        floor: What the interval must clear, where the recipe says so; None: what chance gets.
    """
    least, reached = evaluation.chance if floor is None else floor, evaluation.headline
    figures: dict[str, Figure] = {
        "candidate": reached.value,
        "low": reached.low,
        "high": reached.high,
        "floor": least,
        "subjects": evaluation.n_subjects,
    }
    if reached.value is None or least is None:
        detail = f"{evaluation.metric} is undefined on the test windows"
        return Gate(name="chance", passed=False, detail=detail, figures=figures)
    passed, what = evaluation.clears(least), "chance" if floor is None else "the recipe's floor"
    detail = (
        f"no champion yet; {evaluation.metric} {reached.value:.3f} {_interval(reached, sign='')} "
        f"{'clears' if passed else 'does not clear'} {least:.3f}, {what}"
    )
    return Gate(name="chance", passed=passed, detail=detail, figures=figures)


def metric_not_worse(
    candidate: Predictions,
    champion: Predictions,
    task: TaskRecipe,
    *,
    margin: float,
    bootstrap: int,
    seed: int,
) -> Gate:
    """The headline metric is at most `margin` worse than the champion's on the same windows.

    The estimate decides, because few subjects give intervals that neither rule would survive; the interval of the
    paired difference is among the figures, for those who read the verdict.

    Args:
        candidate: Predictions of the challenger on the test split.
        champion: Predictions of the champion on the same windows.
        task: Whose metric counts.
        margin: Loss that is tolerated, in units of the metric.
        bootstrap: Resamplings of subjects.
        seed: Of the resampling.
    """
    name = "metric"
    if not candidate.same_windows(champion):
        detail = "candidate and champion were not evaluated on the same windows"
        return Gate(name=name, passed=False, detail=detail)
    draws = statistics.resample(candidate.subject_key, draws=bootstrap, seed=seed)
    ours = statistics.scores(task.kind, candidate.y, candidate.prediction, draws)[task.metric]
    theirs = statistics.scores(task.kind, champion.y, champion.prediction, draws)[task.metric]
    difference = statistics.advantage(task.metric, ours, theirs)
    figures: dict[str, Figure] = {
        "candidate": _rounded(ours[0]),
        "champion": _rounded(theirs[0]),
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "margin": margin,
        "subjects": draws.count,
    }
    if difference.value is None:
        return Gate(name=name, passed=False, detail=f"{task.metric} is undefined on the test windows", figures=figures)
    detail = (
        f"{task.metric} {ours[0]:.3f} against the champion's {theirs[0]:.3f}: "
        f"{difference.value:+.3f} {_interval(difference)}, at least {-margin:+.3f} allowed"
    )
    return Gate(name=name, passed=difference.value >= -margin, detail=detail, figures=figures)


def codebook_health(codebook: Mapping[str, Any], gates: GateRecipe) -> Gate:
    """The codebook has not collapsed.

    Args:
        codebook: Contents of the tokenizer's ``codebook.json``: `used` codes and `perplexity` on validation windows.
        gates: Least values of both.
    """
    used, perplexity = int(codebook["used"]), float(codebook["perplexity"])
    passed = used >= gates.min_used_codes and perplexity >= gates.min_perplexity
    detail = (
        f"{used} codes used, at least {gates.min_used_codes} asked; "
        f"perplexity {perplexity:.1f}, at least {gates.min_perplexity:.1f} asked"
    )
    return Gate(
        name="codebook", passed=passed, detail=detail, figures={"used": used, "perplexity": round(perplexity, 3)}
    )


def masked_accuracy(validation: Mapping[str, float]) -> Gate:
    """The masked model names hidden codes better than by always naming the commonest: asked where no task judges it.

    Args:
        validation: `accuracy` and `majority` on windows of validation subjects.
    """
    reached, majority = float(validation["accuracy"]), float(validation["majority"])
    detail = f"{reached:.2%} of the hidden patches' codes are named right; the commonest code would be {majority:.2%}"
    figures: dict[str, Figure] = {"accuracy": round(reached, 6), "majority": round(majority, 6)}
    return Gate(name="context", passed=reached > majority, detail=detail, figures=figures)


def no_task_comparison(champion: str | None) -> Gate:
    """In a run without tasks: a champion that there is stays, because nothing says that another one is as good.

    Args:
        champion: Its version; None where there is none yet.
    """
    if champion is None:
        return Gate(name="tasks", passed=True, detail="no champion yet, and the recipe has no tasks to judge by")
    detail = f"the recipe has no tasks, so nothing says whether it is as good as version {champion}"
    return Gate(name="tasks", passed=False, detail=detail)


def leakage(ledger: Ledger, evaluated: Seen, *, allow: bool) -> Gate:
    """No subject or recording of the evaluation was seen in training or pre-training, unless the recipe says so."""
    overlap = ledger.overlap(evaluated)
    figures: dict[str, Figure] = {
        "subjects": len({key for keys in overlap.subjects.values() for key in keys}),
        "recordings": len({key for keys in overlap.contents.values() for key in keys}),
        "evaluated_recordings": len(evaluated.contents),
    }
    if PRETRAINING not in ledger.stages:
        detail = "nobody knows what pre-training has seen: the backbone came without a ledger"
        detail += " (the recipe allows it)" if allow else "; gates.allow_overlap: true accepts that"
        return Gate(name="leakage", passed=allow, detail=detail, figures=figures)
    detail = overlap.describe()
    if not overlap.empty and allow:
        detail += " (the recipe allows it)"
    return Gate(name="leakage", passed=overlap.empty or allow, detail=detail, figures=figures)


def weights_load(outcome: int | LabramError) -> Gate:
    """The weights are undamaged and load strictly.

    Args:
        outcome: How many tensors were loaded, or the error that loading raised.
    """
    if isinstance(outcome, LabramError):
        return Gate(name="weights", passed=False, detail=str(outcome))
    return Gate(name="weights", passed=True, detail=f"all {outcome} tensors match", figures={"tensors": outcome})


def smoke_inference(output: np.ndarray | LabramError, expected: tuple[int, ...]) -> Gate:
    """The registered model answers a synthetic window with finite values of the right shape.

    Args:
        output: What it answered, or the error it raised.
        expected: Shape.
    """
    if isinstance(output, LabramError):
        return Gate(name="inference", passed=False, detail=str(output))
    finite = bool(np.isfinite(output).all())
    detail = f"shape {output.shape}, {'finite' if finite else 'not finite'}; {expected} expected"
    return Gate(name="inference", passed=finite and output.shape == expected, detail=detail)


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _interval(estimate: statistics.Estimate, *, sign: str = "+") -> str:
    if estimate.low is None or estimate.high is None:
        return "(no interval: one subject)"
    return f"({estimate.low:{sign}.3f} to {estimate.high:{sign}.3f})"
