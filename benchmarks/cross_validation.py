"""Cross-validate probes, the spectral model and stacks over the subjects of a store: the table of docs/results.md.

labram corpus ingest FOLDER --store STORE --recipe real-small
python benchmarks/cross_validation.py STORE [--backbone MODEL] [--alignment none,euclidean] [--pooling mean,channels]

Every subject is predicted once, by models that were fitted to other subjects. Penalty, spectral features and weights of
a stack are chosen within the training subjects of a fold. Without --backbone, LaBraM has random weights.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import GroupKFold

from labram import metrics, recipe
from labram.corpus.catalogue import Corpus
from labram.linear import model as linear
from labram.linear import spectral
from labram.linear.features import FeatureTables, common_channels, measure
from labram.linear.model import Chosen, as_predictions
from labram.linear.probe import stack
from labram.metrics import Array, Ids
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.model_input import WindowEmbedder
from labram.recipe import AdaptationRecipe, AlignmentRecipe, Recipe, TaskRecipe, WindowPooling
from labram.store.store import CORPORA, Store
from labram.training.data.labelled import LabelledWindows
from labram.training.model_configs import backbone_config
from labram.training.probe_stage import probe_card

FOLDS = 5


def main() -> None:
    """Print one row per task, alignment and predictor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--recipe", default="real-small")
    parser.add_argument("--alignment", default="none,euclidean")
    parser.add_argument("--pooling", default="mean,mean+std,channels")
    options = parser.parse_args()
    settings = recipe.load(options.recipe)
    store = Store(options.store)
    corpus = Corpus.load(next(folder for folder in (options.store / CORPORA).iterdir() if folder.is_dir()))
    labram = _model(settings, options.backbone)
    for task in settings.tasks:
        for kind in options.alignment.split(","):
            aligned = task.model_copy(update={"alignment": AlignmentRecipe(kind=kind)})
            windows = LabelledWindows.load(corpus, store, aligned, None)
            for name, predicted in _cross_validate(windows, aligned, labram, options.pooling.split(",")):
                print(f"{task.name:14s} {kind:10s} {name:40s} {_scores(windows, aligned, predicted)}", flush=True)


def _model(settings: Recipe, backbone: Path | None) -> DownstreamModel:
    if backbone is not None:
        return weights.backbone_to_downstream(backbone, outputs=1)[0]
    torch.manual_seed(settings.seed)
    return DownstreamModel(backbone_config(settings.architecture, settings.architecture.codes), outputs=1)


def _cross_validate(
    windows: LabelledWindows, task: TaskRecipe, labram: DownstreamModel, poolings: list[WindowPooling]
) -> Iterator[tuple[str, Array]]:
    """Yield the name of each predictor and its out-of-fold outputs [n, O]."""
    y = np.asarray(windows.y, float)
    channels = common_channels(windows.window_groups())
    subjects, names = pd.factorize(windows.subject_keys.astype(object))
    spectra = spectral.measure_all(windows.window_groups, task, channels)
    embedded = {
        pooling: measure(windows.window_groups(), channels, ("embedding",), embed=WindowEmbedder(labram, pooling))
        for pooling in poolings
    }
    outputs: dict[str, Array] = defaultdict(lambda: np.zeros((len(y), task.outputs)))
    for train, test in GroupKFold(min(FOLDS, len(names))).split(y, groups=subjects):
        known = subjects[train]
        measured = {alignment: tables.rows(train) for alignment, tables in spectra.items()}
        base = linear.choose(spectral.candidates(measured, task, channels), y[train], known, task.metric)
        base_test = _outputs(base, spectra[base.card.alignment], y, train, test)
        outputs["spectral model"][test] = _added(task, [base], [base_test], y[train])
        for pooling, tables in embedded.items():
            for within in (False, True):
                adaptation = AdaptationRecipe(strategy="probe", pooling=pooling, within_subject=within)
                card = probe_card(task.model_copy(update={"adaptation": adaptation}), channels)
                table = tables.rows(train).table("embedding", within_subject=within)
                probe = linear.choose([(card, table)], y[train], known, task.metric)
                probe_test = _outputs(probe, tables, y, train, test)
                name = f"{pooling}{', within subjects' if within else ''}"
                outputs[f"LaBraM, {name}"][test] = _added(task, [probe], [probe_test], y[train])
                outputs[f"stacked, {name}"][test] = _added(task, [probe, base], [probe_test, base_test], y[train])
    yield from outputs.items()


def _outputs(chosen: Chosen, tables: FeatureTables, y: Array, train: Ids, test: Ids) -> Array:
    fitted = linear.fit(chosen.table, y[train], chosen.card)
    return fitted.outputs(tables.rows(test).table(chosen.card.features, within_subject=chosen.card.within_subject))


def _added(task: TaskRecipe, parts: list[Chosen], outputs: list[Array], y: Array) -> Array:
    """Return the sum of the parts' outputs, with the weights that suit their out-of-fold outputs."""
    found = stack(task.kind, [part.out_of_fold for part in parts if part.out_of_fold is not None], y)
    return np.asarray(np.tensordot(found.weights, outputs, axes=1) + np.asarray(found.offset))


def _scores(windows: LabelledWindows, task: TaskRecipe, outputs: Array) -> str:
    """Return the headline metric over windows, and over recordings if each has one label."""
    y, predicted = windows.y, as_predictions(task.kind, outputs)
    score = f"{task.metric} {metrics.score(task.metric, task.kind, y, predicted):.3f}"
    if task.kind == "regression":
        return score
    rows = pd.DataFrame(predicted.reshape(len(y), -1)).assign(y=y, recording=windows.recording_ids)
    labels = rows.groupby("recording")["y"]
    if (labels.min() != labels.max()).any():
        return score
    means = rows.groupby("recording").mean()
    whole = means.drop(columns="y").to_numpy()
    whole = whole[:, 0] if predicted.ndim == 1 else whole
    return f"{score}, by recording {metrics.score(task.metric, task.kind, means['y'].to_numpy(), whole):.3f}"


if __name__ == "__main__":
    main()
