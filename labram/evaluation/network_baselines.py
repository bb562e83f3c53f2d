"""Convolutional networks as baselines, trained from scratch on the windows that the other baselines are fitted to.

A fifth of the subjects selects the epoch; the task's alignment is applied. Stored as ``baseline-NAME.json`` and
``baseline-NAME.safetensors``.

Letters: n windows, C channels, T samples, O outputs.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from labram.frozen_model import FrozenModel
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import Aligned, Signals, WindowGroup, require_channels
from labram.metrics import Array, Ids, better, score
from labram.models.convolutional import NETWORKS, Network
from labram.models.downstream import prediction
from labram.recipe import AlignmentRecipe, NetworkName, TaskRecipe
from labram.training.device import reproducible, select_device

EPOCHS, PATIENCE, BATCH = 60, 12, 32
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2
EPOCHS_UNSELECTED = 20
"""Epochs of a training with one subject, where nobody is left to select the epoch."""
VALIDATION_FOLDS = 5
ONE_SUBJECT = f"One training subject: networks were trained for {EPOCHS_UNSELECTED} epochs."
SMALLEST_SD = 1e-9


class NetworkCard(FrozenModel):
    """Description of a trained network, stored beside its weights.

    Attributes:
        network: Name in recipes.
        kind: Kind of the task.
        channels: Channels, in the order of the input.
        samples: Samples of a window at 200 Hz.
        outputs: Outputs of the last layer.
        scale_uv: SD of the training windows in µV, by which the input is divided.
        alignment: Alignment of subjects.
        parameters: Number of trained weights.
        epochs: Epoch whose weights are kept.
        target_mean: Mean of each regression target over the training windows.
        target_sd: Their standard deviations.
        note: What a reader of its score must know.
    """

    network: NetworkName
    kind: str
    channels: tuple[str, ...]
    samples: int
    outputs: int
    scale_uv: float
    alignment: AlignmentRecipe = AlignmentRecipe()
    parameters: int
    epochs: int
    target_mean: tuple[float, ...] = ()
    target_sd: tuple[float, ...] = ()
    note: str = ""

    def describe(self) -> str:
        """Return one line for reports."""
        name = NETWORKS[self.network].__name__
        aligned = "" if self.alignment.kind == "none" else f", alignment {self.alignment.kind}"
        return f"{name} from scratch, {len(self.channels)} channels, {self.parameters} parameters{aligned}"

    def build(self) -> Network:
        """Return a network of these dimensions."""
        return NETWORKS[self.network](len(self.channels), self.samples, self.outputs)


@dataclass(frozen=True)
class NetworkBaseline:
    """A trained network.

    Attributes:
        card: What it is.
        model: The network on any device.
    """

    card: NetworkCard
    model: Network

    @property
    def name(self) -> NetworkName:
        """Name in recipes."""
        return self.card.network

    def predict(self, windows: Aligned) -> Array:
        """Return predictions in the form that `labram.metrics.scores` takes.

        Args:
            windows: The windows with any alignment.

        Raises:
            LabelError: If a montage lacks a channel that the network was trained on.
        """
        return self.predict_signals(gather(windows(self.card.alignment), self.card.channels, self.card.samples))

    def predict_signals(self, signals: Signals) -> Array:
        """Return predictions for aligned windows in µV [n, C, T]."""
        outputs = _outputs(self.model.eval(), torch.from_numpy(signals), self.card.scale_uv)
        return prediction(outputs, self.card.kind, self.card.target_mean, self.card.target_sd)

    def save(self, folder: Path) -> None:
        """Write its description and its weights."""
        from safetensors.torch import save_file

        stem = f"baseline-{self.name}"
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.model.state_dict().items()}
        save_file(tensors, folder / f"{stem}.safetensors")
        (folder / f"{stem}.json").write_text(self.card.to_json() + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, name: NetworkName) -> "NetworkBaseline | None":
        """Return the network in a folder; None if there is none."""
        from safetensors.torch import load_file

        stem = folder / f"baseline-{name}.json"
        if not stem.is_file():
            return None
        card = NetworkCard.from_json(stem.read_text(encoding="utf-8"))
        model = card.build()
        model.load_state_dict(load_file(stem.with_suffix(".safetensors")))
        return cls(card, model)


def gather(groups: Sequence[WindowGroup], channels: Sequence[str], samples: int) -> Signals:
    """Return all windows in µV [n, C, T] in memory.

    Raises:
        LabelError: If a montage lacks a channel.
    """
    parts = []
    for group in groups:
        require_channels(group, channels)
        picks = [group.channels.index(name) for name in channels]
        parts += [part[:, picks, :samples] for part in group.signals]
    return np.concatenate(parts)


def train(
    name: NetworkName, signals: Signals, y: Array, subjects: Ids, task: TaskRecipe, channels: tuple[str, ...]
) -> NetworkBaseline:
    """Train a network and keep the weights of the best epoch by the task's metric.

    Args:
        name: The network.
        signals: Windows in µV with the task's alignment [n, C, T].
        y: Class indices [n], or targets [n, M].
        subjects: Group of each window, numbered from 0: a fifth of the groups selects the epoch.
        task: Kind, classes, metric and alignment.
        channels: The C channels.
    """
    fitted, held_out = _divided(y, subjects, task)
    regression = task.kind == "regression"
    targets = y.reshape(len(y), -1)[fitted]
    card = NetworkCard(
        network=name,
        kind=task.kind,
        channels=channels,
        samples=signals.shape[-1],
        outputs=task.outputs,
        scale_uv=max(float(signals[fitted].std()), SMALLEST_SD),
        alignment=task.alignment,
        parameters=0,
        epochs=0,
        target_mean=tuple(targets.mean(axis=0).tolist()) if regression else (),
        target_sd=tuple(np.maximum(targets.std(axis=0), SMALLEST_SD).tolist()) if regression else (),
        note="" if len(held_out) else ONE_SUBJECT,
    )
    device = select_device()
    with reproducible(device, task.threads):
        torch.manual_seed(0)
        model = card.build().to(device)
        epoch = _fit(NetworkBaseline(card, model), signals, y, fitted, held_out, task)
    trained = sum(parameter.numel() for parameter in model.parameters())
    return NetworkBaseline(card.model_copy(update={"parameters": trained, "epochs": epoch}), model.eval())


def samples_of(task: TaskRecipe) -> int:
    """Return the samples of a task's windows."""
    return task.seconds * SAMPLE_RATE_HZ


