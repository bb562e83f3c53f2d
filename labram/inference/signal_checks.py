"""Checks of signals for inference: names, shape, sampling rate, values and amplitudes, before anything is computed.

Thresholds are those that the model's recordings were ingested with (`QualityRecipe`). Embedding, MLflow's pyfunc and
`labram serve` share them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.signal import welch

from labram.corpus.line_noise import line_noise_ratio
from labram.corpus.spectra import unit_correction
from labram.errors import RecipeError, WindowError
from labram.input_spec import MAX_PATCHES, MAX_SECONDS
from labram.recipe import QualityRecipe
from labram.signals.electrodes import canonical_name, canonical_names, rows
from labram.signals.filters import EEG_BAND_HZ, LINE_FREQUENCIES_HZ

MAX_SFREQ = 20_000
"""Hz; EEG amplifiers sample at up to 16,384 Hz."""
UNITS_UV: Mapping[str, float] = MappingProxyType({"uV": 1.0, "µV": 1.0, "μV": 1.0, "mV": 1e3, "V": 1e6, "nV": 1e-3})
"""Accepted units in µV; µ may be the micro sign or the Greek letter."""
FILTERED = "Signals must be band-passed from 0.1 to 75 Hz, with a notch at the line frequency, as in training"
Signals = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Electrodes:
    """Channels that are in the model's electrode table.

    Attributes:
        picks: Their positions among the labels.
        names: Their canonical names.
        dropped: Labels of the other channels, unchanged.
    """

    picks: tuple[int, ...]
    names: tuple[str, ...]
    dropped: tuple[str, ...]


def electrodes(labels: Sequence[str], *, drop_unknown: bool = False) -> Electrodes:
    """Match channel labels, in any common spelling, to canonical electrodes.

    Args:
        labels: Channel labels.
        drop_unknown: Drop unknown labels instead of raising an error.

    Raises:
        RecipeError: If a label is not in the electrode table; names the closest electrode.
        WindowError: If a label is not a string, an electrode occurs twice, or no channel remains.
    """
    labels = label_tuple(labels)
    _check_duplicates(labels)
    names = canonical_names(labels)
    unknown = tuple(label for label, name in zip(labels, names, strict=True) if name is None)
    if unknown and not drop_unknown:
        raise RecipeError(
            f"{len(unknown)} of {len(labels)} channels are not in the model's electrode table",
            field="channels",
            remedy="; ".join(map(_hint, unknown)),
        )
    if len(unknown) == len(labels):
        raise WindowError("no channel remains", field="channels", remedy="Use names of the 10-10 system, such as FP1")
    picks = tuple(index for index, name in enumerate(names) if name)
    return Electrodes(picks, tuple(filter(None, names)), unknown)


def label_tuple(labels: object) -> tuple[str, ...]:
    """Return channel labels as a tuple of strings.

    Raises:
        WindowError: If they are not a sequence of strings.
    """
    listed = isinstance(labels, Iterable) and not isinstance(labels, str | Mapping)
    names = tuple(labels) if isinstance(labels, Iterable) and listed else (labels,)
    invalid = [name for name in names if not isinstance(name, str)]
    if invalid or not listed:
        raise WindowError(
            f"expected a list of channel names, got {(invalid or [labels])[0]!r}{' in it' if invalid else ''}",
            field="channels",
            remedy="Name every channel with a string, such as channels=['FP1', 'FP2']",
        )
    return names


def _check_duplicates(labels: Sequence[str]) -> None:
    spellings: dict[str, list[str]] = {}
    for label in labels:
        if name := canonical_name(label):
            spellings.setdefault(name, []).append(label)
    duplicates = [f"{name} as {' and '.join(map(repr, used))}" for name, used in spellings.items() if len(used) > 1]
    if duplicates:
        raise WindowError(
            f"duplicate channels: {', '.join(duplicates)}", field="channels", remedy="Pass each electrode once"
        )


def _hint(label: str) -> str:
    try:
        rows([label])
    except RecipeError as error:
        return f"{label!r}: {error.remedy}"
    return f"{label!r}: part of a contact grid here, so it is not a scalp position"


def real_array(signals: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return signals as an array; the dtype stays.

    Raises:
        WindowError: If they are ragged or not real numbers.
    """
    try:
        array = np.asarray(signals)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WindowError(
            f"signals are not an array: {error}", field="signals", remedy="Pass windows and channels of equal length"
        ) from error
    if array.dtype.kind not in "iuf":
        raise WindowError(
            f"expected signals of a real dtype, got {array.dtype}",
            field="signals",
            remedy="Pass an array of real numbers, such as float32",
        )
    return array


