"""Read, filter and measure one recording: patches for the store, a row and labels for the catalogue."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.corpus.catalogue import ACCEPTED, QUARANTINED
from labram.corpus.pseudonyms import withhold_unknown_events
from labram.corpus.rules import GAPS_UNKNOWN, LOST
from labram.corpus.scan import Item
from labram.corpus.signal_metrics import SignalMetrics
from labram.datasets.containment import lies_inside
from labram.errors import LabelError, NonFinitePatchesError, ReadError, Reason
from labram.recipe import PreprocessingRecipe
from labram.signals.electrodes import canonical_names, repeated_electrodes
from labram.signals.lost_channels import lost_channels
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording, Samples
from labram.store.patch_file import require_finite
from labram.store.store import Store, to_patches

PEAKS = "peaks"
"""Name of the stored array with the largest absolute value of each second and channel, float16 [S, C] as uint16.

NaN in seconds that the recording states to be bad.
"""
_SECONDS_AT_ONCE = 60
_LOWEST_RATE_HZ = 20.0
"""No EEG is slower, and a sample of such a recording would become tens of stored ones."""


def process_recording(
    item: Item,
    store: Store,
    key: str,
    preprocessing: PreprocessingRecipe,
    *,
    confirm: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Read, filter and measure a recording, and store its patches.

    Args:
        item: The recording.
        store: Patch store; patches that it already has are not computed again.
        key: Key of the patches.
        preprocessing: Filter settings.
        confirm: Called before the patches are stored; if it raises, they are not.

    Returns:
        ``row``: catalogue columns that depend on the signals; ``labels``: label rows without `recording_id`.

    Raises:
        StoreError: If the store cannot be written.
    """
    try:
        opened = item.dataset.read(item.file)
        bad_spans = [*item.file.bad_spans, *_bad_spans(opened, item.dataset.event_codes)]
        recording = withhold_unknown_events(opened, item.dataset.event_codes)
        picks, montage, excluded = _montage(recording, item.file.excluded_channels)
        _require_rate(recording)
        metrics = SignalMetrics(montage, recording.sfreq, item.dataset.line_freq(item.file), recording.trial_samples)
        if store.verify(key):
            require_finite(store.patches(key))  # earlier versions stored any value
            metrics.add_patches(store.patches(key))
            for block in _blocks(recording, picks):
                metrics.add_raw(block)
        else:
            with store.writer(key, montage) as writer:
                for signal in _preprocessed(
                    recording, picks, item.dataset.notch_freq(item.file), preprocessing, metrics
                ):
                    patches = to_patches(signal)
                    writer.append(patches)
                    metrics.add_patches(patches)
                confirm()
    except ReadError as error:
        return quarantined_row(error.reason)
    except NonFinitePatchesError:
        return quarantined_row(Reason.DAMAGED)
    peaks = _without_bad_spans(metrics.peaks, bad_spans)
    store.put_array(key, PEAKS, peaks.view(np.uint16))
    seconds = store.seconds(key)
    labels, warnings = _labels(item, recording, seconds)
    warnings = [*[f"bad_spans={len(bad_spans)}"] * bool(bad_spans), *warnings]
    unknown_gaps = [GAPS_UNKNOWN] if recording.gap_seconds is None else []
    row = {
        "montage": list(montage),
        "dropped": len(recording.channels) - len(montage),
        "rate_hz": recording.sfreq,
        "unit": recording.unit,
        "seconds": seconds,
        "trial_seconds": recording.trial_seconds or None,
        "store_key": key,
        **metrics.row(),
        "gap_seconds": recording.gap_seconds,
        "verdict": ACCEPTED,
        "reasons": [],
        "warnings": [*recording.notes, *unknown_gaps, *excluded, *_channel_warnings(recording.channels), *warnings],
    }
    return {"row": row, "labels": labels}


def quarantined_row(reason: Reason) -> dict[str, Any]:
    """Return the result of `process_recording` for a recording that cannot be used."""
    return {"row": {"verdict": QUARANTINED, "reasons": [reason.value]}, "labels": []}