def _divided(y: Array, subjects: Ids, task: TaskRecipe) -> tuple[Ids, Ids]:
    """Return the windows that weights are fitted to, and those of the subjects that select the epoch."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    folds = min(VALIDATION_FOLDS, len(np.unique(subjects)))
    every = np.arange(len(subjects))
    if folds < 2:
        return every, every[:0]
    splitter = GroupKFold(folds) if task.kind == "regression" else StratifiedGroupKFold(folds)
    labels = None if task.kind == "regression" else y.astype(int)
    return next(iter(splitter.split(every, labels, groups=subjects)))  # type: ignore[no-any-return]


def _fit(baseline: NetworkBaseline, signals: Signals, y: Array, fitted: Ids, held_out: Ids, task: TaskRecipe) -> int:
    """Train the network in place; return the number of the kept epoch."""
    model, card = baseline.model, baseline.card
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    windows, targets = torch.from_numpy(signals), _targets(card, y)
    balance = _balance(y[fitted], task)
    best, best_epoch, weights = math.nan, 0, model.state_dict()
    for epoch in range(1, (EPOCHS if len(held_out) else EPOCHS_UNSELECTED) + 1):
        model.train()
        order = torch.from_numpy(fitted)[torch.randperm(len(fitted))]
        for rows in order.tensor_split(-(-len(order) // BATCH)):
            loss = _loss(_forward(model, windows[rows], card.scale_uv), targets[rows], card.kind, balance)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            model.constrain()
        if not len(held_out):
            best_epoch, weights = epoch, model.state_dict()
            continue
        reached = score(task.metric, task.kind, y[held_out], baseline.predict_signals(signals[held_out]))
        if math.isfinite(reached) and (math.isnan(best) or better(task.metric, reached, best)):
            best, best_epoch, weights = reached, epoch, copy.deepcopy(model.state_dict())
        elif epoch - best_epoch >= PATIENCE:
            break
    model.load_state_dict(weights)
    return best_epoch


def _targets(card: NetworkCard, y: Array) -> Tensor:
    if card.kind != "regression":
        return torch.from_numpy(y.astype(np.int64))
    standard = (y.reshape(len(y), -1) - np.asarray(card.target_mean)) / np.asarray(card.target_sd)
    return torch.from_numpy(standard.astype(np.float32))


def _balance(y: Array, task: TaskRecipe) -> Tensor | None:
    """Return inverse class frequencies with a mean of 1 over the windows; 0 for absent classes."""
    if task.kind == "regression":
        return None
    counts = np.bincount(y.astype(int), minlength=len(task.classes))
    weights = np.where(counts > 0, len(y) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def _loss(output: Tensor, target: Tensor, kind: str, balance: Tensor | None) -> Tensor:
    target = target.to(output.device)
    if balance is None:
        return functional.mse_loss(output, target)
    if kind == "binary":
        losses = functional.binary_cross_entropy_with_logits(output[:, 0], target.float(), reduction="none")
    else:
        losses = functional.cross_entropy(output, target, reduction="none")
    return (losses * balance.to(output.device)[target]).mean()


def _forward(model: Network, x_BCT: Tensor, scale_uv: float) -> Tensor:
    return model(x_BCT.to(next(model.parameters()).device) / scale_uv)  # type: ignore[no-any-return]


@torch.inference_mode()
def _outputs(model: Network, windows: Tensor, scale_uv: float) -> Tensor:
    return torch.cat([_forward(model, part, scale_uv).float().cpu() for part in torch.split(windows, 8 * BATCH)])
