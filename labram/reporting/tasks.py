"""Report sections of the tasks: training curves, metrics, and comparison with the baseline."""

import math
from typing import Literal, NamedTuple

from labram import metrics
from labram.evaluation.audit import Audit
from labram.evaluation.record import EVALUATION_FILE, AgainstBaseline, Evaluation
from labram.evaluation.statistics import Estimate
from labram.recipe import TaskRecipe
from labram.reporting import audit, plots
from labram.reporting.elements import (
    EmbeddedFigure,
    ReportSection,
    Status,
    Table,
    count,
    embed_figure,
    estimate,
    listed,
    number,
    percent,
)
from labram.reporting.plots import Interval
from labram.reporting.run_record import History, RunRecord
from labram.reporting.training import panel, resumptions

TONES: dict[AgainstBaseline, Literal["good", "bad", "open"]] = {
    AgainstBaseline.BETTER: "good",
    AgainstBaseline.NOT_BETTER: "bad",
}
KINDS = {"binary": "binary classification", "multiclass": "multiclass classification", "regression": "regression"}


def evaluations(record: RunRecord) -> dict[str, Evaluation]:
    """Read the existing evaluations, by task name."""
    paths = {task: folder / EVALUATION_FILE for task, folder in record.tasks.items()}
    return {task: Evaluation.read(path) for task, path in paths.items() if path.is_file()}


class BaselineComparison(NamedTuple):
    """Comparison with the baseline: for a table cell, for a badge, and in a sentence."""

    short: Status
    badge: Status
    sentence: str


def compare_to_baseline(found: Evaluation) -> BaselineComparison:
    """State whether the model beats the baseline on the headline metric, in colour."""
    outcome = found.against_baseline
    tone: Literal["good", "bad", "open"] = TONES.get(outcome, "open")
    predicate = outcome.predicate
    return BaselineComparison(Status(outcome.value, tone), Status(predicate, tone), f"{_model(found)} {predicate}")


def section(record: RunRecord, task: TaskRecipe, found: Evaluation | None) -> ReportSection:
    """Return the section of a task: curves, confusion matrices or scatter plot, and metrics beside the baseline."""
    history = History.of(record.tasks.get(task.name))
    anchor = f"task-{task.name}"
    if found is None:
        trained = "was fine-tuned but not evaluated" if history.rows else "was not fine-tuned"
        lead = (f"The task {task.name} {trained} in this run.",)
        return ReportSection(anchor, task.title, lead, figures=_curves(task, history, wide=True), short=task.name)
    outcome = (*_outcome(found), *_intervals(found))
    even = sum(not item.wide for item in outcome) % 2 == 0
    return ReportSection(
        anchor,
        task.title,
        (
            _description(task, found),
            _comparison(found),
            *filter(None, (found.over_subjects,)),
            *_decided(found),
            *found.notes,
        ),
        figures=(*outcome, *_curves(task, history, wide=even)),
        tables=(_metrics(found), *_coverage(found), *audit.tables(_audit(record, task), task)),
        short=task.name,
        badge=compare_to_baseline(found).badge,
    )


def _decided(found: Evaluation) -> tuple[str, ...]:
    return (found.decisions.summary,) if found.decisions else ()


def _coverage(found: Evaluation) -> tuple[Table, ...]:
    """Return the accuracy of the most confident decisions."""
    if found.decisions is None:
        return ()
    rows = tuple((percent(coverage), percent(accuracy)) for coverage, accuracy in found.decisions.reached.curve)
    note = f"Of the {found.decisions.by}s on which the model is most confident, this share is decided correctly."
    return (Table("Accuracy at the operating point", ("coverage", "accuracy"), rows, frozenset({0, 1}), note=note),)


def _audit(record: RunRecord, task: TaskRecipe) -> Audit | None:
    folder = record.tasks.get(task.name)
    return Audit.read(folder) if folder else None


def _description(task: TaskRecipe, found: Evaluation) -> str:
    seen = (
        _unseen(found)
        if not found.overlap
        else f"Warning: training used {count(found.overlap, 'of these recordings', 'of these recordings')}."
    )
    return (
        f"Task {task.name}: {KINDS[task.kind]} ({listed(task.classes)}) from {task.seconds}-second windows of dataset "
        f"{task.dataset}. Evaluated by {found.tested}: {count(found.n_windows, 'window')} from "
        f"{count(found.n_recordings, 'recording')}. {''.join(f'{mark} ' for mark in found.marks)}"
        f"Alignment of subjects: {found.alignment}. {seen}"
    )


def _unseen(found: Evaluation) -> str:
    if found.pretrained_subjects:
        return ""
    return (
        "No stage of training used any of these recordings."
        if found.protocol == "holdout"
        else "Neither pre-training nor the models of a fold used any recording of the subjects that they are tested on."
    )


def _comparison(found: Evaluation) -> str:
    metric = metrics.title(found.metric)
    reached = f"{metric}: {_model(found)} {estimate(found.model.get(found.metric))}{_parts(found)}"
    if not found.baseline:
        return f"{reached}; this task has no baseline."
    method = f" Model: {found.predictor}." if found.predictor else ""
    method += f" Baseline: {found.baseline_method}." if found.baseline_method else ""
    method += f" {found.compared}" if found.compared else ""
    return (
        f"{reached}, baseline {estimate(found.baseline.get(found.metric))}; {compare_to_baseline(found).sentence} "
        f"(difference {estimate(found.difference)}, positive if the model is better{_p(found)})."
        f"{method}{_chance_caution(found)}"
    )


