"""Five-fold table of docs/results.md: probes, stacks, baselines and alignments on real recordings.

labram corpus ingest FOLDER --store STORE --recipe real-small
python -m benchmarks.results STORE OUT [--backbone MODEL] [--tasks workload,ssvep]

Every subject is predicted once, by models that were fitted to other subjects. Features, penalties and the weights of a
stack are chosen within the training subjects of a fold. Without --backbone, only random weights are probed. Writes
OUT.md, OUT.json and the forest plot OUT.svg; the files are complete after each task.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from benchmarks.results_table import Row, newest_corpus, scored, write
from labram import recipe
from labram.corpus.catalogue import Corpus
from labram.corpus.folds import cross_validated
from labram.evaluation.baselines import BaselineFeatures
from labram.evaluation.cross_validation import TaskFeatures
from labram.evaluation.folds import Fold, folds_of
from labram.linear.features import FeatureTables, common_channels, measure
from labram.metrics import Array, Ids
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.model_input import WindowEmbedder
from labram.recipe import AdaptationRecipe, AlignmentRecipe, LinearName, Recipe, SplitRecipe, TaskRecipe
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows
from labram.training.model_configs import backbone_config

ALIGNMENTS = ("none", "zscore", "euclidean")
POOLINGS = ("mean", "mean+std", "moments", "channels")
ALCOHOLISM = TaskRecipe(
    name="alcoholism",
    title="Alcoholism (1-s trials)",
    dataset="uci_smni",
    kind="binary",
    classes=("control", "alcoholic"),
    seconds=1,
    metric="auroc",
)


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
    corpus = cross_validated(
        newest_corpus(options.store), SplitRecipe(kind="kfold", pretraining="all"), settings.seed, ()
    )
    models = _models(settings, options.backbone)
    rows: list[Row] = []
    for task in (*settings.tasks, ALCOHOLISM):
        if not options.tasks or task.name in options.tasks.split(","):
            rows += _evaluated(corpus, Store(options.store), task, models)
            write(rows, options.out)


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
        yield scored(every, windows, outputs, name, "", time.monotonic() - started)
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
                    yield scored(varied, windows, outputs, name, kind, time.monotonic() - started)
                    stacked = [[probe, (base, "")] for probe, base in zip(probes, bases["spectral"], strict=True)]
                    outputs = _outputs(measured, folds, stacked)
                    yield scored(varied, windows, outputs, f"{name} + spectral", kind, time.monotonic() - started)


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


if __name__ == "__main__":
    main()