def check_shape(
    windows: npt.NDArray[np.floating],
    channels: Sequence[str],
    sfreq: float,
    least_hz: float = QualityRecipe().min_rate_hz,
) -> None:
    """Check the shape of windows, or of one recording [1, channels, samples], and its names and sampling rate.

    Args:
        windows: [n, channels, samples].
        channels: Names of the channels.
        sfreq: Sampling rate in Hz.
        least_hz: Lowest sampling rate of the recordings that the model was trained on.

    Raises:
        WindowError: If the shape or sampling rate is invalid, there is no window, or windows are shorter than a second.
    """
    if windows.ndim != 3:
        raise WindowError(
            f"expected signals with 3 dimensions, got {windows.ndim}",
            field="signals",
            remedy="Pass an array [windows, channels, samples] in µV",
        )
    if not len(windows):
        raise WindowError("signals have no windows", field="signals", remedy="Pass at least one window")
    names = label_tuple(channels)
    if windows.shape[1] != len(names):
        raise WindowError(
            f"signals have {windows.shape[1]} channels, but {len(names)} names were passed",
            field="channels",
            remedy="Name every channel, in the order of the signals, such as channels=['FP1', 'FP2']",
        )
    _check_sfreq(sfreq, least_hz)
    if windows.shape[2] < sfreq:
        raise WindowError(
            f"windows are shorter than a second: {windows.shape[2]} samples at {sfreq} Hz",
            field="sfreq",
            remedy="Pass windows of at least one second, and their sampling rate in Hz",
        )


def _check_sfreq(sfreq: Any, least_hz: float) -> None:
    numeric = isinstance(sfreq, int | float | np.integer | np.floating) and not isinstance(sfreq, bool)
    if not (numeric and least_hz <= sfreq <= MAX_SFREQ):
        raise WindowError(
            f"invalid sampling rate {sfreq!r}",
            field="sfreq",
            remedy=f"Pass the sampling rate of the signals as a number from {least_hz:g} to {MAX_SFREQ} Hz, "
            "such as sfreq=256",
        )


