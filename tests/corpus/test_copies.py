"""Recordings of equal signal hash are copies only if their patches are equal."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labram.corpus.copies import distinguish
from labram.store.store import Store, to_patches

MONTAGE = ("C3", "CZ", "C4")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def eeg(seed: int, seconds: int = 5) -> np.ndarray:
    signal = np.cumsum(np.random.default_rng(seed).standard_normal((3, seconds * 200)), axis=1)
    return (signal - signal.mean(axis=1, keepdims=True)).astype(np.float32)


def write(store: Store, key: str, signal: np.ndarray, montage: tuple[str, ...] = MONTAGE) -> str:
    store.write(key, to_patches(signal), montage)
    return key


def hashes(store: Store, *keys: str) -> list[str]:
    rows = pd.DataFrame({"signal_hash": ["same"] * len(keys), "store_key": list(keys)})
    return list(distinguish(rows, store)["signal_hash"])


@pytest.mark.parametrize(
    "change",
    [
        lambda signal: signal,
        lambda signal: np.round(signal, 1),
        lambda signal: signal * np.float32(1e-2),
        lambda signal: np.where(np.arange(signal.shape[1]) < 20, 5_000, signal).astype(np.float32),
    ],
    ids=["bytes", "rounding", "unit", "artefact"],
)
def test_the_same_signal_keeps_its_hash(store: Store, change: Callable[[np.ndarray], np.ndarray]) -> None:
    one, other = write(store, "aa", eeg(0)), write(store, "bb", change(eeg(0)))
    assert hashes(store, one, other, one) == ["same"] * 3


def test_the_order_of_channels_does_not_matter(store: Store) -> None:
    one, other = write(store, "aa", eeg(0)), write(store, "bb", eeg(0)[[2, 1, 0]], ("C4", "CZ", "C3"))
    assert hashes(store, one, other) == ["same"] * 2


def test_other_signals_get_other_hashes_and_their_copies_the_same(store: Store) -> None:
    rail = np.arange(1000) < 20
    signals = [np.where(rail, 32_000, eeg(seed)).astype(np.float32) for seed in (1, 2, 3, 2)]
    found = hashes(store, *(write(store, f"k{number}", signal) for number, signal in enumerate(signals)))
    assert found[0] == "same"
    assert found[1] == found[3]
    assert len(set(found)) == 3


@pytest.mark.parametrize("other", [eeg(0)[:, :800], eeg(0) * np.array([[1], [0], [1]], np.float32)])
def test_a_shorter_or_partly_flat_signal_is_another(store: Store, other: np.ndarray) -> None:
    assert len(set(hashes(store, write(store, "aa", eeg(0)), write(store, "bb", other)))) == 2


def test_recordings_without_patches_or_hash_stay_as_they_are(store: Store) -> None:
    rows = pd.DataFrame({"signal_hash": ["", "same", "same"], "store_key": ["x", "", ""]})
    assert distinguish(rows, store)["signal_hash"].tolist() == ["", "same", "same"]
