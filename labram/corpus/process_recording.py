"""One recording through reading, filters and metrics: its patches go to the store, the rest to the catalogue."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.corpus.catalogue import ACCEPTED, QUARANTINED
from labram.corpus.pseudonyms import withhold_unknown_events
from labram.corpus.scan import Item
from labram.corpus.signal_metrics import SignalMetrics
from labram.datasets.base import LabelSpan
from labram.errors import LabelError, ReadError, Reason
from labram.recipe import PreprocessingRecipe
from labram.signals.electrodes import canonical_names
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording, Samples
from labram.store.store import Store, to_patches

_SECONDS_AT_ONCE = 60


def process_recording(
    item: Item,
    store: Store,
    key: str,
    preprocessing: PreprocessingRecipe,
    *,
    confirm: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Row and labels of a recording, from its signals.

    Args:
        item: The recording.
        store: Gets the patches, unless it has them.
        key: Their key, from all that they depend on.
        preprocessing: Filters.
        confirm: Called before the patches are kept; they are not if it raises.

    Returns:
        ``row``, the columns of the catalogue that need the signals, and ``labels``, rows without `recording_id`.

    Raises:
        StoreError: If the store cannot be written.
    """
    try:
        recording = withhold_unknown_events(item.dataset.read(item.source), item.dataset.event_codes)
        picks, montage = _montage(recording)
        metrics = SignalMetrics(montage, recording.sfreq, item.dataset.line_freq(item.source))
        if store.verify(key):
            metrics.add_patches(store.patches(key))
            for block in _blocks(recording, picks):
                metrics.add_raw(block)
        else:
            with store.writer(key, montage) as entry:
                for signal in _preprocessed(
                    recording, picks, item.dataset.notch_freq(item.source), preprocessing, metrics
                ):
                    patches = to_patches(signal)
                    metrics.add_patches(patches)
                    entry.append(patches)
                confirm()
    except ReadError as error:
        return quarantined_row(error.reason)
    seconds = store.seconds(key)
    intervals, warnings = _labels(item, recording, seconds)
    row = {
        "montage": list(montage),
        "dropped": len(recording.channels) - len(montage),
        "rate_hz": recording.sfreq,
        "unit": recording.unit,
        "seconds": seconds,
        "store_key": key,
        **metrics.row(),
        "gap_seconds": recording.gap_seconds,
        "verdict": ACCEPTED,
        "reasons": [],
        "warnings": [*recording.notes, *warnings],
    }
    return {"row": row, "labels": intervals}


def quarantined_row(reason: Reason) -> dict[str, Any]:
    """What `process_recording` returns for a recording that cannot be used."""
    return {"row": {"verdict": QUARANTINED, "reasons": [reason.value]}, "labels": []}


def _montage(recording: Recording) -> tuple[list[int], tuple[str, ...]]:
    """Channels of the model's table: where they are in the file, and their canonical names."""
    names = canonical_names(recording.channels)
    picks = [index for index, name in enumerate(names) if name]
    if not picks:
        raise ReadError(
            "has no channel of the model's table",
            reason=Reason.NO_CANONICAL_CHANNELS,
            remedy="Rename its channels to those of the 10-10 system",
        )
    return picks, tuple(name for name in names if name)


def _blocks(recording: Recording, picks: list[int]) -> Iterator[Samples]:
    """The unfiltered channels, piece by piece."""
    step = round(_SECONDS_AT_ONCE * recording.sfreq)
    for start in range(0, recording.samples, step):
        yield recording.read(picks, start, min(start + step, recording.samples))


def _preprocessed(
    recording: Recording,
    picks: list[int],
    line_freq_hz: float,
    preprocessing: PreprocessingRecipe,
    metrics: SignalMetrics,
) -> Iterator[NDArray[np.float32]]:
    return preprocess(
        recording,
        picks,
        line_freq_hz=line_freq_hz,
        high_pass_hz=preprocessing.high_pass_hz,
        low_pass_hz=preprocessing.low_pass_hz,
        notch=preprocessing.notch,
        back_end=preprocessing.back_end,
        observe=metrics.add_raw,
    )


def _labels(item: Item, recording: Recording, seconds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Labels within the recording, and warnings of what had to be left out."""
    try:
        intervals = item.dataset.labels(item.source, recording)
    except LabelError:
        return [], [Reason.MISSING_LABEL.value]
    left_out = Counter(f"excluded_{interval.excluded}" for interval in intervals if interval.excluded)
    kept = []
    for interval in intervals:
        if interval.excluded:
            continue
        length = min(interval.duration, seconds - interval.onset)
        if (interval.onset < 0 and not item.dataset.published) or length <= 0:
            left_out["excluded_beyond_recording"] += 1
            continue
        kept.append(_label(interval, length))
    return kept, [f"{reason}={count}" for reason, count in sorted(left_out.items())]


def _label(interval: LabelSpan, seconds: float) -> dict[str, Any]:
    return {"task": interval.task, "start": interval.onset, "seconds": seconds, "label": list(interval.label)}
