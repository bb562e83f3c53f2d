"""Embeddings of EEG for people with arrays: `Labram` for scripts, `LabramEmbedder` for scikit-learn pipelines."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from labram.corpus.spectra import unit_correction
from labram.errors import MisfitWeightsError, WindowError
from labram.inference.predictor import (
    Electrodes,
    Predictor,
    Signals,
    check_shape,
    check_values,
    electrodes,
    model_input,
    real_array,
    resample,
    texts,
)
from labram.input_spec import MAX_PATCHES, MAX_SECONDS, SAMPLE_RATE_HZ
from labram.models.downstream import DownstreamModel
from labram.recipe import QualityRecipe

Unknown = Literal["raise", "drop"]

UNITS_UV: Mapping[str, float] = MappingProxyType({"uV": 1.0, "µV": 1.0, "μV": 1.0, "mV": 1e3, "V": 1e6, "nV": 1e-3})
"""µV in each unit that signals may come in; µ is written as the micro sign or the Greek letter."""

HIGHEST_UV = 1e5
"""No amplifier gives more, up or down, once the offset is filtered out."""


@dataclass(frozen=True)
class Embedding:
    """What the model makes of signals.

    Attributes:
        windows: One vector for each window, float32 [n, D].
        patches: One vector for each second of each channel, float32 [n, N, A, D].
        channels: Canonical names of the N channels that were taken, in order.
        dropped: Labels of the channels that were left out, as they were given.
    """

    windows: npt.NDArray[np.float32]
    patches: npt.NDArray[np.float32]
    channels: tuple[str, ...]
    dropped: tuple[str, ...]


class Labram:
    """A pre-trained or fine-tuned LaBraM that turns EEG into vectors.

    A fine-tuned model embeds with its own pooling and norm. A pre-trained backbone embeds as fine-tuning starts: the
    mean over its patches, normalised without learned scale.
    """

    def __init__(self, model: DownstreamModel) -> None:
        self.model = model.eval()

    @classmethod
    def from_pretrained(cls, source: str | Path, *, workspace: str | Path | None = None) -> Self:
        """Load a model.

        Args:
            source: A folder that labram wrote (`labram weights import` makes one of published weights), or the URI of a
                registered model such as ``models:/labram-backbone@champion``.
            workspace: Folder of the registry that a URI means; by default ``$LABRAM_WORKSPACE``, else ``.labram``.

        Raises:
            WeightsError: If the folder holds no whole model, or a tokenizer, which has codes and no embeddings.
            RegistryError: If there is no such registered model.
        """
        folder = _registered(str(source), workspace) if str(source).startswith("models:/") else Path(source)
        model = Predictor(folder).model
        if not isinstance(model, DownstreamModel):
            raise MisfitWeightsError(
                "holds a tokenizer, which has no embeddings", file=folder, remedy="Name a backbone or a task's model"
            )
        return cls(model)

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self.model.config.width

    def embed(
        self,
        x: npt.ArrayLike,
        channels: Sequence[str],
        *,
        sfreq: float,
        unit: str = "uV",
        on_unknown: Unknown = "raise",
        preprocess: bool = False,
        mains_hz: float | None = None,
        seconds: int | None = None,
    ) -> Embedding:
        """Embed windows, or a continuous recording cut into windows.

        The model knows signals that were band-passed from 0.1 to 75 Hz and had the mains removed. Windows are taken to
        be so already: they are too short for these filters. A continuous recording can be filtered here, by
        `labram.signals.preprocessing` as in training. Signals of another rate are resampled to 200 Hz; nothing is
        re-referenced, standardised or clipped.

        Args:
            x: Windows [n, channels, samples], or a recording [channels, samples].
            channels: Labels of the channels in any usual spelling, such as ``EEG FP1-REF``, ``Fp1.`` or ``fp1``.
            sfreq: Sampling rate in Hz.
            unit: Of the signals: uV, mV, V or nV.
            on_unknown: What to do about labels that are no electrodes of the model: refuse, or leave the channels out.
            preprocess: Filter the recording first.
            mains_hz: Mains frequency where it was recorded, 50 or 60; needed to filter.
            seconds: Length of the windows that a recording is cut into, without overlap; what remains is left out. By
                default the longest that the paper uses: 256 patches, 16 s.

        Returns:
            Vectors of windows and of patches, and which channels they are of.

        Raises:
            RecipeError: If a channel is unknown and not to be dropped; says which is closest.
            WindowError: If shape, rate, unit or values cannot be those of EEG windows, or an option does not fit. What
                a channel holds that is left out does not matter.
            ReadError: If the recording cannot be filtered.
        """
        found = electrodes(channels, drop_unknown=on_unknown == "drop")
        signals = _in_microvolts(x, unit)
        if signals.ndim == 2:
            windows = _cut(_continuous(signals, channels, found, sfreq, preprocess, mains_hz), seconds)
        elif preprocess or seconds is not None:
            raise WindowError(
                f"signals have {signals.ndim} dimensions, and only a recording can be filtered and cut",
                field="preprocess, seconds",
                remedy="Give the continuous recording as [channels, samples]",
            )
        else:
            check_shape(signals, channels, sfreq)
            taken = signals[:, list(found.picks)]
            check_values(taken)
            windows = resample(taken, sfreq)
        _check_amplitude(windows, found, unit)
        _check_unit(windows, unit)
        return self._embed(windows, found)

    @torch.inference_mode()
    def _embed(self, windows: Signals, found: Electrodes) -> Embedding:
        batches, rows_N = model_input(windows, found.names)
        pooled, patches = zip(*(self.model.all_features(x_BNAT, rows_N) for x_BNAT in batches), strict=True)
        shape = (len(windows), len(found.names), -1, self.width)
        return Embedding(
            torch.cat(pooled).numpy(), torch.cat(patches).numpy().reshape(shape), found.names, found.dropped
        )


class LabramEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """LaBraM as the first step of a scikit-learn pipeline: windows in, one vector a window out. Nothing is trained.

    Args:
        model: What `Labram.from_pretrained` takes, or a loaded `Labram`.
        channels: Labels of the windows' channels.
        sfreq: Sampling rate in Hz.
        unit: Of the signals.
        on_unknown: ``raise`` or ``drop``, see `Labram.embed`.

    Attributes:
        labram_: The model.
        settings_: Channels, rate, unit and so on as they were when it was fitted; `transform` keeps to these.
        dropped_: Labels of the channels that are left out.
    """

    def __init__(
        self,
        model: str | Path | Labram,
        channels: Sequence[str],
        *,
        sfreq: float = SAMPLE_RATE_HZ,
        unit: str = "uV",
        on_unknown: Unknown = "raise",
    ) -> None:
        self.model = model
        self.channels = channels
        self.sfreq = sfreq
        self.unit = unit
        self.on_unknown = on_unknown

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Load the model and look at the channels' names; `X` and `y` teach it nothing.

        Raises:
            RecipeError: If a channel is unknown.
        """
        del X, y
        self.labram_ = self.model if isinstance(self.model, Labram) else Labram.from_pretrained(self.model)
        self.dropped_ = electrodes(self.channels, drop_unknown=self.on_unknown == "drop").dropped
        self.settings_: dict[str, Any] = {
            "channels": texts(self.channels),
            "sfreq": self.sfreq,
            "unit": self.unit,
            "on_unknown": self.on_unknown,
        }
        return self

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Vectors [n, D] of windows [n, channels, samples]; see `Labram.embed` for what the model expects.

        Raises:
            WindowError: If there are not three dimensions, and for what `Labram.embed` refuses.
        """
        check_is_fitted(self)
        windows = real_array(X)
        if windows.ndim != 3:  # a row must go in for each vector that comes out
            raise WindowError(
                f"windows have {windows.ndim} dimensions and not 3",
                field="X",
                remedy="Give [windows, channels, samples]: x[None] for one window; Labram.embed cuts whole recordings",
            )
        return self.labram_.embed(windows, **self.settings_).windows

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """``labram0`` and so on, one for each number of a vector."""
        del input_features
        check_is_fitted(self)
        return np.array([f"labram{index}" for index in range(self.labram_.width)], dtype=object)


def _registered(uri: str, workspace: str | Path | None) -> Path:
    from labram.platform.workspace import Workspace
    from labram.registry import model_registry
    from labram.tracking import mlflow_runs

    mlflow_runs.configure(Workspace.at(workspace or os.environ.get("LABRAM_WORKSPACE", ".labram")).root)
    return model_registry.local_folder(uri)


def _in_microvolts(x: npt.ArrayLike, unit: str) -> Signals:
    if unit not in UNITS_UV:
        raise WindowError(f"{unit!r} is no unit of EEG", field="unit", remedy=f"Give one of {', '.join(UNITS_UV)}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused as such
        return np.asarray(real_array(x).astype(np.float64, copy=False) * UNITS_UV[unit], dtype=np.float32)


def _continuous(
    signals: Signals,
    channels: Sequence[str],
    found: Electrodes,
    sfreq: float,
    preprocess: bool,  # noqa: FBT001
    mains_hz: float | None,
) -> Signals:
    """The channels that the model takes, at 200 Hz: [N, samples]."""
    check_shape(signals[np.newaxis], channels, sfreq)
    taken = signals[list(found.picks)]
    check_values(taken)
    if not preprocess:
        return resample(taken, sfreq)
    if mains_hz is None:
        raise WindowError(
            "the mains frequency is not stated", field="mains_hz", remedy="Give 50 or 60, as where it was recorded"
        )
    from labram.signals.preprocessing import preprocess as filtered
    from labram.signals.recording import Recording

    blocks = filtered(Recording(signals, tuple(channels), float(sfreq)), found.picks, line_freq_hz=mains_hz)
    return np.concatenate(list(blocks), axis=1)


def _cut(signals: Signals, seconds: int | None) -> Signals:
    """Consecutive windows [n, N, samples] of a recording [N, samples]."""
    _check_whole(seconds)
    whole = signals.shape[1] // SAMPLE_RATE_HZ
    longest = min(MAX_SECONDS, MAX_PATCHES // len(signals))
    length = min(longest, whole) if seconds is None else seconds
    if not 1 <= length <= whole:
        raise WindowError(
            f"the recording lasts {whole} whole seconds and windows of {length} s are asked for",
            field="seconds",
            remedy="Ask for windows of 1 s up to the length of the recording",
        )
    count = whole // length
    windows = signals[:, : count * length * SAMPLE_RATE_HZ].reshape(len(signals), count, length * SAMPLE_RATE_HZ)
    return np.ascontiguousarray(windows.swapaxes(0, 1))


def _check_whole(seconds: object) -> None:
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, Integral)):
        raise WindowError(
            f"{seconds!r} is no whole number of seconds",
            field="seconds",
            remedy="Give a whole number, such as seconds=4",
        )


def _check_amplitude(windows: Signals, found: Electrodes, unit: str) -> None:
    """Refuse what no amplifier gives in any channel; one such value spoils the vectors of all."""
    highest = np.abs(windows).max(axis=(0, 2))
    beyond = ~(highest <= HIGHEST_UV)
    if beyond.any():
        names = ", ".join(name for name, wrong in zip(found.names, beyond, strict=True) if wrong)
        raise WindowError(
            f"{names}: values up to {highest[beyond].max():.3g} µV, which no EEG has",
            field="unit",
            remedy=f"Check that these channels are in {unit}, else give unit=, or leave the channels out",
        )


def _check_unit(windows: Signals, unit: str) -> None:
    """Refuse what no EEG amplifier gives, by the limits that ingest has."""
    typical = QualityRecipe().typical_rms_uv
    deviations = windows.std(axis=-1)
    largest, median = float(deviations.max()), float(np.median(deviations))
    if unit_correction(largest, typical) > 1 or unit_correction(median, typical) < 1:
        raise WindowError(
            f"the channels' standard deviation is {median:.3g} µV, which no EEG has",
            field="unit",
            remedy=f"Check that the signals are in {unit}",
        )
