"""Table and forest plot of results on real recordings, row by row."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labram import metrics
from labram.corpus.catalogue import Corpus
from labram.evaluation import statistics
from labram.metrics import Array
from labram.recipe import TaskRecipe
from labram.store.store import CORPORA
from labram.training.data.labelled import LabelledWindows

BOOTSTRAP = 2000
Row = dict[str, Any]


def newest_corpus(store: Path) -> Corpus:
    """Return the corpus that was ingested last."""
    return Corpus.load(max((store / CORPORA).iterdir(), key=lambda folder: folder.stat().st_mtime))


def scored(
    task: TaskRecipe, windows: LabelledWindows, prediction: Array, predictor: str, alignment: str, seconds: float
) -> Row:
    """Return the row of a predictor, with an interval over subjects."""
    draws = statistics.bootstrap(windows.subject_keys.astype(object), draws=BOOTSTRAP, seed=0)
    scores = statistics.scores(task.kind, windows.y, prediction, draws)
    estimates, _ = statistics.estimates({task.metric: scores[task.metric]}, draws.n_subjects)
    found = estimates[task.metric]
    row = {
        "task": task.name,
        "metric": task.metric,
        "subjects": draws.n_subjects,
        "windows": len(windows),
        "predictor": predictor,
        "alignment": alignment,
        **found.model_dump(),
        "recordings": _by_recording(task, windows, prediction),
        "seconds": round(seconds, 1),
    }
    print(f"{task.name:14s} {predictor:36s} {alignment:10s} {found}  {row['recordings']}  {seconds:.0f} s", flush=True)
    return row


def _by_recording(task: TaskRecipe, windows: LabelledWindows, prediction: Array) -> float | None:
    """Return the headline metric over recordings with one label each, by the mean over their windows."""
    if task.kind == "regression":
        return None
    _, first, index = np.unique(windows.recording_ids, return_index=True, return_inverse=True)
    if len(first) == len(index) or not np.array_equal(windows.y[first][index], windows.y):
        return None
    means = np.zeros((len(first), *prediction.shape[1:]))
    np.add.at(means, index, prediction)
    means /= np.bincount(index).reshape(-1, *(1,) * (prediction.ndim - 1))
    return round(metrics.score(task.metric, task.kind, windows.y[first], means), 3)


def write(rows: Sequence[Row], out: Path, *, every: bool = False) -> None:
    """Write table, rows and forest plot, of the best predictors or of `every` one."""
    out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    lines = [
        "| task | predictor | alignment | metric [95 % interval] | by recording |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        score = str(statistics.Estimate(value=row["value"], low=row["low"], high=row["high"]))
        recordings = "" if row["recordings"] is None else f"{row['recordings']:.3f}"
        lines.append(f"| {row['task']} | {row['predictor']} | {row['alignment']} | {score} | {recordings} |")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _forest(rows[::-1] if every else _best_of(rows), out.with_suffix(".svg"))


def _forest(rows: Sequence[Row], path: Path) -> None:
    """Plot rows, the last first, with their intervals, task by task."""
    from matplotlib.figure import Figure

    from labram.reporting import plots

    names = list(dict.fromkeys(row["task"] for row in rows[::-1]))
    with plots.styled():
        figure = Figure(figsize=(plots.FULL, 3.2 * len(names)), layout="constrained")
        for axes, name in zip(np.atleast_1d(figure.subplots(len(names), 1)), names, strict=True):
            shown = [row for row in rows if row["task"] == name]
            for place, row in enumerate(shown):
                colour = plots.BASELINE if not row["alignment"] else plots.MODEL
                low, high = (row[end] if row[end] is not None else row["value"] for end in ("low", "high"))
                axes.plot([max(low, -1.0), high], [place, place], color=colour)
                axes.plot(max(row["value"], -1.0), place, "o", color=colour)
            labels = [
                f"{row['predictor']} ({row['alignment']})" if row["alignment"] else row["predictor"] for row in shown
            ]
            axes.set_yticks(range(len(shown)), labels)
            axes.set_title(f"{name}: {metrics.title(shown[0]['metric'])}, {shown[0]['subjects']} subjects")
        figure.savefig(path, metadata={"Date": None})


def _best_of(rows: Sequence[Row]) -> list[Row]:
    """Return the best probe and stack of each task, alignment and model, and all baselines, the last first."""
    best: dict[tuple[str, ...], Row] = {}
    for row in rows:
        words = row["predictor"].split()
        key = (row["task"], row["alignment"], words[0], str("spectral" in words[1:]))
        if key not in best or (row["value"] or -np.inf) > (best[key]["value"] or -np.inf):
            best[key] = row
    return list(best.values())[::-1]