def _p(found: Evaluation) -> str:
    return "" if found.p_value is None else f"; permutation test over subjects: p = {found.p_value:.3f}"


def _model(found: Evaluation) -> str:
    return "LaBraM with the spectral model" if found.labram else "LaBraM"


def _parts(found: Evaluation) -> str:
    """Return what the parts of the model reach, and what pre-training adds."""
    alone, random = (side.get(found.metric) for side in (found.labram, found.random))
    parts = f", LaBraM alone {estimate(alone)} (its share of the prediction is {percent(found.share)})" if alone else ""
    if random is None:
        return parts
    return f"{parts}, random weights {estimate(random)} (pre-training adds {estimate(found.pretraining)})"


def _chance_caution(found: Evaluation) -> str:
    if found.clears(found.chance):
        return ""
    chance = "predicting the mean of the targets" if found.kind == "regression" else "chance"
    return f" The score is not significantly better than {chance}."


def _outcome(found: Evaluation) -> list[EmbeddedFigure]:
    name = found.task
    if found.confusion:
        figures = [_confusion(found, found.confusion, _model(found), f"{name}-confusion")]
        if found.baseline_confusion:
            figures.append(_confusion(found, found.baseline_confusion, "Baseline", f"{name}-baseline-confusion"))
        return figures
    if not found.scatter:
        return []
    r = found.model.get("pearson_r")
    alt = f"Predicted against true {listed(found.classes)}; Pearson r {estimate(r)}."
    caption = "The model’s predictions against the true values, one point per window. Dashed: predicted = true."
    return [embed_figure(plots.scatter(found.scatter, found.classes), name=f"{name}-scatter", alt=alt, caption=caption)]


def _confusion(found: Evaluation, matrix: tuple[tuple[int, ...], ...], title: str, name: str) -> EmbeddedFigure:
    recalls = ", ".join(
        f"{label} {percent(row[index] / sum(row))}"
        for index, (label, row) in enumerate(zip(found.classes, matrix, strict=False))
        if sum(row)
    )
    return embed_figure(
        plots.confusion(matrix, found.classes, title=title),
        name=name,
        alt=f"Confusion matrix of {title}. Recall: {recalls}.",
        caption=f"{title}: shade and percentage are normalised by true class; small numbers count windows.",
    )


def _intervals(found: Evaluation) -> list[EmbeddedFigure]:
    shown = [
        metric for metric in found.model if metrics.greater_is_better(metric) and found.model[metric].value is not None
    ]
    if not shown or not found.baseline:
        return []
    model = [_interval(metric, found.model[metric]) for metric in shown]
    baseline = [_interval(metric, found.baseline.get(metric)) for metric in shown]
    alt = "; ".join(
        f"{row.label}: model {number(row.value)}, baseline {number(other.value)}"
        for row, other in zip(model, baseline, strict=True)
    )
    drawn = count(found.bootstrap_draws, "bootstrap sample")
    caption = f"Points: scores on all test windows. Bars: 95 % intervals from {drawn} of subjects."
    return [embed_figure(plots.intervals(model, baseline), name=f"{found.task}-intervals", alt=alt, caption=caption)]


def _interval(metric: str, value: Estimate | None) -> Interval:
    bounds = (value.value, value.low, value.high) if value else (None, None, None)
    point, low, high = (math.nan if bound is None else bound for bound in bounds)
    return Interval(metrics.title(metric), point, low, high)


def _others(found: Evaluation) -> list[tuple[str, dict[str, Estimate]]]:
    sides = (("LaBraM alone", found.labram), ("random weights", found.random))
    return [(title, scores) for title, scores in sides if scores]


def _metrics(found: Evaluation) -> Table:
    whole = bool(found.by_recording)
    head = (
        "metric",
        f"{_model(found)} [95 % CI]",
        *(f"{title} [95 % CI]" for title, _ in _others(found)),
        "baseline [95 % CI]",
        *(("model, by recording", "baseline, by recording") if whole else ()),
    )
    rows = tuple(
        (
            metrics.title(metric) + ("" if metrics.greater_is_better(metric) else " (smaller is better)"),
            estimate(value),
            *(estimate(scores.get(metric)) for _, scores in _others(found)),
            estimate(found.baseline.get(metric)),
            *(
                (number(found.by_recording.get(metric)), number(found.baseline_by_recording.get(metric)))
                if whole
                else ()
            ),
        )
        for metric, value in found.model.items()
    )
    note = "By recording: metrics of the mean prediction over a recording’s windows." if whole else ""
    return Table("Metrics", head, rows, frozenset({1, 2, 3, 4}), note=note)


def _curves(task: TaskRecipe, history: History, *, wide: bool) -> tuple[EmbeddedFigure, ...]:
    """Plot loss and headline metric: side by side if `wide`, else stacked in half the page width."""
    title = metrics.title(task.metric)
    panels = [*panel("Loss", "loss", history), *panel(f"{title[:1].upper()}{title[1:]}", task.metric, history)]
    if not panels:
        return ()
    caption = "Fine-tuning. Solid: training windows. Dashed: validation subjects, which select the best epoch."
    caption += resumptions(panels)
    figure = plots.curves(panels, columns=2) if wide else plots.curves(panels, width=plots.HALF, columns=1)
    return (
        embed_figure(figure, name=f"{task.name}-curves", alt=f"Fine-tuning curves of {task.name}.", caption=caption),
    )
