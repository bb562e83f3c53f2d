"""Summary at the top of the report, and the section on promotion gates."""

from collections.abc import Mapping
from dataclasses import dataclass

from labram.evaluation.record import AgainstBaseline, Evaluation
from labram.recipe import TaskRecipe
from labram.registry.gates import BELOW_BASELINE, Gate
from labram.reporting.elements import (
    ReportSection,
    Status,
    Table,
    count,
    estimate,
    listed,
    metric_title,
    number,
    percent,
)
from labram.reporting.run_record import RunRecord
from labram.reporting.tasks import compare_to_baseline


@dataclass(frozen=True)
class SummaryRow:
    """Row of a task in the summary table."""

    task: str
    title: str
    metric: str
    model: str
    caution: str
    parts: str
    baseline: str
    baseline_comparison: Status
    gate: Status


@dataclass(frozen=True)
class ReportSummary:
    """Summary of a run.

    Attributes:
        verdict: Outcome of the run.
        sentence: The outcome in a sentence.
        answer: Comparison with the baseline, in a sentence.
        rows: One row per task.
    """

    verdict: Status
    sentence: str
    answer: str
    rows: tuple[SummaryRow, ...]


def summary(record: RunRecord, scores: Mapping[str, Evaluation]) -> ReportSummary:
    """Summarise the outcome of a run and its tasks."""
    verdict, sentence = _verdict(record)
    rows = tuple(_row(record, task, scores.get(task.name)) for task in record.recipe.tasks)
    return ReportSummary(verdict, sentence, _answer(scores), rows)


def _verdict(record: RunRecord) -> tuple[Status, str]:
    failed = any(not gate.passed for _, gate in record.gates)
    if record.stopped:
        return Status("stopped early", "bad"), record.stopped
    if not record.gates:
        return Status("not evaluated", "open"), "No gate was evaluated in this run; no alias moved."
    promoted = listed(f"{promotion.model} version {promotion.version}" for promotion in record.promotions)
    if failed and record.promotions:
        return Status("partly promoted", "open"), f"{_failures(record)} Promoted: {promoted}."
    if failed:
        return Status("not promoted", "bad"), f"{_failures(record)} No alias moved."
    passed = f"All {count(len(record.gates), 'gate')} passed" if len(record.gates) > 1 else "The gate passed"
    if below := [model for model, gate in record.gates if gate.waived and gate.name == "baseline"]:
        passed += f", {listed(below)} below the baseline (the recipe sets gates.baseline: false)"
    if any(gate.waived and gate.name == "probes" for _, gate in record.gates):
        passed += ", the backbone without beating random weights (the recipe sets gates.probes: false)"
    if not record.promotions and any(verdict.approval for verdict in record.verdicts):
        return Status("awaiting approval", "open"), f"{passed}. A person must approve: labram models approve."
    if not record.promotions:
        return Status("unchanged", "good"), f"{passed}; no alias moved."
    return Status("promoted", "good"), f"{passed}. Promoted: {promoted}."


def _failures(record: RunRecord) -> str:
    failed = [f"{model}: {gate.name}" for model, gate in record.gates if not gate.passed]
    names = listed(dict.fromkeys(failed))
    return f"{len(failed)} of {count(len(record.gates), 'gate')} failed ({names})."


def _answer(scores: Mapping[str, Evaluation]) -> str:
    compared = {task: found for task, found in scores.items() if found.baseline}
    if not compared:
        return "No task was evaluated with a baseline to compare with."
    significant, ahead, behind = (
        [task for task, found in compared.items() if found.against_baseline is outcome]
        for outcome in (AgainstBaseline.BETTER, AgainstBaseline.NOT_SIGNIFICANT, AgainstBaseline.NOT_BETTER)
    )
    at_chance = [task for task, found in scores.items() if not found.clears(found.chance)]
    model = "LaBraM with the spectral model" if any(found.labram for found in scores.values()) else "LaBraM"
    if not significant and not ahead:
        parts = [f"{model} does not beat the baseline on any task."]
    elif not significant:
        parts = [f"{model} does not significantly beat the baseline on any task."]
    else:
        parts = [f"{model} significantly beats the baseline on {listed(significant)}."]
    if ahead:
        parts.append(f"On {listed(ahead)} it is better, but not significantly.")
    if behind and len(behind) < len(compared):
        parts.append(f"On {listed(behind)} it does not beat the baseline.")
    if at_chance:
        parts.append(f"On {listed(at_chance)} it is not significantly better than chance.")
    if twins := {task: found for task, found in scores.items() if found.random}:
        helped = [
            task for task, found in twins.items() if found.pretraining.low is not None and found.pretraining.low > 0
        ]
        parts.append(f"LaBraM alone is significantly better than random weights on {listed(helped) or 'no task'}.")
    return " ".join(parts)


def _row(record: RunRecord, task: TaskRecipe, found: Evaluation | None) -> SummaryRow:
    metric = metric_title(task.metric)
    if found is None:
        missing = Status("not evaluated", "open")
        return SummaryRow(task.name, task.title, metric, "–", "", "", "–", missing, _gate_status(record, task.name))
    return SummaryRow(
        task.name,
        task.title,
        metric,
        estimate(found.model.get(task.metric)),
        "" if found.clears(found.chance) else "not significantly better than chance",
        _parts(found),
        estimate(found.baseline.get(task.metric)),
        compare_to_baseline(found).short,
        _gate_status(record, task.name),
    )


def _parts(found: Evaluation) -> str:
    """Return what LaBraM contributes, in a few words; empty for a model that is LaBraM alone without a twin."""
    scores = (("LaBraM alone", found.labram), ("random weights", found.random))
    parts = [f"{title} {number(side[found.metric].value)}" for title, side in scores if side]
    return ", ".join([f"LaBraM’s share {percent(found.share)}", *parts] if found.labram else parts)


def _gate_status(record: RunRecord, task: str) -> Status:
    evaluated = [gate for model, gate in record.gates if model in (task, f"labram-{task}")]
    if not evaluated:
        return Status("not evaluated", "open")
    failed = [gate.name for gate in evaluated if not gate.passed]
    if failed:
        return Status(f"failed: {', '.join(failed)}", "bad")
    below = any(gate.waived for gate in evaluated)
    return Status(BELOW_BASELINE, "open") if below else Status("passed", "good")


def gates(record: RunRecord) -> ReportSection:
    """Return the section on gates: every gate with its outcome, and the aliases that moved."""
    _, sentence = _verdict(record)
    if not record.gates:
        return ReportSection("gates", "Gates", ("No gate was evaluated in this run; no alias moved.",))
    rows = tuple(
        (model, gate.name, _status(gate), gate.detail, _values(gate.values))
        for model, gate in sorted(record.gates, key=lambda evaluated: evaluated[1].passed)
    )
    tables = [Table("Gates", ("model", "gate", "outcome", "detail", "values"), rows)]
    moves = tuple(
        (move.model, move.version or "none", f"champion (before: {move.previous or 'none'})")
        for move in record.promotions
    )
    if moves:
        tables.append(Table("Aliases", ("model", "version", "moves"), moves, frozenset({1})))
    return ReportSection("gates", "Gates", (sentence,), tables=tuple(tables))


def _status(gate: Gate) -> Status:
    if gate.waived:
        return Status("turned off", "open")
    return Status("passed", "good") if gate.passed else Status("failed", "bad")


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
        for name, value in values.items()
    )
