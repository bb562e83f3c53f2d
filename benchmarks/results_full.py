"""Strategies that train, and networks from scratch, on real recordings: the second table of docs/results.md.

labram corpus ingest FOLDER --store STORE --recipe real-small
python -m benchmarks.results_full STORE OUT [--backbone MODEL] [--tasks workload,ssvep] [--variants 'lora;eegnet']

Every subject is predicted once, by models that were trained on others: five folds, in each of which the next fold's
subjects select the epoch. Without --backbone, the strategies start from random weights only. Predictions are written to
OUT/ variant by variant and fold by fold, and not computed again: an interrupted run resumes, in the middle of a fold
from its checkpoint. Writes OUT.md, OUT.json and the forest plot OUT.svg after each variant. Hours on two cores.
"""

import argparse
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.results_table import newest_corpus, scored, write
from labram import recipe
from labram.corpus.catalogue import Corpus
from labram.corpus.folds import all_folds, cross_validated, fold_corpus
from labram.evaluation import network_baselines
from labram.evaluation.folds import folds_of
from labram.events import NullMonitor
from labram.inference.predictor import Predictor
from labram.linear.features import common_channels
from labram.metrics import Array
from labram.models import weights
from labram.models.masked import MaskedModel
from labram.recipe import (
    AdaptationRecipe,
    AlignmentRecipe,
    AugmentRecipe,
    NetworkName,
    OptimiserRecipe,
    Recipe,
    TaskRecipe,
)
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows
from labram.training.model_configs import backbone_config
from labram.training.stage_run import StageRun
from labram.training.task_stage import train_task_model

TASKS = ("workload", "ssvep")
STRATEGIES: dict[str, AdaptationRecipe] = {
    "full": AdaptationRecipe(),
    "two-stage": AdaptationRecipe(strategy="two-stage"),
    "lora": AdaptationRecipe(strategy="lora"),
    "two-stage, channels": AdaptationRecipe(strategy="two-stage", head="channels"),
    "two-stage, attention": AdaptationRecipe(strategy="two-stage", head="attention"),
    "two-stage, covariance": AdaptationRecipe(strategy="two-stage", head="covariance"),
}
NETWORKS: tuple[NetworkName, ...] = ("eegnet", "shallow-fbcsp")


@dataclass(frozen=True)
class Bench:
    """What all variants share.

    Attributes:
        corpus: Cross-validated corpus.
        store: Its patches.
        out: Folder of predictions.
        backbones: Folders of backbones, by name.
    """

    corpus: Corpus
    store: Store
    out: Path
    backbones: dict[str, Path]


def main() -> None:
    """Write one row per task and variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--recipe", default="real-small")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--variants", default="")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    settings = recipe.load(options.recipe)
    split = recipe.SplitRecipe(kind="kfold", pretraining="all")
    corpus = cross_validated(newest_corpus(options.store), split, settings.seed, ())
    bench = Bench(corpus, Store(options.store), options.out, _backbones(settings, options.backbone, options.out))
    rows = []
    for name in options.tasks.split(","):
        task = _trained(settings.task(name), options.epochs)
        windows = LabelledWindows.load(corpus, bench.store, task, None)
        for variant, alignment, prediction, seconds in _variants(bench, task, windows, options.variants.split(";")):
            rows.append(scored(task, windows, prediction, variant, alignment, seconds))
            write(rows, options.out, every=True)


def _backbones(settings: Recipe, backbone: Path | None, out: Path) -> dict[str, Path]:
    random = out / "random"
    if not (random / "config.json").is_file():
        torch.manual_seed(settings.seed)
        weights.save(MaskedModel(backbone_config(settings.architecture, settings.architecture.codes)), random)
    return {"labram": backbone, "random": random} if backbone else {"random": random}


def _trained(task: TaskRecipe, epochs: int) -> TaskRecipe:
    """Return the task with the settings of all trained variants, chosen before any of them was scored."""
    changed = {
        "alignment": AlignmentRecipe(kind="euclidean"),
        "adaptation": AdaptationRecipe(),
        "augment": AugmentRecipe(shift=True, flip=True),
        "optimiser": OptimiserRecipe(peak_lr=1e-3, betas=(0.9, 0.999), min_lr=1e-6),
        "epochs": epochs,
        "threads": torch.get_num_threads(),
    }
    return task.model_copy(update=changed)


def _variants(
    bench: Bench, task: TaskRecipe, windows: LabelledWindows, wanted: list[str]
) -> Iterator[tuple[str, str, Array, float]]:
    """Yield name, alignment, out-of-fold predictions in the order of the windows, and seconds of every variant."""
    for name in NETWORKS:
        if wanted == [""] or name in wanted:
            yield name, task.alignment.kind, *_network(bench, task, windows, name)
    for strategy, adaptation in STRATEGIES.items():
        if wanted == [""] or strategy in wanted:
            varied = task.model_copy(update={"adaptation": adaptation})
            for backbone, folder in bench.backbones.items():
                label = f"{backbone} {strategy}"
                yield label, task.alignment.kind, *_strategy(bench, varied, windows, folder, label)


def _network(bench: Bench, task: TaskRecipe, windows: LabelledWindows, name: NetworkName) -> tuple[Array, float]:
    channels = common_channels(windows.window_groups())
    samples = network_baselines.samples_of(task)
    signals = network_baselines.gather(windows.window_groups(), channels, samples)
    whole, seconds = _empty(task, windows), 0.0
    for fold in folds_of(bench.corpus, windows, task.dataset):
        file = _file(bench, task, f"{name}-{fold.number}")
        if not file.is_file():
            started = time.monotonic()
            train = fold.train
            fitted = network_baselines.train(name, signals[train], windows.y[train], fold.inner, task, channels)
            _store(file, fitted.predict_signals(signals[fold.test]), time.monotonic() - started)
        whole[fold.test], spent = _stored(file)
        seconds += spent
    return whole, seconds


def _strategy(
    bench: Bench, task: TaskRecipe, windows: LabelledWindows, backbone: Path, label: str
) -> tuple[Array, float]:
    whole, seconds = _empty(task, windows), 0.0
    for fold, (repetition, number) in zip(
        folds_of(bench.corpus, windows, task.dataset), all_folds(bench.corpus, task.dataset), strict=True
    ):
        file = _file(bench, task, f"{label}-{number}")
        if not file.is_file():
            part, started = fold_corpus(bench.corpus, task.dataset, (repetition, number)), time.monotonic()
            model = file.with_suffix(".model")
            run = StageRun(0, model / "checkpoints", model, NullMonitor())
            train_task_model(part, bench.store, backbone, task, run)
            test = LabelledWindows.load(part, bench.store, task, "test")
            _store(file, Predictor(model).predict_windows(test.window_groups), time.monotonic() - started)
            shutil.rmtree(model)
        whole[fold.test], spent = _stored(file)
        seconds += spent
    return whole, seconds


def _empty(task: TaskRecipe, windows: LabelledWindows) -> Array:
    return np.full((len(windows), *(() if task.kind == "binary" else (len(task.classes),))), np.nan)


def _file(bench: Bench, task: TaskRecipe, name: str) -> Path:
    return bench.out / f"{task.name} {name}.npz".replace(", ", "-").replace(" ", "-")


def _store(file: Path, prediction: Array, seconds: float) -> None:
    np.savez(file, allow_pickle=False, prediction=prediction, seconds=seconds)


def _stored(file: Path) -> tuple[Array, float]:
    with np.load(file, allow_pickle=False) as stored:
        return stored["prediction"], float(stored["seconds"])


if __name__ == "__main__":
    main()
