"""Windows for self-supervised training: which ones make up a step is a function of (seed, step, catalogue).

Recordings of one montage whose windows have one length form a pool. A micro-batch comes from one pool, so its shape is
static and nothing is padded. Pools are drawn so that over a training every recording is visited in proportion to its
hours, and the micro-batches of one step are spread over the pools.

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
from labram.store.store import Store
from labram.training.data import seeds

GOLDEN = (5**0.5 - 1) / 2
"""Its multiples modulo 1 fill the unit interval evenly: a few dozen steps visit even a small pool as often as due."""
ALL = slice(None)
TRAINED_SHARE = 0.9
"""Share of each recording that is trained on where the rest has to serve as validation."""

Span = Literal["all", "beginning", "end"]
"""Part of each recording: all of it, or what lies before or after `TRAINED_SHARE` of it."""


@dataclass(frozen=True)
class WindowBatch:
    """Windows of one montage.

    Attributes:
        x: float32 [B, N, A, 200] in units of 100 µV.
        rows: Row of each channel in the model's spatial table, 1 to 128.
        montage: Canonical channel names.
        recording_ids: Where each of the B windows comes from.
        codes: Stored codes of all patches [B, N·A], if the windows are those of `labram.training.data.codes`.
    """

    x: NDArray[np.float32]
    rows: tuple[int, ...]
    montage: tuple[str, ...]
    recording_ids: tuple[str, ...]
    codes: NDArray[np.uint16] | None = None

    @property
    def weight(self) -> int:
        """Patches, by which the micro-batches of a step are weighted."""
        return int(np.prod(self.x.shape[:3]))


@dataclass(frozen=True)
class Pool:
    """Recordings of one montage that give windows of one length.

    Attributes:
        montage: Canonical channel names.
        seconds: Length A of the windows.
        windows: Windows B in a micro-batch.
        keys: Store key of each recording.
        recording_ids: Their names.
        first: First usable second of each.
        lengths: Usable seconds of each, at least A.
    """

    montage: tuple[str, ...]
    seconds: int
    windows: int
    keys: tuple[str, ...]
    recording_ids: tuple[str, ...]
    first: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @cached_property
    def weight(self) -> float:
        """How often it is due: its hours over the hours of one micro-batch."""
        return float(self.lengths.sum()) / (self.windows * self.seconds)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Rows of the channels in the model's spatial table."""
        return rows(self.montage)

    @cached_property
    def consecutive(self) -> NDArray[np.int64]:
        """Windows of each recording if one follows the other without a gap."""
        return self.lengths // self.seconds

    def codes_name(self, codes: str) -> str:
        """Under which the store keeps some codes of these windows."""
        return f"{codes}-{self.seconds}s"

    def draw(self, store: Store, random: np.random.Generator, shortest: int | None = None) -> WindowBatch:
        """A micro-batch: recordings in proportion to their length, windows beginning at any sample.

        Args:
            store: Where the patches are.
            random: Decides.
            shortest: Length from which on the length is drawn too; the micro-batch keeps its number of patches.
        """
        seconds = self.seconds
        if shortest is not None:
            seconds = int(random.integers(min(shortest, seconds), seconds + 1))
        chosen, _ = _drawn(self.lengths, self.windows * self.seconds // seconds, random)
        slack = (self.lengths[chosen] - seconds) * SAMPLE_RATE_HZ
        starts = self.first[chosen] * SAMPLE_RATE_HZ + random.integers(0, slack + 1)
        return self._read(store, chosen, starts, seconds)

    def draw_coded(self, store: Store, random: np.random.Generator, codes: str) -> WindowBatch:
        """A micro-batch of consecutive windows, from each recording's start, with their stored codes.

        Args:
            store: Where patches and codes are.
            random: Decides.
            codes: What their names in the store begin with, see `labram.training.data.codes`.
        """
        chosen, number = _drawn(self.consecutive, self.windows, random)
        batch = self._read(store, chosen, number * self.seconds * SAMPLE_RATE_HZ, self.seconds)
        name = self.codes_name(codes)
        found = [_codes(store, self.keys[index], name)[place] for index, place in zip(chosen, number, strict=True)]
        return replace(batch, codes=np.stack(found))

    def _read(self, store: Store, chosen: NDArray[np.int64], starts: NDArray[np.int64], seconds: int) -> WindowBatch:
        x_BNAT = np.empty((len(chosen), len(self.montage), seconds, SAMPLE_RATE_HZ), dtype=np.float32)
        for window, (recording, start) in enumerate(zip(chosen, starts, strict=True)):
            to_model_unit(store.read(self.keys[recording], int(start), seconds), out=x_BNAT[window])
        return WindowBatch(x_BNAT, self.rows, self.montage, tuple(self.recording_ids[index] for index in chosen))


@dataclass(frozen=True)
class WindowSampler:
    """Windows of the accepted recordings of one split.

    Attributes:
        store: Where the patches are.
        pools: See `Pool`.
        seed: Of the run.
        micro_batches: Micro-batches in a step.
        temperature: 1: every recording is visited in proportion to its hours; 0: every montage equally often.
        shortest: Seconds from which on lengths of windows are drawn; None: windows are as long as they can be.
        codes: Name of the stored codes that the windows bring; None: windows begin at any sample.
    """

    store: Store
    pools: tuple[Pool, ...]
    seed: int
    micro_batches: int
    temperature: float = 1.0
    shortest: int | None = None
    codes: str | None = None

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """Cumulative shares of the pools. The temperature acts between montages, not within one."""
        due: dict[tuple[str, ...], float] = {}
        for pool in self.pools:
            due[pool.montage] = due.get(pool.montage, 0.0) + pool.weight
        weights = np.array([pool.weight * due[pool.montage] ** (self.temperature - 1.0) for pool in self.pools])
        shares: NDArray[np.float64] = np.cumsum(weights) / weights.sum()
        return shares

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
        shortest: int | None = None,
        span: Span = "all",
    ) -> "WindowSampler":
        """A sampler over one split of a corpus.

        Args:
            corpus: Catalogue.
            store: Where the patches are.
            split: Whose recordings.
            seed: Of the run.
            patches: Patches in a micro-batch, at most, unless a single window has more.
            micro_batches: Micro-batches in a step.
            window_patches: Patches in a window, at most.
            window_seconds: Seconds in a window, at most; a shorter recording gives shorter windows.
            temperature: See the class.
            shortest: See the class.
            span: Which part of each recording.

        Raises:
            CorpusError: If the split has no recordings.
        """
        table = _usable(corpus.accepted(split), span)
        if table.empty:
            raise CorpusError(
                f"no accepted recording belongs to the {split} split",
                remedy="Add subjects, or lower the recipe's split.validation and split.test",
            )
        pools = tuple(_pools(table, patches, window_patches, window_seconds))
        return cls(store, pools, seed, micro_batches, temperature, shortest)

    def batch(self, step: int, share: slice = ALL) -> list[WindowBatch]:
        """The micro-batches of a step (counted from 0), or a share; the same whenever and wherever it is asked for."""
        return [self._draw(step, micro) for micro in range(self.micro_batches)[share]]

    def fixed(self, count: int) -> list[WindowBatch]:
        """Windows for validation: `count` micro-batches, or more if that is needed for one of every montage."""
        heaviest: dict[tuple[str, ...], Pool] = {}
        for pool in sorted(self.pools, key=lambda pool: pool.weight):
            heaviest[pool.montage] = pool
        chosen = sorted(heaviest.values(), key=lambda pool: pool.montage)
        chosen += [self._pool_at(step, 0) for step in range(count - len(chosen))]
        return [
            pool.draw(self.store, seeds.generator(self.seed, seeds.VALIDATION, index))
            for index, pool in enumerate(chosen)
        ]

    @property
    def montages(self) -> frozenset[tuple[str, ...]]:
        """All montages of the split."""
        return frozenset(pool.montage for pool in self.pools)

    def _draw(self, step: int, micro: int) -> WindowBatch:
        pool, random = self._pool_at(step, micro), seeds.generator(self.seed, seeds.WINDOWS, step, micro)
        if self.codes is not None:
            return pool.draw_coded(self.store, random, self.codes)
        return pool.draw(self.store, random, self.shortest)

    def _pool_at(self, step: int, micro: int) -> Pool:
        """Points spread evenly over the pools within a step, and over time."""
        offset = (self.seed + 1 + step) * GOLDEN % 1.0
        place = (micro + offset) / self.micro_batches
        return self.pools[int(np.searchsorted(self._shares, place, side="right").clip(max=len(self.pools) - 1))]


