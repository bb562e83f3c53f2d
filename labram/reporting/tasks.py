"""The chapters about tasks: how each was scored, and how the model compares with the baseline."""

import math

from labram.evaluation.record import Evaluation
from labram.evaluation.statistics import Estimate
from labram.recipe import LOWER_IS_BETTER, TaskRecipe
from labram.reporting import plots
from labram.reporting.elements import (
    METRIC_TITLES,
    Chapter,
    Picture,
    Table,
    Word,
    count,
    estimate,
    listed,
    number,
    percent,
    picture,
)
from labram.reporting.plots import Interval
from labram.reporting.run_record import History, RunRecord
from labram.reporting.training import panel, resumptions

KINDS = {"binary": "two classes", "multiclass": "several classes", "regression": "regression"}


def evaluations(record: RunRecord) -> dict[str, Evaluation]:
    """By name of the task, the evaluations that there are."""
    paths = {task: folder / "evaluation.json" for task, folder in record.tasks.items()}
    return {task: Evaluation.read(path) for task, path in paths.items() if path.is_file()}


def beats(found: Evaluation) -> Word:
    """Whether the model beats the baseline on the headline metric."""
    if not found.baseline or found.difference.value is None:
        return Word("no baseline", "open")
    if not found.beats_baseline:
        return Word("no", "bad")
    return Word("yes", "good") if found.significant else Word("ahead, not proven", "open")


def chapter(record: RunRecord, task: TaskRecipe, found: Evaluation | None) -> Chapter:
    """Curves, confusion matrices or scatter, and every metric of one task, beside the baseline."""
    history = History.of(record.tasks.get(task.name))
    anchor = f"task-{task.name}"
    if found is None:
        trained = "was fine-tuned but not evaluated" if history.rows else "was not fine-tuned"
        lead = (f"The task {task.name} {trained} in this run.",)
        return Chapter(anchor, task.title, lead, pictures=_curves(task, history, wide=True), short=task.name)
    outcome = (*_outcome(found), *_intervals(found))
    even = sum(not item.wide for item in outcome) % 2 == 0
    return Chapter(
        anchor,
        task.title,
        (_what(task, found), _comparison(found), *found.notes),
        pictures=(*outcome, *_curves(task, history, wide=even)),
        tables=(_metrics(found),),
        short=task.name,
        badge=_badge(found),
    )


def _badge(found: Evaluation) -> Word:
    verdict = beats(found)
    words = {
        "yes": "beats the baseline",
        "no": "does not beat the baseline",
        "ahead, not proven": "ahead of the baseline, not proven",
    }
    return Word(words.get(verdict.text, verdict.text), verdict.tone)


def _what(task: TaskRecipe, found: Evaluation) -> str:
    seen = (
        "None of these recordings was seen in any stage of training."
        if not found.overlap
        else f"Attention: training has seen {count(found.overlap, 'of these recordings', 'of these recordings')}."
    )
    return (
        f"Task {task.name}, {KINDS[task.kind]} ({listed(task.classes)}), from {task.seconds}-second windows of dataset "
        f"{task.dataset}. Scored on the {found.split} split: {count(found.n_windows, 'window')} from "
        f"{count(found.n_recordings, 'recording')} of {count(found.n_subjects, 'subject')}. {seen}"
    )


def _comparison(found: Evaluation) -> str:
    metric = METRIC_TITLES.get(found.metric, found.metric)
    reached = f"{metric}: LaBraM {estimate(found.model.get(found.metric))}"
    if not found.baseline:
        return f"{reached}; there is no baseline for this task."
    gap = found.difference
    against = f"{reached}, baseline {estimate(found.baseline.get(found.metric))}"
    verdict = {
        "yes": "LaBraM beats the baseline",
        "ahead, not proven": "LaBraM is ahead, but the difference is not significant",
        "no": "LaBraM does not beat the baseline",
        "no baseline": "the difference is undefined",
    }[beats(found).text]
    method = f" The baseline is {found.baseline_method}." if found.baseline_method else ""
    return (
        f"{against}; {verdict} (difference {estimate(gap)}, above zero where LaBraM is better).{method}{_doubt(found)}"
    )


