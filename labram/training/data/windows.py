"""Windows for self-supervised training. The windows of a step are a function of seed, step and catalogue.

Recordings with the same montage and window length form a pool. A micro-batch comes from one pool, so it needs no
padding. Seconds that the quality check excluded are in no window, and channels that it found bad are interpolated
(`labram.corpus.window_quality`): a recording with excluded seconds, or of trials, has several segments. Pools are
sampled so that every recording is visited in proportion to its duration, and the micro-batches of one step are spread
over the pools.

Shape letters: B windows, N channels, A seconds, T = 200 samples.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labram.corpus.catalogue import Corpus, Split
from labram.errors import CorpusError, StoreError
from labram.input_spec import SAMPLE_RATE_HZ, to_model_unit
from labram.signals.electrodes import rows
from labram.signals.interpolation import interpolate
from labram.store.store import Store
from labram.training.data import seeds

GOLDEN = (5**0.5 - 1) / 2
"""Golden ratio; its multiples modulo 1 are a low-discrepancy sequence, so that small pools are visited evenly."""
ALL = slice(None)
TRAINING_FRACTION = 0.9
"""Fraction of each recording for training if the rest is used for validation."""

Span = Literal["all", "beginning", "end"]
"""Part of each recording: all of it, or the part before or after `TRAINING_FRACTION`."""


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one montage.

    Attributes:
        x: float32 [B, N, A, 200] in units of 100 µV.
        rows: Row of each channel in the model's spatial table, 1 to 128.
        montage: Canonical channel names.
        recording_ids: Recording of each window [B].
        codes: Stored codes of all patches [B, N·A], see `labram.training.data.codes`; None: not stored.
    """

    x: NDArray[np.float32]
    rows: tuple[int, ...]
    montage: tuple[str, ...]
    recording_ids: tuple[str, ...]
    codes: NDArray[np.uint16] | None = None

    @property
    def weight(self) -> int:
        """Number of patches: the weight of this micro-batch in its step."""
        return int(np.prod(self.x.shape[:3]))