def _drawn(
    shares: NDArray[np.int64], count: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Members drawn in proportion to their shares, and which unit of its share each draw has hit."""
    cumulative = np.cumsum(shares)
    places = random.integers(0, cumulative[-1], count)
    chosen = np.searchsorted(cumulative, places, side="right")
    return chosen, places - (cumulative - shares)[chosen]


def _codes(store: Store, key: str, name: str) -> NDArray[np.uint16]:
    found = store.get_array(key, name)
    if found is None:
        raise StoreError(
            "the stored codes of a recording are gone", file=key, remedy="Start again: they are worked out anew"
        )
    return found


def catalogue_digest(corpus: Corpus) -> str:
    """Hash of all in a catalogue that training depends on: recordings, their patches, split, montages and labels."""
    columns = ["recording_id", "dataset", "subject_key", "store_key", "seconds", "split", "montage"]
    rows_of = corpus.accepted()[columns].sort_values("recording_id")
    labels = corpus.labels.sort_values(["recording_id", "task", "start"])
    text = rows_of.to_json(orient="values") + labels.to_json(orient="values")
    return hashlib.sha256(text.encode()).hexdigest()


def _usable(table: pd.DataFrame, span: Span) -> pd.DataFrame:
    """The catalogue's rows with `first` and `length`, in seconds, of the part that may be used."""
    cut = np.ceil(TRAINED_SHARE * table["seconds"].to_numpy()).astype(np.int64)
    first = cut if span == "end" else np.zeros_like(cut)
    last = cut if span == "beginning" else table["seconds"].to_numpy().astype(np.int64)
    usable = table.assign(first=first, length=last - first)
    return usable[usable["length"] > 0].sort_values("recording_id", ignore_index=True)


def _pools(table: pd.DataFrame, patches: int, window_patches: int, window_seconds: int) -> Iterable[Pool]:
    montages: Sequence[tuple[str, ...]] = [tuple(names) for names in table["montage"]]
    limits = np.array([max(1, min(window_seconds, window_patches // len(names))) for names in montages])
    seconds = np.minimum(limits, table["length"].to_numpy())
    members: dict[tuple[tuple[str, ...], int], list[int]] = {}
    for index, (montage, length) in enumerate(zip(montages, seconds, strict=True)):
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
        )
