"""Five-fold table of docs/results.md: probes, stacks, baselines and alignments on real recordings.

labram corpus ingest FOLDER --store STORE --recipe real-small
python benchmarks/results.py STORE OUT [--backbone MODEL] [--tasks workload,ssvep]

Every subject is predicted once, by models that were fitted to other subjects. Features, penalties and the weights of a
stack are chosen within the training subjects of a fold. Without --backbone, only random weights are probed. Writes
OUT.md, OUT.json and the forest plot OUT.svg; the files are complete after each task.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from labram import metrics, recipe
from labram.corpus.catalogue import Corpus
from labram.corpus.folds import cross_validated
from labram.evaluation import statistics
from labram.evaluation.baselines import BaselineFeatures
from labram.evaluation.cross_validation import TaskFeatures
from labram.evaluation.folds import Fold, folds_of
from labram.linear.features import FeatureTables, common_channels, measure
from labram.metrics import Array, Ids
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.model_input import WindowEmbedder
from labram.recipe import AdaptationRecipe, AlignmentRecipe, LinearName, Recipe, SplitRecipe, TaskRecipe
from labram.store.store import CORPORA, Store
from labram.training.data.labelled import LabelledWindows
from labram.training.model_configs import backbone_config

ALIGNMENTS = ("none", "zscore", "euclidean")
POOLINGS = ("mean", "mean+std", "moments", "channels")
BOOTSTRAP = 2000
ALCOHOLISM = TaskRecipe(
    name="alcoholism",
    title="Alcoholism (1-s trials)",
    dataset="uci_smni",
    kind="binary",
    classes=("control", "alcoholic"),
    seconds=1,
    metric="auroc",
)
Row = dict[str, Any]


def main() -> None:
    """Write one row per task, alignment and predictor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--recipe", default="real-small")
    parser.add_argument("--tasks", default="")
    options = parser.parse_args()
    settings = recipe.load(options.recipe)
    corpus = cross_validated(_corpus(options.store), SplitRecipe(kind="kfold", pretraining="all"), settings.seed, ())
    models = _models(settings, options.backbone)
    rows: list[Row] = []
    for task in (*settings.tasks, ALCOHOLISM):
        if not options.tasks or task.name in options.tasks.split(","):
            rows += _evaluated(corpus, Store(options.store), task, models)
            write(rows, options.out)


def _corpus(store: Path) -> Corpus:
    return Corpus.load(max((store / CORPORA).iterdir(), key=lambda folder: folder.stat().st_mtime))


def _models(settings: Recipe, backbone: Path | None) -> dict[str, DownstreamModel]:
    torch.manual_seed(settings.seed)
    if backbone is None:
        return {"random": DownstreamModel(backbone_config(settings.architecture, settings.architecture.codes), 1)}
    trained = weights.backbone_to_downstream(backbone, outputs=1)[0]
    return {"labram": trained, "random": DownstreamModel(trained.config, 1)}


def _evaluated(corpus: Corpus, store: Store, task: TaskRecipe, models: dict[str, DownstreamModel]) -> Iterator[Row]:
    """Yield the rows of a task."""
    every = task.model_copy(update={"alignment": AlignmentRecipe(kind="euclidean"), "baselines": get_args(LinearName)})
    windows = LabelledWindows.load(corpus, store, every, None)
    folds = folds_of(corpus, windows, task.dataset)
    channels = common_channels(windows.window_groups())
    started = time.monotonic()
    features = BaselineFeatures.measure(windows.window_groups, windows.y, every, channels)
    bases = {name: [features.choose(name, fold.train, fold.inner) for fold in folds] for name in every.baselines}
    plain = TaskFeatures(features, {})
    for name, chosen in bases.items():
        outputs = _outputs(plain, folds, [[(each, "")] for each in chosen])
        yield _row(every, windows, outputs, name, "", time.monotonic() - started)
    for kind in ALIGNMENTS:
        alignment = AlignmentRecipe(kind=kind)
        for pooling in POOLINGS:
            for model, tables in _embedded(windows, alignment, channels, pooling, models):
                for within in (False, True):
                    started = time.monotonic()
                    adaptation = AdaptationRecipe(strategy="probe", pooling=pooling, within_subject=within)
                    varied = every.model_copy(update={"alignment": alignment, "adaptation": adaptation})
                    measured = TaskFeatures(_with_task(features, varied), {model: tables})
                    probes = [(measured.choose_probe(model, fold), model) for fold in folds]
                    name = f"{model} {pooling}{', within' if within else ''}"
                    outputs = _outputs(measured, folds, [[probe] for probe in probes])
                    yield _row(varied, windows, outputs, name, kind, time.monotonic() - started)
                    stacked = [[probe, (base, "")] for probe, base in zip(probes, bases["spectral"], strict=True)]
                    outputs = _outputs(measured, folds, stacked)
                    yield _row(varied, windows, outputs, f"{name} + spectral", kind, time.monotonic() - started)


def _with_task(features: BaselineFeatures, task: TaskRecipe) -> BaselineFeatures:
    return BaselineFeatures(task, features.channels, features.y, features.subjects, features.tables)


def _embedded(
    windows: LabelledWindows,
    alignment: AlignmentRecipe,
    channels: tuple[str, ...],
    pooling: Any,
    models: dict[str, DownstreamModel],
) -> Iterator[tuple[str, FeatureTables]]:
    for name, model in models.items():
        groups = windows.window_groups(alignment)
        yield name, measure(groups, channels, ("embedding",), embed=WindowEmbedder(model, pooling))


def _outputs(features: TaskFeatures, folds: Sequence[Fold], parts: Sequence[Any]) -> Array:
    """Return out-of-fold predictions in the order of the windows."""
    predicted = [features.predict(part, fold.train, fold.test) for part, fold in zip(parts, folds, strict=True)]
    order: Ids = np.argsort(np.concatenate([fold.test for fold in folds]), kind="stable")
    return np.asarray(np.concatenate(predicted)[order])


def _row(
    task: TaskRecipe, windows: LabelledWindows, prediction: Array, predictor: str, alignment: str, seconds: float
) -> Row:
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


def write(rows: Sequence[Row], out: Path) -> None:
    """Write table, rows and forest plot."""
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
    _forest(rows, out.with_suffix(".svg"))


def _forest(rows: Sequence[Row], path: Path) -> None:
    """Plot the best probe and stack of each alignment and model beside all baselines, task by task."""
    from matplotlib.figure import Figure

    from labram.reporting import plots

    names = list(dict.fromkeys(row["task"] for row in rows))
    with plots.styled():
        figure = Figure(figsize=(plots.FULL, 3.2 * len(names)), layout="constrained")
        for axes, name in zip(np.atleast_1d(figure.subplots(len(names), 1)), names, strict=True):
            shown = _best_of([row for row in rows if row["task"] == name])
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
    best: dict[tuple[str, ...], Row] = {}
    for row in rows:
        words = row["predictor"].split()
        key = (row["alignment"], words[0], str("spectral" in words[1:]))
        if key not in best or (row["value"] or -np.inf) > (best[key]["value"] or -np.inf):
            best[key] = row
    return list(best.values())[::-1]


if __name__ == "__main__":
    main()
