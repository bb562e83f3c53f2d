"""Hints on a dataset file: recordings of two people at one time, a wrong sampling rate, amplitudes in another unit.

They have names of recordings: they are for the terminal only, never to be stored.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labram.datasets.base import RecordingFile
from labram.errors import ReadError
from labram.signals.readers.isolated_reader import ReaderFailed
from labram.signals.readers.origin import read as read_origin
from labram.signals.recording import Recording

_LEAST_OVERLAP = 10.0
_MOST_SIMULTANEOUS = 0.5
"""Share of the subjects that were recorded at one time: beyond, the times are no times of recording."""
_PEAK_RATIO = 20.0
_LEAST_PEAK_HZ, _TOLERANCE_HZ = 20.0, 1.5
_SECONDS = 60.0
_USUAL_RATES = (100, 125, 128, 160, 200, 250, 256, 300, 400, 500, 512, 600, 1000, 1024, 1200, 2000, 2048, 5000)
_RATE_TOLERANCE = 0.015
_SMALL_UV = (0.03, 0.6)
"""RMS in 1-45 Hz of EEG that was divided by 100."""


class _Interval(NamedTuple):
    start: float
    stop: float
    file: RecordingFile


def simultaneous(files: Sequence[tuple[RecordingFile, float]]) -> list[str]:
    """Return a hint for each two recordings of different subjects, in no common group, that overlap in time.

    Times of a person who was recorded twice at one time are placeholders, and are not compared.

    Args:
        files: Recordings with their durations in seconds.
    """
    intervals = []
    for file, seconds in files:
        started = read_origin(file.path).started
        if started is not None and seconds and file.trials is None:
            intervals.append(_Interval(started, started + seconds, file))
    ordered = combinations(sorted(intervals, key=lambda each: each[:2]), 2)
    overlapping = [pair for pair in ordered if min(pair[0].stop, pair[1].stop) - pair[1].start > _LEAST_OVERLAP]
    untrue = {one.file.subject for one, other in overlapping if one.file.subject == other.file.subject}
    pairs = [
        (one.file, other.file)
        for one, other in overlapping
        if one.file.subject != other.file.subject and not {one.file.subject, other.file.subject} & untrue
        if not (one.file.group and one.file.group == other.file.group)
    ]
    subjects = {file.subject for file, _ in files}
    if len({file.subject for pair in pairs for file in pair}) > max(2, _MOST_SIMULTANEOUS * len(subjects)):
        most = f"{len(pairs)} pairs of recordings of different subjects overlap in time"
        return [f"{most}: if the times in the headers are true, state who was recorded together as `group`"]
    return [
        f"{one.name} and {other.name} overlap in time: were both recorded together? Then state `group`"
        for one, other in pairs
    ]


def wrong_rate(recording: Recording, line_freq_hz: float) -> str:
    """Return a hint if the strongest narrow peak of the spectrum is not at the line frequency; else empty."""
    peak = _strongest_peak(recording, line_freq_hz)
    if peak is None or abs(peak - line_freq_hz) <= _TOLERANCE_HZ:
        return ""
    rate = recording.sfreq * line_freq_hz / peak
    usual = min(_USUAL_RATES, key=lambda each: abs(each / rate - 1))
    rate = usual if abs(usual / rate - 1) < _RATE_TOLERANCE else rate
    return (
        f"the strongest narrow peak is at {peak:.1f} Hz, not at the line frequency of {line_freq_hz:g} Hz: is the "
        f"sampling rate {rate:.0f} Hz instead of {recording.sfreq:g} Hz, or is the line frequency wrong?"
    )


def small_amplitude(band_rms_uv: object) -> str:
    """Return a hint if amplitudes are those of EEG that was divided by 100; else empty."""
    if not isinstance(band_rms_uv, float) or not _SMALL_UV[0] <= band_rms_uv <= _SMALL_UV[1]:
        return ""
    return (
        f"an RMS of {band_rms_uv:.2f} µV is small for EEG: were amplitudes divided by 100? Then the unit is 100 µV, or "
        "unit_scale is 100"
    )


def _strongest_peak(recording: Recording, line_freq_hz: float) -> float | None:
    """Return the frequency of a narrow peak that stands out; None if there is none, or one of line noise."""
    from scipy.signal import welch

    samples = int(min(recording.seconds, _SECONDS) * recording.sfreq)
    length = recording.trial_samples or samples
    if samples < 8 * recording.sfreq or recording.sfreq < 4 * _LEAST_PEAK_HZ or length < 2 * recording.sfreq:
        return None
    try:
        data = recording.read(range(min(8, len(recording.channels))), 0, samples // length * length)
    except (ReadError, ReaderFailed, OSError):
        return None
    segment = int(4 * recording.sfreq)
    trials = data.reshape(len(data), -1, length)
    freqs, power = welch(trials, recording.sfreq, nperseg=min(segment, length), nfft=segment)
    spectrum = np.median(np.asarray(power, np.float64).mean(axis=1), axis=0)
    ratios = np.array(list(_ratios(spectrum)))
    ratios[(freqs < _LEAST_PEAK_HZ) | (freqs > 0.45 * recording.sfreq)] = 0.0
    harmonic = np.maximum(np.round(freqs / line_freq_hz), 1.0) * line_freq_hz
    at_line = np.abs(freqs - harmonic) <= _TOLERANCE_HZ
    if ratios.max() < _PEAK_RATIO or (at_line.any() and ratios[at_line].max() >= _PEAK_RATIO / 4):
        return None
    return float(freqs[int(ratios.argmax())])


def _ratios(spectrum: NDArray[np.float64]) -> Iterator[float]:
    """Yield the power of each frequency over the median of its neighbours, 1 to 4 Hz away."""
    for index, value in enumerate(spectrum):
        around = np.r_[spectrum[max(0, index - 16) : max(0, index - 4)], spectrum[index + 5 : index + 17]]
        yield float(value / max(float(np.median(around)), 1e-12)) if around.size else 0.0