@dataclass(frozen=True)
class Pool:
    """Recordings with the same montage and window length.

    Attributes:
        montage: Canonical channel names.
        seconds: Length A of the windows.
        windows: Number of windows B in a micro-batch.
        keys: Store key of each segment's recording.
        recording_ids: ID of each segment's recording.
        first: First second of each segment.
        lengths: Seconds of each segment, at least A.
        interpolated: Names of the channels to interpolate in each segment.
    """

    montage: tuple[str, ...]
    seconds: int
    windows: int
    keys: tuple[str, ...]
    recording_ids: tuple[str, ...]
    first: NDArray[np.int64]
    lengths: NDArray[np.int64]
    interpolated: tuple[tuple[str, ...], ...]

    @cached_property
    def weight(self) -> float:
        """Sampling weight: usable duration divided by the duration of one micro-batch."""
        return float(self.lengths.sum()) / (self.windows * self.seconds)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Row of each channel in the model's spatial table, 1 to 128."""
        return rows(self.montage)

    @cached_property
    def consecutive(self) -> NDArray[np.int64]:
        """Number of consecutive, non-overlapping windows of each segment."""
        return self.lengths // self.seconds

    def codes_name(self, codes: str, index: int) -> str:
        """Return the name under which the store has the codes of the consecutive windows of a segment."""
        name, first, interpolated = f"{codes}-{self.seconds}s", int(self.first[index]), self.interpolated[index]
        if not first and not interpolated:
            return name
        return f"{name}-{hashlib.sha256(f'{first} {interpolated}'.encode()).hexdigest()[:16]}"

    def consecutive_windows(self, store: Store, index: int, numbers: Sequence[int] | range) -> NDArray[np.float32]:
        """Read consecutive windows of one segment by number, float32 [B, N, A, 200] in units of 100 µV."""
        starts = (int(self.first[index]) + np.asarray(numbers, np.int64) * self.seconds) * SAMPLE_RATE_HZ
        return self._read(store, np.full(len(starts), index), starts, self.seconds).x

    def draw(self, store: Store, random: np.random.Generator, min_seconds: int | None = None) -> WindowBatch:
        """Draw a micro-batch: recordings in proportion to their duration, windows that start at any sample.

        Args:
            store: Patch store.
            random: Random generator.
            min_seconds: Minimum of the drawn window length, at an equal number of patches; None: the longest windows.
        """
        seconds = self.seconds
        if min_seconds is not None:
            seconds = int(random.integers(min(min_seconds, seconds), seconds + 1))
        recordings, _ = _draw(self.lengths, self.windows * self.seconds // seconds, random)
        slack = (self.lengths[recordings] - seconds) * SAMPLE_RATE_HZ
        starts = self.first[recordings] * SAMPLE_RATE_HZ + random.integers(0, slack + 1)
        return self._read(store, recordings, starts, seconds)

    def draw_coded(self, store: Store, random: np.random.Generator, codes: str) -> WindowBatch:
        """Draw a micro-batch of consecutive windows, counted from each segment's start, with their stored codes.

        Args:
            store: Store with patches and codes.
            random: Random generator.
            codes: Prefix of the codes' name in the store, see `labram.training.data.codes`.
        """
        recordings, number = _draw(self.consecutive, self.windows, random)
        starts = (self.first[recordings] + number * self.seconds) * SAMPLE_RATE_HZ
        batch = self._read(store, recordings, starts, self.seconds)
        codes_BL = [
            _codes(store, self.keys[index], self.codes_name(codes, index))[row]
            for index, row in zip(recordings.tolist(), number, strict=True)
        ]
        return replace(batch, codes=np.stack(codes_BL))

    def _read(
        self, store: Store, recordings: NDArray[np.int64], starts: NDArray[np.int64], seconds: int
    ) -> WindowBatch:
        x_BNAT = np.empty((len(recordings), len(self.montage), seconds, SAMPLE_RATE_HZ), dtype=np.float32)
        for window, (recording, start) in enumerate(zip(recordings, starts, strict=True)):
            signals_NAT = store.read(self.keys[recording], int(start), seconds)
            interpolate(signals_NAT, self.montage, self.interpolated[recording])
            to_model_unit(signals_NAT, out=x_BNAT[window])
        return WindowBatch(x_BNAT, self.rows, self.montage, tuple(self.recording_ids[index] for index in recordings))


@dataclass(frozen=True)
class WindowSampler:
    """Sampler of windows from the accepted recordings of one split.

    Attributes:
        store: Patch store.
        pools: Pools of recordings.
        seed: Random seed.
        micro_batches: Micro-batches in a step.
        temperature: 1: recordings are visited in proportion to their duration; 0: montages are visited equally often.
        min_seconds: Minimum of the drawn window lengths, in seconds; None: windows are as long as possible.
        codes: Name of the stored codes to load; None: windows start at any sample.
        excluded: Number of consecutive windows lost to excluded seconds.
    """

    store: Store
    pools: tuple[Pool, ...]
    seed: int
    micro_batches: int
    temperature: float = 1.0
    min_seconds: int | None = None
    codes: str | None = None
    excluded: int = 0

    @cached_property
    def _cumulative(self) -> NDArray[np.float64]:
        """Cumulative probabilities of the pools. The temperature acts between montages, not within one."""
        montage_weights: dict[tuple[str, ...], float] = {}
        for pool in self.pools:
            montage_weights[pool.montage] = montage_weights.get(pool.montage, 0.0) + pool.weight
        weights = np.array(
            [pool.weight * montage_weights[pool.montage] ** (self.temperature - 1.0) for pool in self.pools]
        )
        cumulative: NDArray[np.float64] = np.cumsum(weights) / weights.sum()
        return cumulative

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        store: Store,
        *,
        split: Split,
        seed: int,
        patches: int,
        micro_batches: int,
        window_patches: int,
        window_seconds: int,
        temperature: float = 1.0,
        min_seconds: int | None = None,
        span: Span = "all",
    ) -> "WindowSampler":
        """Create a sampler for one split of a corpus.

        Args:
            corpus: Catalogue.
            store: Patch store.
            split: Split of the recordings.
            seed: Random seed.
            patches: Maximum of patches in a micro-batch, unless a single window has more.
            micro_batches: Micro-batches in a step.
            window_patches: Maximum of patches in a window.
            window_seconds: Maximum of seconds in a window; a shorter recording has shorter windows.
            temperature: See `WindowSampler`.
            min_seconds: See `WindowSampler`.
            span: Part of each recording.

        Raises:
            CorpusError: If the split has no recordings.
        """
        accepted = corpus.accepted(split)
        table = _usable(accepted, span)
        if table.empty:
            raise CorpusError(
                f"no accepted recording belongs to the {split} split",
                remedy="Add subjects, or lower the recipe's split.validation and split.test",
            )
        pools = tuple(_pools(table, patches, window_patches, window_seconds))
        whole = _usable(accepted.assign(excluded_seconds=None), span)
        possible = _count_windows(_pools(whole, patches, window_patches, window_seconds))
        excluded = possible - _count_windows(pools)
        return cls(store, pools, seed, micro_batches, temperature, min_seconds, excluded=excluded)

    def batch(self, step: int, share: slice = ALL) -> list[WindowBatch]:
        """Return the micro-batches of a step, counted from 0, or a slice of them. A function of the arguments only."""
        return [self._draw(step, micro) for micro in range(self.micro_batches)[share]]

    def fixed(self, count: int) -> list[WindowBatch]:
        """Return `count` fixed micro-batches for validation, or more if needed to include every montage."""
        largest: dict[tuple[str, ...], Pool] = {}
        for pool in sorted(self.pools, key=lambda pool: pool.weight):
            largest[pool.montage] = pool
        pools = sorted(largest.values(), key=lambda pool: pool.montage)
        pools += [self._pool_at(step, 0) for step in range(count - len(pools))]
        return [
            pool.draw(self.store, seeds.generator(self.seed, seeds.VALIDATION, index))
            for index, pool in enumerate(pools)
        ]

    @property
    def montages(self) -> frozenset[tuple[str, ...]]:
        """All montages of the split."""
        return frozenset(pool.montage for pool in self.pools)

    def _draw(self, step: int, micro: int) -> WindowBatch:
        pool, random = self._pool_at(step, micro), seeds.generator(self.seed, seeds.WINDOWS, step, micro)
        if self.codes is not None:
            return pool.draw_coded(self.store, random, self.codes)
        return pool.draw(self.store, random, self.min_seconds)

    def _pool_at(self, step: int, micro: int) -> Pool:
        """Return the pool of a micro-batch; pools are spread evenly within a step and over steps."""
        offset = (self.seed + 1 + step) * GOLDEN % 1.0
        point = (micro + offset) / self.micro_batches
        return self.pools[int(np.searchsorted(self._cumulative, point, side="right").clip(max=len(self.pools) - 1))]