def _require_rate(recording: Recording) -> None:
    if recording.sfreq < _LOWEST_RATE_HZ:
        raise ReadError(
            f"a sampling rate of {recording.sfreq:g} Hz",
            reason=Reason.LOW_RATE,
            remedy="Export the recording at its original sampling rate",
        )


def _montage(recording: Recording, excluded: frozenset[str]) -> tuple[list[int], tuple[str, ...], list[str]]:
    """Return indices and canonical names of the channels that the model knows, and warning codes.

    Args:
        recording: The recording.
        excluded: Names of channels to leave out; a name matches a label of equal text, or of the same electrode.
    """
    labels = [label.strip() for label in recording.channels]
    electrodes = {name for name in canonical_names(sorted(excluded)) if name}
    names = canonical_names(recording.channels)
    left_out = [label in excluded or name in electrodes for label, name in zip(labels, names, strict=True)]
    picks = [index for index, name in enumerate(names) if name and not left_out[index]]
    if not picks:
        raise ReadError(
            "has no channel that the model knows",
            reason=Reason.NO_CANONICAL_CHANNELS,
            remedy="Rename the channels to electrodes of the 10-10 system",
        )
    present = {*labels, *(name for name in names if name)}
    unmatched = [name for name in excluded if not {name, *canonical_names([name])} & present]
    warnings = ["channels_excluded"] * any(left_out) + ["channels_not_understood"] * bool(unmatched)
    return picks, tuple(names[index] or "" for index in picks), warnings


def _bad_spans(recording: Recording, codes: Collection[str]) -> list[tuple[float, float]]:
    """Return start and stop in seconds of the spans that the file marks as bad, as MNE and BrainVision do.

    Their codes begin with ``bad``. Codes of the dataset's own events are none.
    """
    return [
        (event.onset, event.onset + event.duration)
        for event in recording.events
        if event.duration > 0 and event.code.strip().lower().startswith("bad") and event.code not in codes
    ]


def _without_bad_spans(peaks: NDArray[np.float16], spans: Sequence[tuple[float, float]]) -> NDArray[np.float16]:
    """Return the largest values of each second, undefined where a span is bad: no window has such a second."""
    known = peaks.copy()
    for start, stop in spans:
        if np.isfinite([start, stop]).all():
            known[max(0, int(start)) : max(0, math.ceil(stop))] = np.nan
    return known


def _channel_warnings(labels: Sequence[str]) -> list[str]:
    """Return warnings that count the channels that were left out."""
    counts = {LOST: len(lost_channels(labels)), "repeated_electrodes": repeated_electrodes(labels)}
    return [f"{code}={count}" for code, count in counts.items() if count]


def _blocks(recording: Recording, picks: list[int]) -> Iterator[Samples]:
    """Yield the unfiltered channels in blocks of a minute."""
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


def require_own_sidecars(item: Item) -> None:
    """Check that the files beside a recording that its labels depend on lie in the corpus, and are files.

    Raises:
        LabelError: If one lies outside, or is a pipe or a device, which might never end.
    """
    for path in item.dataset.sidecars(item.file):
        if (path.exists() and not path.is_file()) or not lies_inside(path, item.corpus):
            raise LabelError(
                "the labels lie outside the corpus, or are no file",
                file=path.name,
                remedy="Copy them into the folder of the recordings",
            )


def _labels(item: Item, recording: Recording, seconds: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Return label rows within the recording, and warnings that count the excluded spans."""
    try:
        require_own_sidecars(item)
        spans = item.dataset.labels(item.file, recording)
    except LabelError:
        return [], [Reason.MISSING_LABEL.value]
    excluded = Counter(f"excluded_{span.excluded}" for span in spans if span.excluded)
    labels = []
    for span in spans:
        if span.excluded:
            continue
        if not np.isfinite([span.onset, span.duration]).all():
            excluded["excluded_onset_missing"] += 1
            continue
        duration = min(span.duration, seconds - span.onset)
        if (span.onset < 0 and not item.dataset.published) or duration <= 0:
            excluded["excluded_beyond_recording"] += 1
            continue
        labels.append({"task": span.task, "start": span.onset, "seconds": duration, "label": list(span.label)})
    return labels, [f"{reason}={count}" for reason, count in sorted(excluded.items())]
