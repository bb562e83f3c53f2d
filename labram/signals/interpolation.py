"""Interpolation of bad channels from the good ones: spherical splines (Perrin et al. 1989), as MNE computes them.

Shape letters: C channels, G good channels, B bad channels.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_POSITIONS = "colin27_1005"
"""MNE's name of the 10-05 positions on its template head."""
_LEAST_POSITIONS = 8
"""With fewer good channels of known position, a bad channel becomes their mean."""
_CENTRE_M = (0.0, 0.0, 0.04)
"""Centre of the head in MNE's standard montage."""


class _Plan(NamedTuple):
    """Indices of the bad and the good channels, and the weights [B, G]."""

    bad: NDArray[np.int64]
    good: NDArray[np.int64]
    weights: NDArray[np.float32]


def interpolate(signals: NDArray[np.float32], montage: Sequence[str], bad: Sequence[str]) -> NDArray[np.float32]:
    """Replace bad channels by their interpolation from the others, in place.

    Args:
        signals: float32 [C, ...], any unit.
        montage: C canonical channel names.
        bad: Names of the bad channels; at least one channel must be good.

    Returns:
        `signals`.
    """
    if bad:
        plan = _plan(tuple(montage), frozenset(bad))
        signals[plan.bad] = np.tensordot(plan.weights, signals[plan.good], axes=1)
    return signals


@lru_cache(maxsize=4096)
def _plan(montage: tuple[str, ...], bad: frozenset[str]) -> _Plan:
    is_bad = np.array([name in bad for name in montage])
    assert not is_bad.all(), "a good channel"
    good = np.flatnonzero(~is_bad)
    weights = np.full((int(is_bad.sum()), len(good)), 1 / len(good))
    names = {name.upper(): name for name in _standard_montage()}
    placed = [index for index, name in enumerate(montage) if name.upper() in names]
    positioned = np.isin(good, placed)
    if positioned.sum() >= _LEAST_POSITIONS:
        splines = _splines([names[montage[index].upper()] for index in placed], is_bad[placed])
        for row, index in enumerate(np.flatnonzero(is_bad)):
            if index in placed:
                weights[row] = 0.0
                weights[row, positioned] = splines[placed.index(int(index))]
    return _Plan(np.flatnonzero(is_bad), good, weights.astype(np.float32))


def _splines(names: list[str], bad: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the matrix [all, good] by which MNE interpolates: what it makes of each good channel's unit signal."""
    import mne

    info = mne.create_info(names, sfreq=1.0, ch_types="eeg")
    signals = np.zeros((len(names), int((~bad).sum())))
    signals[~bad] = np.eye(len(signals[0]))
    raw = mne.io.RawArray(signals, info, verbose="error")
    raw.set_montage(_POSITIONS, on_missing="raise", verbose="error")
    raw.info["bads"] = [name for name, is_bad in zip(names, bad, strict=True) if is_bad]
    raw.interpolate_bads(origin=_CENTRE_M, method={"eeg": "spline"}, verbose="error")
    return np.asarray(raw.get_data())


@lru_cache(maxsize=1)
def _standard_montage() -> tuple[str, ...]:
    import mne

    return tuple(mne.channels.make_standard_montage(_POSITIONS).ch_names)
