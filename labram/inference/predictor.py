"""Predictions of any trained model from signals in µV, with any channel names and sampling rate.

Evaluation, serving and embedding all prepare model input here: channel names, resampling, whole seconds, scaling.
Signals must already be filtered as in ingest (band-pass and line-noise notch).
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.signal import resample_poly
from torch import Tensor

from labram.errors import WindowError
from labram.inference.signal_checks import (
    Signals,
    check_length,
    check_levels,
    check_line_noise,
    check_shape,
    check_values,
    electrodes,
    in_microvolts,
)
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import Aligned, WindowGroup
from labram.linear.probe import Probe
from labram.models import weights
from labram.models.downstream import DownstreamModel, prediction
from labram.models.model_input import WindowEmbedder, model_input
from labram.models.tokenizer import Tokenizer
from labram.recipe import LEAST_WINDOWS, MODEL_FILE, AlignmentRecipe, PreprocessingRecipe, QualityRecipe, Recipe
from labram.signals.alignment import align_request
from labram.training.device import select_device
from labram.training.task_metadata import TaskMetadata


class Predictor:
    """A trained model of any kind, loaded for inference.

    Args:
        folder: Model folder; that of a task model also holds its ``task.json``.
        device: See `labram.training.device.select_device`.

    Raises:
        PlatformError: If the device is not available.

    Attributes:
        device: The device.
        task: Recipe and target scale of the task; None for a tokenizer or a backbone.
        probe: Linear model that predicts from the embeddings; None if the model's own head does.
        preprocessing: Preprocessing of the recordings that the model was trained on; the default if it has no recipe.
        quality: Thresholds that they were accepted with, likewise.
    """

    def __init__(self, folder: Path, *, device: str | None = None) -> None:
        self.device = select_device(device)
        self.task = TaskMetadata.read(folder) if (folder / TaskMetadata.NAME).is_file() else None
        self.probe = Probe.load(folder)
        self.preprocessing, self.quality = _corpus_settings(folder)
        model = weights.load(folder)
        if not isinstance(model, DownstreamModel | Tokenizer):
            model, _ = weights.backbone_to_downstream(folder, outputs=1)
        self.model = model.eval().to(self.device)

    @property
    def alignment(self) -> AlignmentRecipe:
        """Alignment of a subject's windows that the model was trained with."""
        return self.task.recipe.alignment if self.task else AlignmentRecipe()

    def predict(
        self, signals: npt.ArrayLike, channels: Sequence[str], sfreq: float, unit: str = "uV"
    ) -> npt.NDArray[Any]:
        """Predict from windows at any sampling rate.

        A model that was trained with an alignment aligns the windows on all of them: they must be of one subject.

        Args:
            signals: Filtered as in ingest, [n, C, samples], at least one second long.
            channels: Names of the C channels, in any common spelling.
            sfreq: Sampling rate in Hz.
            unit: Unit of the signals: uV, mV, V or nV.

        Returns:
            See `predict_prepared`.

        Raises:
            WindowError: If the shape is wrong, a value is not finite, the windows are too short or too long, their
                amplitudes or line noise are not those of filtered EEG, or they are together too short for the model's
                alignment.
            RecipeError: If a channel is not in the electrode table; names the closest electrode.
        """
        windows = in_microvolts(signals, unit)
        check_shape(windows, channels, sfreq, self.quality.min_rate_hz)
        check_length(windows, sfreq)
        check_values(windows)
        names = electrodes(channels).names
        self.check_filtered(windows, names, sfreq, unit)
        return self.predict_subject(resample(windows, sfreq), names)

    def check_filtered(self, windows: Signals, names: Sequence[str], sfreq: float, unit: str) -> None:
        """Check that finite windows [n, C, samples] in µV are EEG, filtered as the model was trained on.

        Raises:
            WindowError: If unit, amplitude, offset or line noise are implausible, or a channel is flat.
        """
        check_levels(windows, names, unit=unit, quality=self.quality)
        if self.preprocessing.notch:
            check_line_noise(windows, names, sfreq, quality=self.quality)

    def predict_subject(self, windows: Signals, names: Sequence[str]) -> npt.NDArray[Any]:
        """Predict from preprocessed windows of one subject, aligned on all of them if the model needs it.

        Args:
            windows: µV at 200 Hz [n, C, samples].
            names: C canonical names.

        Returns:
            See `predict_prepared`.

        Raises:
            WindowError: If they are together too short for the model's alignment.
        """
        self._check_enough(len(windows))

        def aligned(alignment: AlignmentRecipe) -> list[WindowGroup]:
            return [WindowGroup([align_request(windows, names, alignment)], tuple(names), [""] * len(windows))]

        return self.predict_windows(aligned)

    def predict_windows(self, windows: Aligned) -> npt.NDArray[Any]:
        """Predict from prepared windows at 200 Hz with canonical channel names.

        Args:
            windows: The windows with any alignment; all windows of each subject that are to be predicted.

        Returns:
            See `predict_prepared`.
        """
        if self.probe is not None:
            assert isinstance(self.model, DownstreamModel)
            return self.probe.predict(windows, WindowEmbedder(self.model, self.probe.pooling))
        groups = windows(self.alignment)
        return np.concatenate(
            [self.predict_prepared(part, group.channels) for group in groups for part in group.signals]
        )

    def predict_alone(self, windows: Aligned) -> npt.NDArray[Any] | None:
        """Predict as `predict_windows` does with LaBraM's part of a stacked probe; None if there is no other part."""
        if self.probe is None or self.probe.alone is None:
            return None
        assert isinstance(self.model, DownstreamModel)
        return self.probe.alone.predict(windows, WindowEmbedder(self.model, self.probe.pooling))

    def describe(self) -> str:
        """Return what predicts in one line; empty if it is the model's own head."""
        return self.probe.card.describe() if self.probe else ""

    @property
    def share(self) -> float:
        """LaBraM's share of the prediction."""
        return self.probe.card.share if self.probe else 1.0

    def _check_enough(self, windows: int) -> None:
        if self.probe is not None and self.probe.within_subject and windows < LEAST_WINDOWS:
            raise WindowError(
                f"the model standardises features within each subject: it needs {LEAST_WINDOWS} windows, got {windows}",
                field="signals",
                remedy=f"Pass at least {LEAST_WINDOWS} windows of one subject in one request",
            )

    @torch.inference_mode()
    def predict_prepared(self, signals: Signals, channels: Sequence[str]) -> npt.NDArray[Any]:
        """Predict with the model's own head from windows at 200 Hz with canonical channel names, aligned as it needs.

        Args:
            signals: µV [n, C, samples]; samples after the last whole second are ignored.
            channels: C canonical names.

        Returns:
            Task model: see `labram.models.downstream.prediction`. Backbone: embeddings [n, D]. Tokenizer: codes
            [n, patches], channel-major.
        """
        batches, rows_N = model_input(signals, channels)
        rows_N = rows_N.to(self.device)
        return np.concatenate([self._predict(batch.to(self.device), rows_N) for batch in batches])

    def _predict(self, x_BNAT: Tensor, rows_N: Tensor) -> npt.NDArray[Any]:
        if isinstance(self.model, Tokenizer):
            return np.asarray(self.model.encode(x_BNAT, rows_N).cpu())
        if self.task is None:
            return np.asarray(self.model.features(x_BNAT, rows_N).cpu())
        output = self.model(x_BNAT, rows_N)
        return prediction(output, self.task.recipe.kind, self.task.target_mean, self.task.target_sd)


def resample(signals: Signals, sfreq: float) -> Signals:
    """Resample signals to 200 Hz (polyphase, Kaiser window).

    Args:
        signals: [n, C, samples].
        sfreq: Their sampling rate in Hz.
    """
    if sfreq == SAMPLE_RATE_HZ:
        return signals
    ratio = Fraction(SAMPLE_RATE_HZ / float(sfreq)).limit_denominator(1000)
    return np.asarray(resample_poly(signals, ratio.numerator, ratio.denominator, axis=-1), dtype=np.float32)


def _corpus_settings(folder: Path) -> tuple[PreprocessingRecipe, QualityRecipe]:
    """Return preprocessing and quality thresholds of the recipe that was registered with a model."""
    file = folder / MODEL_FILE
    if not file.is_file():
        return PreprocessingRecipe(), QualityRecipe()
    recipe = Recipe.from_json(file.read_text(encoding="utf-8"))
    return recipe.preprocessing, recipe.quality