def _doubt(found: Evaluation) -> str:
    if found.clears(found.chance):
        return ""
    guess = "predicting the mean of the targets" if found.kind == "regression" else "guessing"
    return f" The score is not shown to be better than {guess} would be."


def _outcome(found: Evaluation) -> list[Picture]:
    name = found.task
    if found.confusion:
        pictures = [_confusion(found, found.confusion, "LaBraM", f"{name}-confusion")]
        if found.baseline_confusion:
            pictures.append(_confusion(found, found.baseline_confusion, "Baseline", f"{name}-baseline-confusion"))
        return pictures
    if not found.scatter:
        return []
    r = found.model.get("pearson_r")
    alt = f"Predicted against true {listed(found.classes)}; Pearson r {estimate(r)}."
    caption = "LaBraM’s prediction against the truth; a point is a window, and on the dashed line both are equal."
    return [picture(plots.scatter(found.scatter, found.classes), name=f"{name}-scatter", alt=alt, caption=caption)]


def _confusion(found: Evaluation, matrix: tuple[tuple[int, ...], ...], title: str, name: str) -> Picture:
    recalls = ", ".join(
        f"{label} {percent(row[index] / sum(row))}"
        for index, (label, row) in enumerate(zip(found.classes, matrix, strict=False))
        if sum(row)
    )
    return picture(
        plots.confusion(matrix, found.classes, title=title),
        name=name,
        alt=f"Confusion matrix of {title}. Recognised: {recalls}.",
        caption=f"{title}: shade and percentage are shares of the true class, small numbers count windows.",
    )


def _intervals(found: Evaluation) -> list[Picture]:
    shown = [
        metric for metric in found.model if metric not in LOWER_IS_BETTER and found.model[metric].value is not None
    ]
    if not shown or not found.baseline:
        return []
    model = [_interval(metric, found.model[metric]) for metric in shown]
    baseline = [_interval(metric, found.baseline.get(metric)) for metric in shown]
    alt = "; ".join(
        f"{row.label}: LaBraM {number(row.value)}, baseline {number(other.value)}"
        for row, other in zip(model, baseline, strict=True)
    )
    drawn = count(found.resamples, "resampling")
    caption = f"Points are the scores on all test windows, bars 95 % intervals from {drawn} of subjects."
    return [picture(plots.intervals(model, baseline), name=f"{found.task}-intervals", alt=alt, caption=caption)]


def _interval(metric: str, value: Estimate | None) -> Interval:
    bounds = (value.value, value.low, value.high) if value else (None, None, None)
    point, low, high = (math.nan if bound is None else bound for bound in bounds)
    return Interval(METRIC_TITLES.get(metric, metric), point, low, high)


def _metrics(found: Evaluation) -> Table:
    whole = bool(found.by_recording)
    head = (
        "metric",
        "LaBraM [95 % CI]",
        "baseline [95 % CI]",
        *(("LaBraM, by recording", "baseline, by recording") if whole else ()),
    )
    rows = tuple(
        (
            METRIC_TITLES.get(metric, metric) + (" (smaller is better)" if metric in LOWER_IS_BETTER else ""),
            estimate(value),
            estimate(found.baseline.get(metric)),
            *(
                (number(found.by_recording.get(metric)), number(found.baseline_by_recording.get(metric)))
                if whole
                else ()
            ),
        )
        for metric, value in found.model.items()
    )
    note = "By recording: the mean prediction over a recording’s windows is scored." if whole else ""
    return Table("Metrics", head, rows, frozenset({1, 2, 3, 4}), note=note)


def _curves(task: TaskRecipe, history: History, *, wide: bool) -> tuple[Picture, ...]:
    """Loss and headline metric: side by side over the page, or stacked where another figure stands beside them."""
    title = METRIC_TITLES.get(task.metric, task.metric)
    panels = [*panel("Loss", "loss", history), *panel(f"{title[:1].upper()}{title[1:]}", task.metric, history)]
    if not panels:
        return ()
    caption = "Fine-tuning. Solid: training windows. Dashed: validation subjects, by which the best epoch is chosen."
    caption += resumptions(panels)
    figure = plots.curves(panels, columns=2) if wide else plots.curves(panels, width=plots.HALF, columns=1)
    return (picture(figure, name=f"{task.name}-curves", alt=f"Fine-tuning curves of {task.name}.", caption=caption),)
