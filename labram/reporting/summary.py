"""The head of the report, which says what came out, and the chapter about the gates that decided it."""

from collections.abc import Mapping
from dataclasses import dataclass

from labram.evaluation.record import Evaluation
from labram.recipe import LOWER_IS_BETTER, TaskRecipe
from labram.reporting.elements import METRIC_TITLES, Chapter, Table, Word, count, estimate, listed
from labram.reporting.run_record import GateOutcome, RunRecord
from labram.reporting.tasks import beats


@dataclass(frozen=True)
class SummaryRow:
    """One task in the summary's table."""

    task: str
    title: str
    metric: str
    model: str
    doubt: str
    baseline: str
    beats: Word
    gate: Word


@dataclass(frozen=True)
class Summary:
    """The head of the report.

    Attributes:
        verdict: Whether a champion moved.
        sentence: The same in a sentence.
        answer: Whether the model beats the baseline, in a sentence.
        rows: One a task.
    """

    verdict: Word
    sentence: str
    answer: str
    rows: tuple[SummaryRow, ...]


def summary(record: RunRecord, scores: Mapping[str, Evaluation]) -> Summary:
    """The verdict, and the table of tasks."""
    verdict, sentence = _verdict(record)
    rows = tuple(_row(record, task, scores.get(task.name)) for task in record.recipe.tasks)
    return Summary(verdict, sentence, _answer(scores), rows)


def _verdict(record: RunRecord) -> tuple[Word, str]:
    failed = [gate for gate in record.gates if not gate.passed]
    if record.stopped:
        return Word("stopped early", "bad"), record.stopped
    if not record.gates:
        return Word("not judged", "open"), "No gate was judged in this run, so no champion moved."
    moved = listed(f"{promotion.model} version {promotion.version}" for promotion in record.promotions)
    if failed and record.promotions:
        return Word("partly promoted", "open"), f"{_refusals(record)} {moved} moved all the same."
    if failed:
        return Word("gate refused", "bad"), f"{_refusals(record)} The champions stay as they were."
    judged = f"All {count(len(record.gates), 'gate')} passed" if len(record.gates) > 1 else "The gate passed"
    if not record.promotions:
        return Word("gates passed", "good"), f"{judged}; no alias moved."
    return Word("promoted", "good"), f"{judged}. Aliases moved to {moved}."


def _refusals(record: RunRecord) -> str:
    failed = [gate for gate in record.gates if not gate.passed]
    names = listed(dict.fromkeys(f"{gate.model}: {gate.name}" for gate in failed))
    return f"{len(failed)} of {count(len(record.gates), 'gate')} refused ({names})."


def _answer(scores: Mapping[str, Evaluation]) -> str:
    compared = {task: found for task, found in scores.items() if found.baseline}
    if not compared:
        return "No task was evaluated beside a baseline, so nothing can be said about beating one."
    proven = [task for task, found in compared.items() if found.beats_baseline and found.significant]
    ahead = [task for task, found in compared.items() if found.beats_baseline and not found.significant]
    behind = [task for task, found in compared.items() if not found.beats_baseline]
    doubtful = [task for task, found in scores.items() if not found.clears(found.chance)]
    parts = [
        f"LaBraM beats the baseline on {listed(proven)}."
        if proven
        else "LaBraM is not shown to beat the baseline on any task."
    ]
    if ahead:
        parts.append(f"On {listed(ahead)} it is ahead, within the uncertainty.")
    if behind:
        parts.append(f"On {listed(behind)} it does not beat it.")
    if doubtful:
        parts.append(f"On {listed(doubtful)} it is not shown to be better than guessing.")
    return " ".join(parts)


def _row(record: RunRecord, task: TaskRecipe, found: Evaluation | None) -> SummaryRow:
    metric = METRIC_TITLES.get(task.metric, task.metric) + (" ↓" if task.metric in LOWER_IS_BETTER else "")
    if found is None:
        dash = Word("not evaluated", "open")
        return SummaryRow(task.name, task.title, metric, "–", "", "–", dash, _gate_word(record, task.name))
    return SummaryRow(
        task.name,
        task.title,
        metric,
        estimate(found.model.get(task.metric)),
        "" if found.clears(found.chance) else "not shown to be better than guessing",
        estimate(found.baseline.get(task.metric)),
        beats(found),
        _gate_word(record, task.name),
    )


def _gate_word(record: RunRecord, task: str) -> Word:
    mine = [gate for gate in record.gates if gate.model in (task, f"labram-{task}")]
    if not mine:
        return Word("not judged", "open")
    failed = [gate.name for gate in mine if not gate.passed]
    return Word(f"refused: {', '.join(failed)}", "bad") if failed else Word("passed", "good")


def gates(record: RunRecord) -> Chapter:
    """Every condition on promotion with its verdict, and which aliases moved."""
    if not record.gates:
        return Chapter("gates", "Gates", ("No gate was judged in this run, so no champion moved.",))
    _, sentence = _verdict(record)
    rows = tuple(
        (gate.model, gate.name, _judged(gate), gate.detail, _figures(gate.figures))
        for gate in sorted(record.gates, key=lambda gate: gate.passed)
    )
    tables = [Table("Conditions", ("model", "gate", "verdict", "detail", "figures"), rows)]
    moves = tuple((move.model, move.version, "; ".join(move.moves) or "none") for move in record.promotions)
    if moves:
        tables.append(Table("Aliases", ("model", "version", "moves"), moves, frozenset({1})))
    return Chapter("gates", "Gates", (sentence,), tables=tuple(tables))


def _judged(gate: GateOutcome) -> Word:
    return Word("passed", "good") if gate.passed else Word("refused", "bad")


def _figures(figures: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:.4g}' if isinstance(value, float) else value}"
        for name, value in figures.items()
    )
