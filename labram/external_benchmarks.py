"""LaBraM in other people's benchmarks: OpenEEG-Bench (any PyTorch module) and MOABB (scikit-learn pipelines).

OpenEEG-Bench builds a class with ``n_chans``, ``n_times``, ``n_outputs``, ``sfreq``, ``chs_info``, loads a checkpoint
into it by name and shape, replaces its ``final_layer``, and adapts it with its own strategies
(https://github.com/braindecode/OpenEEGBench, ``open_eeg_bench.backbone.PretrainedBackbone``). MOABB clones and fits
scikit-learn pipelines on arrays in µV or on MNE ``Epochs``. Neither is a dependency.

Letters: B windows, N channels, T samples.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor, nn

from labram.embedding import Labram
from labram.errors import WindowError
from labram.estimators import AlignmentKind, LabramClassifier
from labram.inference.predictor import resample
from labram.inference.signal_checks import electrodes
from labram.input_spec import MAX_PATCHES, MAX_SECONDS, SAMPLE_RATE_HZ, SCALE_UV
from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from labram.recipe import WindowPooling
from labram.signals.electrodes import rows

PEFT_TARGETS = ("proj", "fc1", "fc2")
"""Linear layers that adapters can wrap; the fused query, key and value are used without their module."""
VOLT_UV = 1e6


class OpenEegBenchModel(nn.Module):
    """LaBraM with the constructor and the output that OpenEEG-Bench expects.

    Windows are resampled to 200 Hz and scaled. Channels that are not in the electrode table are left out. Windows with
    more than 16 s or 256 patches are embedded in parts of whole seconds, whose embeddings are averaged by duration.

    Args:
        n_chans: Number of channels.
        n_times: Samples of a window.
        n_outputs: Width of the head.
        sfreq: Sampling rate in Hz.
        chs_info: One mapping for each channel, with its label as ``ch_name``.
        config: `labram.models.config.BackboneConfig` of the weights, as a mapping; see `open_eeg_bench`.
        pooling: Pooling of a window's tokens; ``channels`` and ``tokens`` only for windows of one part.
        unit_uv: Unit of the signals in µV; OpenEEG-Bench passes V.

    Raises:
        WindowError: If windows are shorter than a second, or no channel has a known name.
    """

    picks: Tensor
    rows: Tensor
    to_200_hz: Tensor

    def __init__(
        self,
        n_chans: int,
        n_times: int,
        n_outputs: int,
        sfreq: float,
        chs_info: Sequence[Any],
        *,
        config: Mapping[str, Any],
        pooling: WindowPooling = "mean",
        unit_uv: float = VOLT_UV,
    ) -> None:
        super().__init__()
        if len(chs_info) != n_chans:
            raise WindowError(
                f"expected {n_chans} channels in chs_info, got {len(chs_info)}",
                field="chs_info",
                remedy="Pass one entry for each channel",
            )
        known = electrodes([str(channel["ch_name"]) for channel in chs_info], drop_unknown=True)
        self.pooling, self.scale = pooling, unit_uv / SCALE_UV
        self.encoder_model = DownstreamModel(BackboneConfig.from_json(config), 1)
        self.encoder_model.head = nn.Identity()  # type: ignore[assignment]  # OpenEEG-Bench trains its own
        self.register_buffer("picks", torch.tensor(known.picks), persistent=False)
        self.register_buffer("rows", torch.tensor(rows(known.names)), persistent=False)
        self.register_buffer("to_200_hz", _resampling(n_times, sfreq), persistent=False)
        self.parts = _parts(self.to_200_hz.shape[1] // SAMPLE_RATE_HZ, len(known.names))
        with torch.no_grad():
            width = self.features(torch.zeros(1, n_chans, n_times)).shape[1]
        self.final_layer = nn.Linear(width, n_outputs)

    def features(self, x_BNT: Tensor) -> Tensor:
        """Return one vector for each window [B, K]."""
        x_BNT = x_BNT[:, self.picks].to(self.to_200_hz.dtype) @ self.to_200_hz * self.scale
        embedded, seconds = [], []
        for start, stop in self.parts:
            span = x_BNT[:, :, start * SAMPLE_RATE_HZ : stop * SAMPLE_RATE_HZ]
            part = span.reshape(*span.shape[:2], stop - start, SAMPLE_RATE_HZ)
            embedded.append(self.encoder_model.embed(part, self.rows, self.pooling) * (stop - start))
            seconds.append(stop - start)
        if len({vectors.shape[1] for vectors in embedded}) > 1:
            raise WindowError(
                f"pooling {self.pooling} has another width for each part of a long window",
                field="pooling",
                remedy="Choose mean, cls, mean+std or moments",
            )
        return torch.stack(embedded).sum(0) / sum(seconds)

    def forward(self, x_BNT: Tensor) -> Tensor:
        """Return outputs [B, n_outputs] of windows [B, N, T]."""
        return self.final_layer(self.features(x_BNT))  # type: ignore[no-any-return]


def open_eeg_bench(
    model: str | Path | Labram, checkpoint: str | Path, *, pooling: WindowPooling = "mean"
) -> dict[str, Any]:
    """Write a checkpoint of a model, and return the arguments for ``open_eeg_bench.benchmark``.

    Args:
        model: Source for `Labram.from_pretrained`, or a loaded model.
        checkpoint: File for the weights (``.pth``).
        pooling: Pooling of a window's tokens.

    Returns:
        ``model_cls``, ``checkpoint_path``, ``model_kwargs``, ``peft_target_modules`` and ``head_module_name``.
    """
    loaded = model if isinstance(model, Labram) else Labram.from_pretrained(model)
    state = {
        f"encoder_model.{name}": tensor.detach().cpu()
        for name, tensor in loaded.model.state_dict().items()
        if not name.startswith("head.")
    }
    torch.save({"state_dict": state}, checkpoint)
    return {
        "model_cls": f"{OpenEegBenchModel.__module__}.{OpenEegBenchModel.__name__}",
        "checkpoint_path": str(checkpoint),
        "model_kwargs": {"config": loaded.model.config.to_json(), "pooling": pooling},
        "peft_target_modules": list(PEFT_TARGETS),
        "head_module_name": "final_layer",
    }


def moabb_pipelines(
    model: str | Path | Labram,
    channels: Sequence[str] | None = None,
    *,
    sfreq: float | None = None,
    poolings: Sequence[WindowPooling] = ("mean", "mean+std"),
    alignment: AlignmentKind = "none",
    on_unknown: Literal["raise", "drop"] = "drop",
) -> dict[str, Pipeline]:
    """Return pipelines by name, for ``moabb.evaluations`` or ``moabb.benchmark``.

    MOABB passes neither subjects nor sessions to a pipeline, so all windows that are fitted or predicted together are
    aligned together: `alignment` is for within-session and cross-session evaluations.

    Args:
        model: Source for `Labram.from_pretrained`, or a loaded model.
        channels: Channel labels of MOABB's arrays, in µV; None: evaluations with ``return_epochs=True``.
        sfreq: Their sampling rate in Hz, ``paradigm.resample`` or that of the dataset.
        poolings: One pipeline for each.
        alignment: Alignment without labels of the windows of a call.
        on_unknown: Whether channels that are not in the electrode table are dropped.
    """
    loaded = model if isinstance(model, Labram) else Labram.from_pretrained(model)
    return {
        f"LaBraM probe ({pooling})": make_pipeline(
            LabramClassifier(loaded, channels, sfreq=sfreq, pooling=pooling, alignment=alignment, on_unknown=on_unknown)
        )
        for pooling in poolings
    }


def _resampling(n_times: int, sfreq: float) -> Tensor:
    """Return the matrix [T, T at 200 Hz] that resamples windows as `labram.inference.predictor.resample`."""
    matrix = torch.from_numpy(resample(np.eye(n_times, dtype=np.float32)[None], sfreq)[0].copy())
    if matrix.shape[1] < SAMPLE_RATE_HZ:
        raise WindowError(
            f"windows of {n_times / sfreq:g} s are too short", field="n_times", remedy="Pass at least one second"
        )
    return matrix


def _parts(seconds: int, channels: int) -> list[tuple[int, int]]:
    longest = max(1, min(MAX_SECONDS, MAX_PATCHES // channels))
    return [(start, min(start + longest, seconds)) for start in range(0, seconds, longest)]
