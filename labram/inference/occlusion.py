"""Explanation of predictions by occlusion: what changes without an electrode, a frequency band or a second.

An electrode is replaced by the interpolation of the others, a band is removed from all channels, a second is set to
zero. The effect is the change of the score of a class, so that it is in the model's own unit. Two checks tell whether
an explanation is about what the model learnt (Adebayo et al. 2018, NeurIPS, "Sanity checks for saliency maps").

Letters: n windows, C channels, F occlusions, K values of an embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from labram.inference.signal_checks import Signals
from labram.input_spec import SAMPLE_RATE_HZ
from labram.linear.features import BANDS, CONSTANT
from labram.metrics import Array, Ids
from labram.signals.interpolation import interpolate

Kind = Literal["electrode", "band", "second", "electrode band"]
Score = Callable[[Signals], Array]
"""Score [n] of the explained class for windows [n, C, samples] in µV at 200 Hz."""
Embed = Callable[[Signals], npt.NDArray[np.float32]]
LEVEL = 0.95
PERMUTATIONS = 200
SMALLEST_SAMPLE = 8
"""Fewest windows whose labels can be permuted."""
_DRAWS = 1000
_PENALTY = 0.1
_SMALLEST_DIFFERENCE = 1e-9
_KINDS = 3
"""Kinds that are tested at once; bands of electrodes are tested only in clear electrodes."""
_MOST_ELECTRODES = 3
"""Clear electrodes whose bands are hidden one by one."""


class Occlusion(NamedTuple):
    """What is hidden: the kind, and the electrode, band, second (counted from 0), or band of an electrode."""

    kind: Kind
    name: str


class Effect(NamedTuple):
    """Effect of one occlusion.

    Attributes:
        occlusion: What was hidden.
        mean: Mean over windows of the score with it minus the score without it: above zero: evidence for the class.
        low: Lower end of the 95 % interval, from a bootstrap over windows.
        high: Upper end.
        share: Share of the difference between the windows of high and of low scores that is lost without it.
        clear: Whether the lower end of the share's 95 % interval exceeds the largest share of its kind in most probes
            of permuted labels.
    """

    occlusion: Occlusion
    mean: float
    low: float
    high: float
    share: float
    clear: bool


@dataclass(frozen=True)
class Explanation:
    """Effects of all occlusions, and the sanity checks.

    Attributes:
        effects: One per occlusion.
        windows: Number of windows.
        random_weights: Rank correlation of the effects' sizes with those of a model of random weights: near 1, the
            explanation is about the signal, not about what was learnt. None where it is undefined.
        permuted: Mean rank correlation of the shares with those of probes of permuted labels, likewise; None with fewer
            than `SMALLEST_SAMPLE` windows: then no effect is called clear.
    """

    effects: tuple[Effect, ...]
    windows: int
    random_weights: float | None
    permuted: float | None

    @property
    def found(self) -> bool:
        """Whether there is a clear effect."""
        return any(effect.clear for effect in self.effects)


def occlusions(channels: Sequence[str], seconds: int) -> list[Occlusion]:
    """Return all occlusions of windows: each electrode, band and second."""
    return [
        *(Occlusion("electrode", name) for name in (channels if len(channels) > 1 else ())),
        *(Occlusion("band", name) for name in BANDS),
        *(Occlusion("second", str(second)) for second in (range(seconds) if seconds > 1 else ())),
    ]


def occlude(signals: Signals, channels: Sequence[str], occlusion: Occlusion) -> Signals:
    """Return windows [n, C, samples] without what is hidden."""
    if occlusion.kind == "electrode":
        by_channel = np.ascontiguousarray(signals.swapaxes(0, 1))
        return np.ascontiguousarray(interpolate(by_channel, channels, [occlusion.name]).swapaxes(0, 1))
    if occlusion.kind == "second":
        hidden = signals.copy()
        start = int(occlusion.name) * SAMPLE_RATE_HZ
        hidden[..., start : start + SAMPLE_RATE_HZ] = 0.0
        return hidden
    if occlusion.kind == "electrode band":
        electrode, band = occlusion.name.split(" ")
        row = list(channels).index(electrode)
        hidden = signals.copy()
        hidden[:, row : row + 1] = occlude(signals[:, row : row + 1], [electrode], Occlusion("band", band))
        return hidden
    low, high = BANDS[occlusion.name]
    spectrum = np.fft.rfft(signals, axis=-1)
    hz = np.fft.rfftfreq(signals.shape[-1], 1 / SAMPLE_RATE_HZ)
    spectrum[..., (low <= hz) & (hz < high)] = 0.0
    return np.fft.irfft(spectrum, n=signals.shape[-1], axis=-1).astype(np.float32)


def explain(
    signals: Signals, channels: Sequence[str], score: Score, *, random: Score, embed: Embed, seed: int = 0
) -> Explanation:
    """Explain the scores of windows.

    Args:
        signals: µV at 200 Hz [n, C, samples], whole seconds.
        channels: Canonical names [C].
        score: Score of the model.
        random: Score of a model of random weights.
        embed: Embeddings [n, K] of the model, for probes of permuted labels.
        seed: Seed of bootstrap and permutations.
    """
    measured = _Measured(signals, channels, score, random, embed, seed)
    measured.add(occlusions(channels, signals.shape[-1] // SAMPLE_RATE_HZ))
    electrodes = [effect for effect in measured.effects() if effect.clear and effect.occlusion.kind == "electrode"]
    largest = sorted(electrodes, key=lambda effect: -effect.share)[:_MOST_ELECTRODES]
    measured.add([Occlusion("electrode band", f"{each.occlusion.name} {band}") for each in largest for band in BANDS])
    return Explanation(tuple(measured.effects()), len(signals), *measured.checks())


class _Measured:
    """Scores and embeddings of windows without what is hidden, and shares of probes of permuted labels."""

    def __init__(
        self, signals: Signals, channels: Sequence[str], score: Score, random: Score, embed: Embed, seed: int
    ) -> None:
        self._signals, self._channels, self._seed = signals, channels, seed
        self._score, self._random, self._embed = score, random, embed
        self._whole, self._whole_random = score(signals), random(signals)
        vectors = embed(signals).astype(np.float64)
        self._probe = _Ridge(vectors, _permuted_labels(len(vectors), seed)) if len(vectors) >= SMALLEST_SAMPLE else None
        self._probed = None if self._probe is None else self._probe.scores(vectors)
        self._hidden: list[Occlusion] = []
        self._changes: list[Array] = []
        self._sizes: list[float] = []
        self._null: list[Array] = []

    def add(self, hidden: Sequence[Occlusion]) -> None:
        """Measure what changes without each of `hidden`."""
        for occlusion in hidden:
            without = occlude(self._signals, self._channels, occlusion)
            self._hidden.append(occlusion)
            self._changes.append(self._whole - self._score(without))
            self._sizes.append(abs(float((self._whole_random - self._random(without)).mean())))
            if self._probe is not None and self._probed is not None:
                scores = self._probe.scores(self._embed(without).astype(np.float64))
                self._null.append(_share(self._probed, self._probed - scores))

    def effects(self) -> list[Effect]:
        """Return the effects of all that was hidden."""
        changes = np.stack(self._changes)
        count = changes.shape[1]
        draws = np.random.default_rng(self._seed).integers(count, size=(_DRAWS, count))
        bounds = np.quantile(changes[:, draws].mean(axis=2), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
        least = np.quantile(_drawn_shares(self._whole, changes, draws), (1 - LEVEL) / 2, axis=1)
        clear = [share > self._limit(occlusion.kind) for occlusion, share in zip(self._hidden, least, strict=True)]
        means, shares = changes.mean(axis=1), self._shares()
        return [
            Effect(hidden, float(mean), float(low), float(high), float(share), bool(is_clear))
            for hidden, mean, low, high, share, is_clear in zip(
                self._hidden, means, *bounds, shares, clear, strict=True
            )
        ]

    def checks(self) -> tuple[float | None, float | None]:
        """Return the rank correlations with random weights and with permuted labels."""
        sizes = np.abs(np.stack(self._changes).mean(axis=1))
        similar = [_rank_correlation(self._shares(), each) for each in np.array(self._null).T]
        known = [value for value in similar if value is not None]
        return _rank_correlation(sizes, np.array(self._sizes)), float(np.mean(known)) if known else None

    def _shares(self) -> Array:
        return np.array([_share(self._whole, change) for change in self._changes])

    def _limit(self, kind: Kind) -> float:
        """Return a quantile of the largest share of a kind over the permutations, for all kinds together at `LEVEL`."""
        null = [each for occlusion, each in zip(self._hidden, self._null, strict=False) if occlusion.kind == kind]
        return float(np.quantile(np.max(null, axis=0), 1 - (1 - LEVEL) / _KINDS)) if null else np.inf


def _share(scores: Array, changes: Array) -> Array:
    """Return the share of the difference between high and low scores [n, ...] that changes [n, ...] take away."""
    high = np.argsort(np.argsort(scores, axis=0), axis=0) >= len(scores) // 2

    def difference(values: Array) -> Array:
        return np.asarray(
            (values * high).sum(axis=0) / high.sum(axis=0) - (values * ~high).sum(axis=0) / (~high).sum(axis=0)
        )

    whole = difference(scores)
    safe = np.where(np.abs(whole) > _SMALLEST_DIFFERENCE, whole, 1.0)
    return np.asarray(np.where(np.abs(whole) > _SMALLEST_DIFFERENCE, difference(changes) / safe, 0.0))


def _drawn_shares(scores: Array, changes: Array, draws: Ids) -> Array:
    """Return the share of each of the changes [F, n] for each draw of windows [R, n]: [F, R]."""
    high = np.argsort(np.argsort(scores)) >= len(scores) // 2
    weights = np.stack([np.bincount(draw, minlength=len(scores)) for draw in draws], axis=1).astype(np.float64)
    above, below = weights * high[:, None], weights * ~high[:, None]
    above, below = above / np.maximum(above.sum(axis=0), 1), below / np.maximum(below.sum(axis=0), 1)
    whole = scores @ (above - below)
    return np.asarray(changes @ (above - below) / np.where(whole > _SMALLEST_DIFFERENCE, whole, np.inf))


class _Ridge:
    """Ridge regressions of embeddings [n, K] on many columns of labels [n, P]."""

    def __init__(self, vectors: Array, labels: Array) -> None:
        self._mean, self._scale = vectors.mean(axis=0), np.maximum(vectors.std(axis=0), CONSTANT)
        table = (vectors - self._mean) / self._scale
        kernel = table @ table.T + _PENALTY * len(table) * np.eye(len(table))
        self._weights = table.T @ np.linalg.solve(kernel, labels - labels.mean(axis=0))

    def scores(self, vectors: Array) -> Array:
        """Return scores [n, P]."""
        return np.asarray((vectors - self._mean) / self._scale @ self._weights)


def _permuted_labels(windows: int, seed: int) -> Array:
    """Return balanced labels that have nothing to do with the signals [n, permutations]."""
    random = np.random.default_rng(seed)
    balanced = np.arange(windows) % 2
    return np.stack([random.permutation(balanced) for _ in range(PERMUTATIONS)], axis=1).astype(np.float64)


def _rank_correlation(sizes: Array, others: Array) -> float | None:
    if len(sizes) < 3 or np.ptp(sizes) == 0 or np.ptp(others) == 0:
        return None
    return float(pd.Series(sizes).corr(pd.Series(others), method="spearman"))