def check_length(windows: Signals, sfreq: float) -> None:
    """Check that windows [n, C, samples] are no longer than the model's longest, in seconds and in patches.

    Raises:
        WindowError: If they are.
    """
    channels, seconds = windows.shape[1], int(windows.shape[2] // sfreq)
    if seconds > MAX_SECONDS:
        raise WindowError(
            f"windows are too long: expected at most {MAX_SECONDS} s, got {seconds} s",
            field="signals",
            remedy=f"Cut the recording into windows of at most {MAX_SECONDS} s, and check the sampling rate",
        )
    if channels * seconds > MAX_PATCHES:
        raise WindowError(
            f"expected 1 to {MAX_PATCHES} patches per window, got {channels} channels x {seconds} s = "
            f"{channels * seconds}",
            field="signals",
            remedy="Shorten the windows or drop channels",
        )


def in_microvolts(x: npt.ArrayLike, unit: object) -> Signals:
    """Return signals in a unit of `UNITS_UV` as float32 in µV.

    Raises:
        WindowError: If the unit is unknown, or the signals are not an array of real numbers.
    """
    if not isinstance(unit, str) or unit not in UNITS_UV:
        raise WindowError(f"unknown unit {unit!r}", field="unit", remedy=f"Pass one of {', '.join(UNITS_UV)}")
    with np.errstate(over="ignore"):  # an overflow becomes infinite and fails the check for finite values
        return np.asarray(real_array(x).astype(np.float64, copy=False) * UNITS_UV[unit], dtype=np.float32)


def check_values(signals: Signals) -> None:
    """Check that all values are finite.

    Raises:
        WindowError: If a value is not.
    """
    if not np.isfinite(signals).all():
        raise WindowError(
            "signals contain NaN, infinite values, or values too large for float32",
            field="signals",
            remedy="Remove such windows, and check the unit",
        )


def check_unit(windows: Signals, unit: str, typical_uv: float = QualityRecipe().typical_rms_uv) -> None:
    """Check that no other unit makes the standard deviations of windows [n, C, samples] in µV more plausible.

    Raises:
        WindowError: If one does.
    """
    deviations = windows.std(axis=-1, dtype=np.float64)
    largest, median = float(deviations.max()), float(np.median(deviations))
    if unit_correction(largest, typical_uv) > 1 or unit_correction(median, typical_uv) < 1:
        raise WindowError(
            f"implausible standard deviation of the channels: median {median:.3g} µV",
            field="unit",
            remedy=f"Check that the signals are in {unit}",
        )


def check_levels(windows: Signals, names: Sequence[str], *, unit: str, quality: QualityRecipe) -> None:
    """Check unit, flat channels, amplitudes and offsets of filtered windows with the limits of ingest.

    Args:
        windows: µV [n, C, samples].
        names: C canonical names.
        unit: Unit in which the caller passed them.
        quality: Thresholds that the model's recordings were accepted with.

    Raises:
        WindowError: If the signals are not EEG as the model was trained on; names the channels.
    """
    check_unit(windows, unit, quality.typical_rms_uv)
    deviations = windows.std(axis=-1, dtype=np.float64)
    _reject(
        names,
        deviations.min(axis=0) < quality.flat_sd_uv,
        f"flat, with a standard deviation below {quality.flat_sd_uv:g} µV in a window",
        "Leave these channels or windows out",
    )
    peaks = np.abs(windows).max(axis=(0, 2))
    _reject(
        names,
        peaks > quality.max_window_uv,
        f"values up to {peaks.max():.3g} µV, above {quality.max_window_uv:g} µV",
        f"Check the unit, and leave out windows with artefacts. {FILTERED}",
    )
    offsets = np.abs(windows.mean(axis=(0, 2), dtype=np.float64))
    _reject(
        names,
        offsets > quality.max_channel_sd_uv,
        f"an offset of up to {offsets.max():.3g} µV, above {quality.max_channel_sd_uv:g} µV",
        FILTERED,
    )
    median = float(np.median(deviations))
    _reject(
        names,
        np.full(len(names), median > quality.max_median_sd_uv),
        f"a median standard deviation of {median:.3g} µV, above {quality.max_median_sd_uv:g} µV",
        f"Check the unit. {FILTERED}",
    )


def check_line_noise(windows: Signals, names: Sequence[str], sfreq: float, *, quality: QualityRecipe) -> None:
    """Check that line noise of 50 or 60 Hz was removed from windows [n, C, samples].

    Raises:
        WindowError: If the power of line noise exceeds `warn_line_noise_ratio` of that of the EEG band in a channel.
    """
    frequency, power = welch(windows, sfreq, nperseg=round(sfreq), axis=-1)
    band = (frequency >= EEG_BAND_HZ[0]) & (frequency <= EEG_BAND_HZ[1])
    for line_freq_hz in LINE_FREQUENCIES_HZ:
        ratio = line_noise_ratio(
            power.mean(axis=0, dtype=np.float64), frequency, line_freq_hz=line_freq_hz, sfreq=sfreq, band=band
        )
        _reject(
            names,
            ratio > quality.warn_line_noise_ratio,
            f"line noise of {line_freq_hz:g} Hz with {ratio.max():.3g} times the power of 1 to 45 Hz",
            FILTERED,
        )


def _reject(names: Sequence[str], rejected: npt.NDArray[np.bool_], problem: str, remedy: str) -> None:
    """Raise an error that names the rejected channels, if there are any."""
    if rejected.any():
        listed = ", ".join(name for name, wrong in zip(names, rejected, strict=True) if wrong)
        raise WindowError(f"{listed}: {problem}", field="signals", remedy=remedy)