def _count_windows(pools: Iterable[Pool]) -> int:
    return sum(int(pool.consecutive.sum()) for pool in pools)


def _draw(
    lengths: NDArray[np.int64], count: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw members in proportion to their lengths; return their indices, and the drawn position within each."""
    cumulative = np.cumsum(lengths)
    positions = random.integers(0, cumulative[-1], count)
    members = np.searchsorted(cumulative, positions, side="right")
    return members, positions - (cumulative - lengths)[members]


def _codes(store: Store, key: str, name: str) -> NDArray[np.uint16]:
    codes = store.get_array(key, name)
    if codes is None:
        raise StoreError(
            "the stored codes of a recording are missing",
            file=key,
            remedy="Run the training again: it computes them",
        )
    return codes


def catalogue_digest(corpus: Corpus) -> str:
    """Return a hash of everything in a catalogue that training depends on: patches, split, montages and labels."""
    columns = ["recording_id", "dataset", "subject_key", "store_key", "seconds", "split", "montage"]
    columns += ["interpolated_channels", "excluded_seconds"]
    columns += [name for name in ("trial_seconds", "folds") if corpus.accepted()[name].notna().any()]
    rows_of = corpus.accepted()[columns].sort_values("recording_id")
    labels = corpus.labels.sort_values(["recording_id", "task", "start"])
    text = rows_of.to_json(orient="values") + labels.to_json(orient="values")
    return hashlib.sha256(text.encode()).hexdigest()


def _usable(table: pd.DataFrame, span: Span) -> pd.DataFrame:
    """Return one row of the catalogue per segment, with its `first` second and `length`.

    A segment has no excluded seconds and is in one trial.
    """
    cut = np.ceil(TRAINING_FRACTION * table["seconds"].to_numpy()).astype(np.int64)
    first = cut if span == "end" else np.zeros_like(cut)
    last = cut if span == "beginning" else table["seconds"].to_numpy().astype(np.int64)
    excluded = table["excluded_seconds"]
    segments = [
        (row, *segment)
        for row, each in enumerate(zip(first.tolist(), last.tolist(), excluded, table["trial_seconds"], strict=True))
        for part in _trials(*each[:2], each[3])
        for segment in _segments(*part, each[2])
    ]
    rows_S, first_S, length_S = np.array(segments, np.int64).reshape(-1, 3).T
    usable = table.iloc[rows_S].assign(first=first_S, length=length_S)
    return usable.sort_values(["recording_id", "first"], ignore_index=True)


def _trials(first: int, last: int, trial_seconds: float | None) -> Iterable[tuple[int, int]]:
    """Yield first and last second of the part of each trial between two seconds; of a continuous recording, both."""
    if not trial_seconds or pd.isna(trial_seconds):
        yield first, last
        return
    length = int(trial_seconds)
    for start in range(first - first % length, last, length):
        yield max(first, start), min(last, start + length)


def _segments(first: int, last: int, excluded: Sequence[int] | None) -> Iterable[tuple[int, int]]:
    """Yield first second and length of the parts of a recording between excluded seconds."""
    for second in [*(each for each in excluded or () if first <= each < last), last]:
        if second > first:
            yield first, second - first
        first = second + 1


def _pools(table: pd.DataFrame, patches: int, window_patches: int, window_seconds: int) -> Iterable[Pool]:
    montages: Sequence[tuple[str, ...]] = [tuple(names) for names in table["montage"]]
    limits = np.array([max(1, min(window_seconds, window_patches // len(names))) for names in montages])
    longest = table.groupby("recording_id")["length"].transform("max").to_numpy()
    seconds = np.minimum(limits, longest)  # one window length per recording: shorter segments are left out
    members: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for index, (montage, length, available) in enumerate(zip(montages, seconds, table["length"], strict=True)):
        if available < length:
            continue
        members.setdefault((montage, int(length)), []).append(index)
    for (montage, length), indices in sorted(members.items()):
        part = table.iloc[indices]
        yield Pool(
            montage=montage,
            seconds=length,
            windows=max(1, patches // (len(montage) * length)),
            keys=tuple(part["store_key"]),
            recording_ids=tuple(part["recording_id"]),
            first=part["first"].to_numpy(),
            lengths=part["length"].to_numpy(),
            interpolated=tuple(tuple(names or ()) for names in part["interpolated_channels"]),
        )
