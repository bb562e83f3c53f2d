"""Reconstruction of a recording from the codes of a tokenizer: spectra, signals, and their errors.

The tokenizer predicts the amplitude and phase spectrum of each patch as z-scores over its window. The mean and standard
deviation of the window's true spectra, which codes do not hold, turn them back into units.

Letters: n windows, N channels, A seconds, L patches, F = 101 frequencies.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from labram.atomic import atomic_path
from labram.errors import MisfitWeightsError, PlatformError, ReadError, Reason
from labram.inference.predictor import Predictor
from labram.inference.prepare import Prepared
from labram.inference.signal_checks import Signals
from labram.inference.unlabelled import UnlabelledWindows
from labram.input_spec import PATCH_SAMPLES, SAMPLE_RATE_HZ, SCALE_UV
from labram.linear.features import BANDS
from labram.models.model_input import model_input
from labram.models.tokenizer import Tokenizer
from labram.scratch_folder import scratch_folder

SIGNAL_FORMATS = (".fif", ".edf", ".npz")
_BINS = PATCH_SAMPLES // 2 + 1
_AMPLITUDE = 2 / PATCH_SAMPLES
"""Factor from the magnitude of the discrete Fourier transform to the amplitude of a sine wave."""


@dataclass(frozen=True)
class Reconstructed:
    """Original and reconstructed windows of one recording, in order.

    Attributes:
        channels: Canonical names [N].
        starts: Start of each window in seconds [n].
        original: µV at 200 Hz [n, N, samples].
        rebuilt: The same from codes.
        amplitude: Mean amplitude of the patches, µV [N, F] at 0, 1, ... 100 Hz.
        rebuilt_amplitude: The same from codes.
        errors: Relative error of the amplitudes by channel and band [N, bands of `BANDS`]: root of the summed squared
            differences over that of the squares; 0 is perfect, 1 as good as no signal.
        correlation: Correlation of the signals of each channel [N].
    """

    channels: tuple[str, ...]
    starts: tuple[float, ...]
    original: Signals
    rebuilt: Signals
    amplitude: npt.NDArray[np.float64]
    rebuilt_amplitude: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    correlation: npt.NDArray[np.float64]


def reconstruct(predictor: Predictor, windows: UnlabelledWindows) -> Reconstructed:
    """Encode and decode the windows of one recording.

    Args:
        predictor: A tokenizer.
        windows: Windows of one recording.

    Raises:
        MisfitWeightsError: If the model is no tokenizer.
    """
    (group,) = windows.windows.window_groups()
    originals, rebuilt, spectra = [], [], []
    for part in group.signals:
        signals, amplitudes = _rebuild(_tokenizer(predictor), part, group.channels, predictor.device)
        originals.append(part)
        rebuilt.append(signals)
        spectra.append(amplitudes)
    original, again = np.concatenate(originals), np.concatenate(rebuilt)
    true, predicted = (np.concatenate([pair[kind] for pair in spectra]) for kind in (0, 1))
    return Reconstructed(
        channels=group.channels,
        starts=windows.starts,
        original=original,
        rebuilt=again,
        amplitude=true.mean(axis=(0, 2)) * _AMPLITUDE,
        rebuilt_amplitude=predicted.mean(axis=(0, 2)) * _AMPLITUDE,
        errors=_errors(true, predicted),
        correlation=_correlation(original, again),
    )


def _tokenizer(predictor: Predictor) -> Tokenizer:
    if not isinstance(predictor.model, Tokenizer):
        raise MisfitWeightsError(
            "only a tokenizer reconstructs signals", field="model", remedy="Name a tokenizer, such as labram-tokenizer"
        )
    return predictor.model


@torch.inference_mode()
def _rebuild(
    tokenizer: Tokenizer, signals: Signals, channels: Sequence[str], device: torch.device
) -> tuple[Signals, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Return signals from codes [n, N, samples], and true and predicted amplitudes, each [n, N, A, F]."""
    batches, rows_N = model_input(signals, channels)
    rebuilt, true, predicted = [], [], []
    for x_BNAT in batches:
        decoded = tokenizer.reconstruct(x_BNAT.to(device), rows_N.to(device))
        spectrum = torch.fft.rfft(x_BNAT.double().flatten(1, 2))
        amplitude = _in_unit(decoded.amplitude.cpu(), spectrum.abs()).clamp_min(0.0)
        phase = _in_unit(decoded.phase.cpu(), spectrum.angle(), mirrored=-1.0)
        patches_BLT = torch.fft.irfft(torch.polar(amplitude, phase), n=PATCH_SAMPLES)
        rebuilt.append((patches_BLT * SCALE_UV).reshape(len(x_BNAT), len(channels), -1).float().numpy())
        shape = (*x_BNAT.shape[:3], _BINS)
        true.append((spectrum.abs() * SCALE_UV).reshape(shape).numpy())
        predicted.append((amplitude * SCALE_UV).reshape(shape).numpy())
    return np.concatenate(rebuilt), (np.concatenate(true), np.concatenate(predicted))


