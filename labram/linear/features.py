"""Features of windows for linear models: power, canonical correlations, covariances, embeddings; also within subjects.

Letters: n windows, C channels, K features.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import welch

from labram.errors import LabelError
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.periodic_features import canonical_correlations
from labram.linear.tangent_space import WHOLE, band_covariances, recentred_features, tangent_features
from labram.metrics import Array
from labram.recipe import AlignmentRecipe

Signals = npt.NDArray[np.float32]
Embed = Callable[[Signals, Sequence[str]], npt.NDArray[np.float32]]
"""Embeddings [n, K] of windows in µV at 200 Hz [n, C, samples] with C canonical channel names."""

BANDS: dict[str, tuple[float, float]] = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 70.0),
}
BINS_HZ = np.arange(1, 46)
TANGENT_BANDS: dict[str, tuple[tuple[float, float], ...]] = {
    "tangent": WHOLE,
    "tangent-bands": tuple(BANDS.values()),
}
FEATURES = {
    "bands": "log power in five bands",
    "bins": "log power in 1-Hz bins, 1-45 Hz",
    "fbcca": "filter-bank canonical correlations",
    "tangent": "Riemannian tangent space, 1-45 Hz",
    "tangent-bands": "Riemannian tangent space of five bands",
    "embedding": "LaBraM embeddings",
}
SMALLEST_PSD = 1e-6
"""Floor in µV²/Hz, far below amplifier noise, so that the logarithm of a flat channel is finite."""
RECENTRED = " recentred"
"""End of the name of a table of tangent vectors at the mean of each subject."""
CONSTANT = 1e-9
"""Standard deviation below which a feature is constant."""


@dataclass(frozen=True)
class WindowGroup:
    """Windows of one montage.

    Attributes:
        signals: The windows in any number of parts, each µV at 200 Hz [n, C, samples]; can be iterated repeatedly.
        channels: Canonical names [C].
        subjects: Subject of each window [n].
    """

    signals: Iterable[Signals]
    channels: tuple[str, ...]
    subjects: Sequence[str]


Aligned = Callable[[AlignmentRecipe], Sequence[WindowGroup]]
"""The same windows with any alignment."""


@dataclass(frozen=True)
class FeatureTables:
    """Features of the same windows, by name.

    Attributes:
        tables: One table [n, K] for each name of `FEATURES` that was measured.
        subjects: Subject of each window [n].
    """

    tables: dict[str, Array]
    subjects: npt.NDArray[np.object_]

    def table(self, name: str, *, within_subject: bool) -> Array:
        """Return a table as measured, or standardised (tangent vectors: recentred) over the windows of each subject."""
        if within_subject and (recentred := self.tables.get(name + RECENTRED)) is not None:
            return recentred
        return standardise_within(self.tables[name], self.subjects) if within_subject else self.tables[name]

    def rows(self, rows: npt.NDArray[np.int64]) -> "FeatureTables":
        """Return the features of some windows."""
        return FeatureTables({name: table[rows] for name, table in self.tables.items()}, self.subjects[rows])


def measure(
    groups: Sequence[WindowGroup],
    channels: Sequence[str],
    names: Collection[str],
    *,
    frequencies: Sequence[float] = (),
    embed: Embed | None = None,
) -> FeatureTables:
    """Measure features of all windows in one pass over their signals.

    Args:
        groups: Windows by montage, at least one window.
        channels: Channels to use.
        names: Features, of `FEATURES`.
        frequencies: Stimulation frequencies in Hz, for ``fbcca``.
        embed: For ``embedding``.

    Raises:
        LabelError: If a montage lacks a channel.
    """
    parts: dict[str, list[npt.NDArray[np.floating]]] = {name: [] for name in names}
    for group in groups:
        require_channels(group, channels)
        picks = [group.channels.index(name) for name in channels]
        for signals in group.signals:
            for name, table in _tables(signals[:, picks], channels, names, frequencies, embed):
                parts[name].append(table)
    subjects = np.concatenate([np.asarray(group.subjects, dtype=object) for group in groups])
    tables: dict[str, Array] = {}
    for name, measured in parts.items():
        joined = np.concatenate(measured)
        if name in TANGENT_BANDS:
            tables |= {name: tangent_features(joined), name + RECENTRED: recentred_features(joined, subjects)}
        else:
            tables[name] = joined.reshape(len(joined), -1).astype(np.float64)
    return FeatureTables(tables, subjects)


def _tables(
    signals: Signals,
    channels: Sequence[str],
    names: Collection[str],
    frequencies: Sequence[float],
    embed: Embed | None,
) -> Iterable[tuple[str, npt.NDArray[np.floating]]]:
    if {"bands", "bins"} & set(names):
        density = power_density(signals)
        yield from ((name, log_powers(density, name)) for name in ("bands", "bins") if name in names)
    for name in TANGENT_BANDS:
        if name in names:
            around = [(hz - 1.0, hz + 1.0) for hz in frequencies] if name == "tangent-bands" else []
            yield name, band_covariances(signals, [*TANGENT_BANDS[name], *around])
    if "fbcca" in names:
        yield "fbcca", canonical_correlations(signals, frequencies)
    if "embedding" in names:
        assert embed is not None, "a model"
        yield "embedding", embed(signals, channels)


def power_density(signals: Signals) -> npt.NDArray[np.float32]:
    """Return the power spectral density in µV²/Hz (Welch, 1-s Hann windows, half overlapping).

    Args:
        signals: µV at 200 Hz [n, C, samples], at least one second.

    Returns:
        [n, C, 101] at 0, 1, ... 100 Hz.
    """
    return np.asarray(welch(signals, fs=SAMPLE_RATE_HZ, nperseg=SAMPLE_RATE_HZ, axis=-1)[1], dtype=np.float32)


def log_powers(density: npt.NDArray[np.float32], features: str) -> Array:
    """Return log10 of the mean power density of each band or bin.

    Args:
        density: Power density [n, C, 101], see `power_density`.
        features: ``bands`` (`BANDS`) or ``bins`` (`BINS_HZ`).

    Returns:
        [n, C, 5] or [n, C, 45].
    """
    hz = np.arange(density.shape[-1])
    if features == "bins":
        powers = density[..., BINS_HZ]
    else:
        inside = [(low <= hz) & (hz < high) for low, high in BANDS.values()]
        powers = np.stack([density[..., band].mean(axis=-1) for band in inside], axis=-1)
    return np.log10(np.maximum(powers, SMALLEST_PSD)).astype(np.float64)


def band_powers(groups: Sequence[WindowGroup]) -> Array:
    """Return log10 band powers of windows [n, bands], each the mean over channels, in µV²/Hz."""
    parts = [log_powers(power_density(part), "bands").mean(axis=1) for group in groups for part in group.signals]
    return np.concatenate(parts)


def standardise_within(table: Array, subjects: npt.NDArray[np.object_]) -> Array:
    """Return features [n, K] as z-scores over the windows of each subject; a constant feature becomes 0."""
    standard = np.empty_like(table)
    for rows in pd.Series(range(len(table))).groupby(subjects).indices.values():
        deviations = table[rows] - table[rows].mean(axis=0)
        spread = deviations.std(axis=0)
        standard[rows] = deviations / np.where(spread < CONSTANT, 1.0, spread)
    return standard


def common_channels(groups: Sequence[WindowGroup]) -> tuple[str, ...]:
    """Return the channels that all montages share, in the order of the first.

    Raises:
        LabelError: If they share none.
    """
    if not groups:
        return ()
    shared = set(groups[0].channels).intersection(*(group.channels for group in groups))
    if not shared:
        raise LabelError(
            "no channel is common to all recordings of this task, as linear models require",
            remedy="Use recordings with a common channel for this task",
        )
    return tuple(name for name in groups[0].channels if name in shared)


def require_channels(group: WindowGroup, channels: Sequence[str]) -> None:
    """Raise a LabelError if a montage lacks a channel."""
    missing = [name for name in channels if name not in group.channels]
    if missing:
        raise LabelError(
            f"the model needs channels {', '.join(missing)}, which these recordings lack",
            field="channels",
            remedy="Use recordings with the montage of the training recordings",
        )
