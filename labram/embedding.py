"""Embeddings of EEG arrays: `Labram` for scripts, `LabramEmbedder` for scikit-learn pipelines."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from labram.errors import MisfitWeightsError, RecipeError, WindowError
from labram.inference import recordings
from labram.inference.mne_objects import EegWindows, eeg_windows, is_mne
from labram.inference.predictor import Predictor, resample
from labram.inference.signal_checks import (
    Electrodes,
    Signals,
    check_shape,
    check_unit,
    check_values,
    electrodes,
    in_microvolts,
    label_tuple,
    real_array,
)
from labram.input_spec import SAMPLE_RATE_HZ
from labram.models.downstream import DownstreamModel
from labram.models.model_input import model_input
from labram.recipe import AlignmentRecipe, PreprocessingRecipe
from labram.signals.alignment import align_request

Unknown = Literal["raise", "drop"]

MAX_AMPLITUDE_UV = 1e5
"""No amplifier outputs a larger absolute value once the offset is filtered out."""


@dataclass(frozen=True)
class Embedding:
    """Embedding vectors of windows and patches.

    Attributes:
        windows: One vector per window, float32 [n, D].
        patches: One vector per second of each channel, float32 [n, N, A, D].
        channels: Canonical names of the N embedded channels, in order.
        dropped: Labels of the dropped channels, unchanged.
        unused_seconds: Seconds of the signals that are in no window: the rest of a recording, or of all windows after
            their last whole second.
    """

    windows: npt.NDArray[np.float32]
    patches: npt.NDArray[np.float32]
    channels: tuple[str, ...]
    dropped: tuple[str, ...]
    unused_seconds: float = 0.0


class Labram:
    """Pre-trained or fine-tuned LaBraM for embedding EEG.

    A fine-tuned model embeds with its own pooling and norm. A pre-trained backbone embeds as fine-tuning starts: with
    the mean over patches, normalised without learned scale.

    Args:
        model: The model.
        alignment: Alignment that it was trained with. The windows of each call are then aligned on all of them: they
            must be of one subject.
    """

    def __init__(self, model: DownstreamModel, alignment: AlignmentRecipe | None = None) -> None:
        self.model, self.alignment = model.eval(), alignment or AlignmentRecipe()

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, workspace: str | Path | None = None, device: str | None = None
    ) -> Self:
        """Load a model.

        Args:
            source: A model folder (`labram weights import` converts published weights to one), or the URI of a
                registered model such as ``models:/labram-backbone@champion``.
            workspace: Workspace with the registry of the URI; default: ``$LABRAM_WORKSPACE``, else ``.labram``.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; default: ``$LABRAM_DEVICE``, else ``auto``.

        Raises:
            WeightsError: If the folder does not hold a complete model, or holds a tokenizer.
            RegistryError: If the model is not registered.
            PlatformError: If the device is not available.
        """
        folder = _registered(str(source), workspace) if str(source).startswith("models:/") else Path(source)
        predictor = Predictor(folder, device=device)
        model = predictor.model
        if not isinstance(model, DownstreamModel):
            raise MisfitWeightsError(
                "a tokenizer has no embeddings", file=folder, remedy="Name the folder of a backbone or a task model"
            )
        return cls(model, predictor.alignment)

    @property
    def width(self) -> int:
        """Length D of an embedding vector."""
        return self.model.config.width

    def embed(
        self,
        x: Any,
        channels: Sequence[str] | None = None,
        *,
        sfreq: float | None = None,
        unit: str = "uV",
        on_unknown: Unknown = "raise",
        rename: Mapping[str, str] | None = None,
        preprocess: bool = False,
        line_freq_hz: float | None = None,
        seconds: int | None = None,
    ) -> Embedding:
        """Embed windows, or a continuous recording cut into windows.

        The model was trained on signals with a band-pass of 0.1 to 75 Hz and a line-noise notch. Windows must already
        be filtered: they are too short for these filters. A continuous recording can be filtered here, as in training.
        Signals are resampled to 200 Hz; they are not re-referenced, standardised or clipped. A task model that was
        trained with an alignment aligns them on all windows of the call.

        Args:
            x: An MNE ``Raw`` or ``Epochs`` object, windows [n, channels, samples], or a recording [channels, samples].
                The good EEG channels, sampling rate and unit of an MNE object are its own.
            channels: Channel labels of an array in any common spelling, such as ``EEG FP1-REF``, ``Fp1.`` or ``fp1``.
            sfreq: Sampling rate of an array in Hz.
            unit: Unit of an array: uV, mV, V or nV.
            on_unknown: Raise an error for labels that are not in the electrode table, or drop these channels.
            rename: Electrodes by label, for labels that are not in the table, such as ``{"EEG 7": "CZ"}``.
            preprocess: Filter the recording first.
            line_freq_hz: Power line frequency at the place of recording, 50 or 60; required for filtering, unless an
                MNE object states it.
            seconds: Length of the windows that a recording is cut into, without overlap; the rest is dropped. Default:
                the longest windows of the paper, with at most 256 patches and 16 s.

        Returns:
            Vectors of windows and patches, their channels, and what was left out.

        Raises:
            RecipeError: If a channel is unknown and `on_unknown` is "raise"; names the closest electrode.
            WindowError: If shape, sampling rate, unit, values or options are invalid. Values of dropped channels are
                not checked.
            ReadError: If the recording cannot be filtered.
        """
        line_freq_hz = line_freq_hz or (x.info["line_freq"] if is_mne(x) else None)
        eeg = eeg_windows(x, channels, sfreq, unit)
        windows, known = self.prepare(
            *eeg,
            on_unknown=on_unknown,
            rename=rename,
            preprocess=preprocess,
            line_freq_hz=line_freq_hz,
            seconds=seconds,
        )
        embedding = self._embed(align_request(windows, known.names, self.alignment), known)
        return replace(embedding, unused_seconds=_unused_seconds(eeg, embedding.patches.shape))

    def prepare(
        self,
        signals: npt.ArrayLike,
        channels: Sequence[str],
        sfreq: float,
        unit: str = "uV",
        *,
        on_unknown: Unknown = "raise",
        rename: Mapping[str, str] | None = None,
        preprocess: bool = False,
        line_freq_hz: float | None = None,
        seconds: int | None = None,
    ) -> tuple[Signals, Electrodes]:
        """Return checked windows [n, N, samples] in µV at 200 Hz, and their electrodes; parameters as in `embed`."""
        known = _electrodes(label_tuple(channels), on_unknown, rename or {})
        in_uv = in_microvolts(signals, unit)
        if in_uv.ndim == 2:
            check_shape(in_uv[np.newaxis], channels, sfreq)
            recording = (
                recordings.filtered(
                    in_uv, channels, known, sfreq, line_freq_hz=line_freq_hz, settings=PreprocessingRecipe()
                )
                if preprocess
                else recordings.at_model_rate(in_uv, known, sfreq)
            )
            windows = recordings.cut(recording, seconds)
        elif preprocess or seconds is not None:
            raise WindowError(
                f"expected a continuous recording with 2 dimensions to filter or cut, got {in_uv.ndim} dimensions",
                field="preprocess, seconds",
                remedy="Pass the continuous recording as [channels, samples]",
            )
        else:
            check_shape(in_uv, channels, sfreq)
            picked = in_uv[:, list(known.picks)]
            check_values(picked)
            windows = resample(picked, sfreq)
        _check_amplitude(windows, known, unit)
        check_unit(windows, unit)
        return windows, known

    @torch.inference_mode()
    def _embed(self, windows: Signals, known: Electrodes) -> Embedding:
        batches, rows_N = model_input(windows, known.names)
        device = next(self.model.parameters()).device
        rows_N = rows_N.to(device)
        features = (self.model.all_features(x_BNAT.to(device), rows_N) for x_BNAT in batches)
        pooled, patches = zip(*((pooled.cpu(), patches.cpu()) for pooled, patches in features), strict=True)
        shape = (len(windows), len(known.names), -1, self.width)
        return Embedding(
            torch.cat(pooled).numpy(), torch.cat(patches).numpy().reshape(shape), known.names, known.dropped
        )


class LabramEmbedder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn transformer from windows to one embedding vector each. Does not train the model.

    Args:
        model: Source for `Labram.from_pretrained`, or a loaded `Labram`.
        channels: Channel labels of the windows.
        sfreq: Sampling rate in Hz.
        unit: Unit of the signals.
        on_unknown: ``raise`` or ``drop``, see `Labram.embed`.
        device: Device of a model that is loaded here, see `Labram.from_pretrained`.

    Attributes:
        labram_: The loaded model.
        settings_: Channels, sampling rate, unit and `on_unknown` at the time of `fit`; `transform` uses these.
        dropped_: Labels of the dropped channels.
    """

    def __init__(
        self,
        model: str | Path | Labram,
        channels: Sequence[str],
        *,
        sfreq: float = SAMPLE_RATE_HZ,
        unit: str = "uV",
        on_unknown: Unknown = "raise",
        device: str | None = None,
    ) -> None:
        self.model = model
        self.channels = channels
        self.sfreq = sfreq
        self.unit = unit
        self.on_unknown = on_unknown
        self.device = device

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Load the model and check the channel names; `X` and `y` are unused.

        Raises:
            RecipeError: If a channel is unknown.
        """
        del X, y
        model = self.model
        self.labram_ = model if isinstance(model, Labram) else Labram.from_pretrained(model, device=self.device)
        self.dropped_ = electrodes(self.channels, drop_unknown=self.on_unknown == "drop").dropped
        self.settings_: dict[str, Any] = {
            "channels": label_tuple(self.channels),
            "sfreq": self.sfreq,
            "unit": self.unit,
            "on_unknown": self.on_unknown,
        }
        return self

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return vectors [n, D] of windows [n, channels, samples]; see `Labram.embed` for the expected signals.

        Raises:
            WindowError: If there are not three dimensions, and as `Labram.embed`.
        """
        check_is_fitted(self)
        windows = real_array(X)
        if windows.ndim != 3:  # scikit-learn requires one output row per input row
            raise WindowError(
                f"expected windows with 3 dimensions, got {windows.ndim}",
                field="X",
                remedy="Pass [windows, channels, samples]: x[None] for one window; Labram.embed cuts recordings",
            )
        return self.labram_.embed(windows, **self.settings_).windows

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Return ``labram0``, ``labram1`` and so on, one name per dimension."""
        del input_features
        check_is_fitted(self)
        return np.array([f"labram{index}" for index in range(self.labram_.width)], dtype=object)


def _registered(uri: str, workspace: str | Path | None) -> Path:
    from labram.platform.workspace import Workspace
    from labram.registry import signing
    from labram.tracking import mlflow_runs

    mlflow_runs.configure(Workspace.at(workspace or os.environ.get("LABRAM_WORKSPACE", ".labram")).root)
    return signing.trusted_folder(uri)


def _electrodes(labels: tuple[str, ...], on_unknown: Unknown, rename: Mapping[str, str]) -> Electrodes:
    """Match labels to electrodes; the error for an unknown one names both ways out."""
    try:
        return electrodes([rename.get(label, label) for label in labels], drop_unknown=on_unknown == "drop")
    except RecipeError as error:
        raise RecipeError(
            error.problem,
            field=error.field,
            remedy=f"{error.remedy}; or pass on_unknown='drop', or the electrodes as rename={{'label': 'FP1'}}",
        ) from None


def _unused_seconds(eeg: EegWindows, patches: Sequence[int]) -> float:
    """Return how many seconds of the signals have no patch; `patches` is the shape of the patch vectors."""
    windows = 1 if eeg.signals.ndim == 2 else len(eeg.signals)
    seconds = float(windows * eeg.signals.shape[-1] / eeg.sfreq)
    return max(0.0, round(seconds - patches[0] * patches[2], 6))


def _check_amplitude(windows: Signals, known: Electrodes, unit: str) -> None:
    """Check the amplitude of each channel, because one implausible value affects the vectors of all channels."""
    maxima = np.abs(windows).max(axis=(0, 2))
    implausible = ~(maxima <= MAX_AMPLITUDE_UV)
    if implausible.any():
        names = ", ".join(name for name, wrong in zip(known.names, implausible, strict=True) if wrong)
        raise WindowError(
            f"{names}: implausible values up to {maxima[implausible].max():.3g} µV",
            field="unit",
            remedy=f"Check that these channels are in {unit}, else pass unit=, or drop the channels",
        )
