"""Training stage `finetune` with the strategy `probe`: a linear model of a frozen backbone's embeddings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from labram import checksums
from labram.corpus.catalogue import Corpus
from labram.events import Monitor
from labram.linear import model as linear
from labram.linear import spectral
from labram.linear.features import Aligned, WindowGroup, common_channels, measure
from labram.linear.model import DEFAULT_PENALTY, LinearCard, SelectedModel, as_predictions
from labram.linear.probe import Probe, combined
from labram.metrics import Array, scores
from labram.models import weights
from labram.models.model_input import Signals, WindowEmbedder
from labram.recipe import TaskRecipe
from labram.store.store import Store
from labram.training import device as devices
from labram.training.data.labelled import LabelledWindows, all_groups, fitting_windows, no_training_windows
from labram.training.distributed.process_group import ProcessGroup
from labram.training.loop import FitResult
from labram.training.stage_run import StageRun
from labram.training.task_metadata import TaskMetadata

OUT_OF_FOLD = "validation/out_of_fold.json"
"""Out-of-fold probabilities of `fitting_windows`, in the folder of a probe whose task has an operating point."""


def train_probe(corpus: Corpus, store: Store, backbone: Path, task: TaskRecipe, run: StageRun) -> dict[str, float]:
    """Fit a probe, stacked with the spectral model if the recipe sets it.

    The penalty is chosen, and the weights of the stack are fitted, on out-of-fold outputs over the training and
    validation subjects, or all subjects of a cross-validated corpus; the parts are then fitted to all of them.

    Args:
        corpus: Catalogue and labels.
        store: Patch store.
        backbone: Folder of the pre-trained model.
        task: Task and its adaptation.
        run: Seed, folders and monitor.

    Returns:
        The headline metric of out-of-fold predictions, LaBraM's share, and the numbers of parameters.

    Raises:
        LabelError: If the subjects have no labelled windows, or the montages share no channel.
        WeightsError: If `backbone` does not hold a pre-trained backbone.
    """
    parts = fitting_windows(corpus, store, task)
    if not parts:
        raise no_training_windows(task)
    y = np.concatenate([part.y for part in parts])
    # Test subjects too: channels that a test montage lacks cannot be used.
    everyone = LabelledWindows.load(corpus, store, task, None)
    channels = common_channels(everyone.window_groups())
    with run.initial_weights_seeded():
        model, report = weights.backbone_to_downstream(backbone, task.outputs)
    devices.prepare_model(model)
    windows = all_groups(parts)
    embed = WindowEmbedder(model, task.adaptation.pooling)
    chosen = [choose_penalty(windows, y, task, channels, embed, run.monitor)]
    if task.adaptation.stack:
        chosen.append(spectral.choose(windows, y, task, channels))
    probe, out_of_fold = combined(chosen, y, task.kind)
    metrics = _metrics(probe, out_of_fold, y, task)
    frozen = sum(parameter.numel() for parameter in model.encoder.parameters())
    trained = sum(part.weights.size + part.bias.size for part in probe.parts)
    run.monitor.note(f"{probe.card.describe()}; {trained} values fitted, {frozen} of LaBraM frozen")
    history = ({"step": 0, "phase": "validation", **metrics},)
    metrics |= run.write_model(model, FitResult(0, history, metrics, 0, ()))
    if ProcessGroup.current().is_main:
        probe.save(run.out)
        if task.operating_point and out_of_fold is not None:
            (run.out / OUT_OF_FOLD).parent.mkdir(exist_ok=True)
            checksums.write_json(run.out / OUT_OF_FOLD, {"p": as_predictions(task.kind, out_of_fold).tolist()})
    run.write_task(TaskMetadata(recipe=task, montages=everyone.montages), report)
    return metrics | {"frozen_parameters": float(frozen), "trained_parameters": float(trained)}


def choose_penalty(
    windows: Aligned, y: Array, task: TaskRecipe, channels: tuple[str, ...], embed: WindowEmbedder, monitor: Monitor
) -> SelectedModel:
    """Embed the windows, and choose the penalty of a linear model by cross-validation over subjects.

    Args:
        windows: The windows with any alignment.
        y: Class indices [n], or targets [n, M].
        task: Task with its alignment and adaptation.
        channels: Channels to use.
        embed: The frozen model.
        monitor: Receives progress, in windows.
    """
    tables = measure(_reporting(windows(task.alignment), len(y), monitor), channels, ("embedding",), embed=embed)
    card = probe_card(task, channels)
    subjects, _ = pd.factorize(tables.subjects)
    table = tables.table("embedding", within_subject=card.within_subject)
    return linear.choose([(card, table)], y, subjects, task.metric)


def probe_card(task: TaskRecipe, channels: tuple[str, ...]) -> LinearCard:
    """Return the description of a task's probe before its penalty is chosen."""
    return LinearCard(
        kind=task.kind,
        features="embedding",
        channels=channels,
        classes=task.outputs,
        penalty=DEFAULT_PENALTY,
        within_subject=task.adaptation.within_subject,
        alignment=task.alignment,
        pooling=task.adaptation.pooling,
    )


@dataclass(frozen=True)
class _Reported:
    """Windows that report progress as they are read."""

    group: WindowGroup
    before: int
    total: int
    monitor: Monitor

    def __iter__(self) -> Iterator[Signals]:
        done = self.before
        for signals in self.group.signals:
            yield signals
            done += len(signals)
            self.monitor.progress(done, self.total)


def _reporting(groups: Sequence[WindowGroup], total: int, monitor: Monitor) -> list[WindowGroup]:
    before, reporting = 0, []
    for group in groups:
        reporting.append(WindowGroup(_Reported(group, before, total, monitor), group.channels, group.subjects))
        before += len(group.subjects)
    return reporting


def _metrics(probe: Probe, out_of_fold: Array | None, y: Array, task: TaskRecipe) -> dict[str, float]:
    if out_of_fold is None:
        return {"share": probe.card.share}
    return scores(task.kind, y, as_predictions(task.kind, out_of_fold)) | {"share": probe.card.share}
