"""Copies of recordings: whether those with equal signal hash have equal patches.

Shape letters: C channels, S seconds; a patch has 200 samples.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labram.store.store import Store

_SECONDS = 60
"""Seconds that are compared, spread over the recording."""
_MAX_DIFFERENCE = 0.1
"""Largest median difference of two copies, in units of the signal's median absolute deviation, in every channel."""


def distinguish(rows: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Return a catalogue in which equal `signal_hash` means equal patches.

    Of recordings with equal hash and different patches, all but the first, and its copies, get another hash.

    Raises:
        StoreError: If an entry is absent or damaged.
    """
    hashes = rows["signal_hash"].copy()
    hashed = rows[(hashes.fillna("") != "") & (rows["store_key"].fillna("") != "")]
    for value, group in hashed.groupby("signal_hash"):
        keys = sorted(set(group["store_key"]))
        for number, cluster in enumerate(_clusters(keys, store) if len(keys) > 1 else ()):
            if number:
                other = hashlib.sha256(f"{value} {cluster[0]}".encode()).hexdigest()
                hashes[group.index[group["store_key"].isin(cluster)]] = other
    return rows.assign(signal_hash=hashes)


def _clusters(keys: Iterable[str], store: Store) -> list[list[str]]:
    """Return entries with equal patches together; each is compared with the first of every cluster."""
    clusters: list[list[str]] = []
    for key in keys:
        known = next((cluster for cluster in clusters if same_patches(store, cluster[0], key)), None)
        if known is None:
            clusters.append([key])
        else:
            known.append(key)
    return clusters


def same_patches(store: Store, one: str, other: str) -> bool:
    """Return whether two entries hold the same signal, apart from rounding, unit and the order of channels.

    Raises:
        StoreError: If an entry is absent or damaged.
    """
    if sorted(store.montage(one)) != sorted(store.montage(other)) or store.seconds(one) != store.seconds(other):
        return False
    first, second = _sampled(store, one), _sampled(store, other)
    spread, other_spread = (np.median(np.abs(values), axis=1) for values in (first, second))
    live = (spread > 0) & (other_spread > 0)
    if not live.any() or ((spread > 0) != (other_spread > 0)).any():
        return bool(np.array_equal(first, second))
    ratio = np.median(spread[live] / other_spread[live])
    difference = np.median(np.abs(first - ratio * second), axis=1)
    return bool((difference[live] <= _MAX_DIFFERENCE * spread[live]).all())


def _sampled(store: Store, key: str) -> NDArray[np.float64]:
    """Return seconds that are spread over an entry, [C, samples] without medians, channels in the order of names."""
    patches, montage = store.patches(key), store.montage(key)
    seconds = np.unique(np.linspace(0, len(patches) - 1, _SECONDS).round().astype(int))
    values = patches[seconds][:, np.argsort(montage)].astype(np.float64)
    signal = values.transpose(1, 0, 2).reshape(len(montage), -1)
    return np.asarray(signal - np.median(signal, axis=1, keepdims=True))