def _in_unit(z_BLF: Tensor, true_BLF: Tensor, mirrored: float = 1.0) -> Tensor:
    """Undo the z-score of `labram.models.spectrum.spectral_targets` with the moments of the true spectrum."""
    true_BLF = true_BLF.float()
    full = torch.cat([true_BLF, mirrored * true_BLF[..., 1 : _BINS - 1].flip(-1)], dim=-1)
    deviation, mean = torch.std_mean(full, dim=(1, 2), keepdim=True)
    return (z_BLF[..., :_BINS] * deviation + mean).double()


def _errors(true: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    hz = np.arange(_BINS)
    columns = []
    for low, high in BANDS.values():
        band = (low <= hz) & (hz < high)
        difference = ((predicted - true)[..., band] ** 2).sum(axis=(0, 2, 3))
        columns.append(np.sqrt(difference / np.maximum((true[..., band] ** 2).sum(axis=(0, 2, 3)), 1e-12)))
    return np.stack(columns, axis=1)


def _correlation(original: Signals, rebuilt: Signals) -> npt.NDArray[np.float64]:
    pairs = zip(original.swapaxes(0, 1), rebuilt.swapaxes(0, 1), strict=True)
    with np.errstate(invalid="ignore"):  # a constant channel has no correlation
        return np.array([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs])


def write_errors(result: Reconstructed, path: Path) -> None:
    """Write a CSV table: channel, correlation of the signals, relative amplitude error by band."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["channel", "correlation", *(f"error_{band}" for band in BANDS)])
        for channel, correlation, errors in zip(result.channels, result.correlation, result.errors, strict=True):
            writer.writerow([channel, f"{correlation:.4f}", *(f"{error:.4f}" for error in errors)])


def write_signals(result: Reconstructed, path: Path) -> None:
    """Write the reconstructed windows, one after the other, as FIF or EDF; as ``.npz``, with the originals.

    Raises:
        PlatformError: If the suffix is another.
    """
    if path.suffix not in SIGNAL_FORMATS:
        raise PlatformError(
            f"unknown format {path.suffix or path.name!r}",
            file=path.name,
            field="to",
            remedy=f"Name a file with the suffix {', '.join(SIGNAL_FORMATS)}",
        )
    continuous = result.rebuilt.swapaxes(0, 1).reshape(len(result.channels), -1)
    with scratch_folder() as scratch:
        made = scratch / f"made_raw{path.suffix}"
        if path.suffix == ".npz":
            np.savez(
                made,
                allow_pickle=False,
                original=result.original,
                rebuilt=result.rebuilt,
                starts=np.array(result.starts),
                channels=np.array(result.channels),
                sfreq=SAMPLE_RATE_HZ,
            )
        elif path.suffix == ".fif":
            _write_fif(continuous, result.channels, made)
        else:
            _write_edf(continuous, result.channels, made)
        with atomic_path(path) as temporary:
            temporary.write_bytes(made.read_bytes())


def _write_fif(signals: Signals, channels: Sequence[str], path: Path) -> None:
    import mne

    info = mne.create_info(list(channels), SAMPLE_RATE_HZ, "eeg")
    mne.io.RawArray(signals.astype(np.float64) * 1e-6, info, verbose="error").save(path, verbose="error")


def _write_edf(signals: Signals, channels: Sequence[str], path: Path) -> None:
    import edfio

    edfio.Edf(
        [
            edfio.EdfSignal(row.astype(np.float64), SAMPLE_RATE_HZ, label=name, physical_dimension="uV")
            for name, row in zip(channels, signals, strict=True)
        ]
    ).write(path)


def require_usable(recording: Prepared, reason: str = "") -> None:
    """Check that a recording was read and accepted.

    Args:
        recording: The recording.
        reason: Why a model cannot read it; empty if it can.

    Raises:
        ReadError: With the reason, if it cannot be used.
    """
    from labram.inference.reasons import explain

    if code := recording.reason or reason:
        meaning, remedy = explain(code)
        raise ReadError(
            meaning,
            reason=Reason(code) if code in set(Reason) else Reason.UNPROCESSABLE,
            file=recording.name,
            remedy=remedy[:1].upper() + remedy[1:] or "Check the recording",
        )
