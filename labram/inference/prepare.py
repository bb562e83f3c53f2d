"""Recordings prepared for prediction: read, filtered and checked as in ingest, one after the other.

Their patches lie in a temporary store until they are predicted from. A recording that cannot be used has a reason.
This module imports no PyTorch: worker processes load it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from labram.corpus import window_quality
from labram.corpus.catalogue import ACCEPTED, Corpus
from labram.corpus.process_pool import limited, map_unordered
from labram.corpus.process_recording import process_recording
from labram.corpus.quality import rule_metrics, with_derived_columns
from labram.corpus.rules import QualityRule, broken_rules, recording_rules
from labram.corpus.scan import Item, hash_item
from labram.datasets.base import Dataset
from labram.errors import LabramError, ReadError, Reason
from labram.events import Monitor
from labram.inference.find_recordings import Source
from labram.recipe import PreprocessingRecipe, QualityRecipe
from labram.signals.electrodes import canonical_names
from labram.signals.readers import is_compressed
from labram.signals.recording import Recording
from labram.store.store import Store

_SECONDS, _BYTES_PER_SECOND = 1800, 1 << 18
_MEMORY_BYTES, _MEMORY_RATIO, _GZIP_RATIO = 1 << 31, 32, 10
"""Limits of one recording, see `labram.corpus.ingest`."""


@dataclass(frozen=True)
class Prepared:
    """A recording that is ready for a model, or the reason why it is not.

    Attributes:
        name: Its path, see `labram.inference.find_recordings.Source`.
        subject: Its subject; empty if nothing states it.
        channels: Canonical names of the electrodes that the model reads, in the order of the file.
        dropped: Labels of the other channels. For display only, never to be stored.
        interpolated: Electrodes that are interpolated from the others, because they are flat or bad.
        seconds: Whole seconds.
        trial_seconds: Whole seconds of each trial; 0: a continuous recording.
        excluded: Seconds of absurd amplitude, which no window has.
        sfreq: Sampling rate of the file in Hz.
        warnings: Warning codes.
        reason: Reason code; empty if the recording can be used.
        key: Key of its patches; empty if it has none.
    """

    name: str
    subject: str = ""
    channels: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    interpolated: tuple[str, ...] = ()
    seconds: int = 0
    trial_seconds: int = 0
    excluded: frozenset[int] = frozenset()
    sfreq: float = 0.0
    warnings: tuple[str, ...] = ()
    reason: str = ""
    key: str = ""


@dataclass(frozen=True)
class Settings:
    """Preprocessing and quality thresholds of the recordings that a model was trained on."""

    preprocessing: PreprocessingRecipe
    quality: QualityRecipe


def group_sources(sources: Sequence[Source], *, by_subject: bool) -> dict[str, list[Source]]:
    """Return recordings by subject, or each by itself, in the order of the first of each group."""
    groups: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        groups[source.group if by_subject else source.name].append(source)
    return groups


def prepare_groups(
    sources: Sequence[Source],
    store: Store,
    settings: Settings,
    *,
    by_subject: bool,
    workers: int,
    monitor: Monitor,
) -> Iterator[tuple[int, list[Prepared]]]:
    """Yield numbered groups of recordings, ready for prediction; at the next one, the patches of a group are deleted.

    Groups come in the order in which they are complete, so that few of them lie in the store at a time. Their numbers
    are in the order of the sources.

    Args:
        sources: The recordings.
        store: A temporary store.
        settings: Those of the model.
        by_subject: Whether all recordings of a subject are one group; else each recording is.
        workers: Processes that work at the same time. 0 works in this process, which a recording may then crash.
        monitor: Receives progress, recording by recording.
    """
    groups = group_sources(sources, by_subject=by_subject)
    ordered = [source for group in groups.values() for source in group]
    keys = [key for key, group in groups.items() for _ in group]
    numbers = {key: number for number, key in enumerate(groups)}
    done: dict[str, dict[str, Prepared]] = defaultdict(dict)
    failed = 0
    work = partial(prepare, store=store, settings=settings)
    for count, (index, result) in enumerate(map_unordered(work, ordered, workers=workers), start=1):
        prepared = result or _unusable(ordered[index], Reason.UNPROCESSABLE)
        failed += bool(prepared.reason)
        members = done[keys[index]]
        members[prepared.name] = prepared
        if len(members) == len(groups[keys[index]]):
            yield numbers[keys[index]], [members[source.name] for source in groups[keys[index]]]
            store.remove_entries({member.key for member in members.values() if member.key})
            del done[keys[index]]
        monitor.progress(count, len(ordered), unusable=failed)


def prepare(source: Source, *, store: Store, settings: Settings) -> Prepared:
    """Read, filter and check one recording, and write its patches to the store.

    Args:
        source: The recording.
        store: A temporary store.
        settings: Those of the model.
    """
    item = source.item
    if settings.preprocessing.compatibility == "published":
        item = replace(item, dataset=item.dataset.as_published())
    content = hash_item(item)
    if item.file.alternate_of is not None:
        return _unusable(source, Reason.DUPLICATE_FORMAT)
    if known := item.file.quarantined or content.quarantined:
        return _unusable(source, known[0])
    key = Store.key(content.digest, path=source.name)
    try:
        with limited(**_limits(item.file.path, content.size)):
            recording = item.dataset.read(item.file)
            result = process_recording(_opened(item, recording), store, key, settings.preprocessing)
    except ReadError as error:
        return _unusable(source, error.reason)
    except LabramError:
        raise
    except Exception:  # one recording must not stop all others
        return _unusable(source, Reason.UNPROCESSABLE)
    if result["row"]["reasons"]:
        return _unusable(source, result["row"]["reasons"][0])
    return _judged(source, recording, result["row"], store, settings.quality)


def _opened(item: Item, recording: Recording) -> Item:
    """Return an item whose adapter returns an open recording, and no labels, which predictions do not need."""
    dataset: Dataset = copy(item.dataset)
    vars(dataset).update(read=lambda _: recording, labels=lambda *_: (), sidecars=lambda _: ())
    return replace(item, dataset=dataset)


def _judged(
    source: Source, recording: Recording, row: Mapping[str, Any], store: Store, quality: QualityRecipe
) -> Prepared:
    """Apply the rules of each recording by itself; copies of others are predicted too."""
    columns = {**row, "recording_id": row["store_key"], "dataset": source.item.dataset.name}
    corpus = with_derived_columns(Corpus.of([columns], []), quality)
    corpus = window_quality.with_window_columns(corpus, quality, store)
    metrics = rule_metrics(corpus, quality).iloc[0].to_dict()
    rules = broken_rules(metrics, recording_rules(quality))
    critical = [str(rule.code) for rule in rules if rule.severity == "critical"]
    judged = window_quality.with_window_warnings(corpus).catalogue.iloc[0]
    assert judged["verdict"] == ACCEPTED, "before the rules"
    channels = tuple(judged["montage"])
    return Prepared(
        name=source.name,
        subject=source.subject,
        channels=channels,
        dropped=_dropped(recording.channels, channels),
        interpolated=tuple(judged["interpolated_channels"]),
        seconds=int(judged["seconds"]),
        trial_seconds=recording.trial_seconds,
        excluded=frozenset(judged["excluded_seconds"]),
        sfreq=recording.sfreq,
        warnings=tuple(dict.fromkeys([*source.item.file.notes, *judged["warnings"], *_warning_codes(rules)])),
        reason=critical[0] if critical else "",
        key=row["store_key"],
    )


def _warning_codes(rules: Sequence[QualityRule]) -> list[str]:
    return [rule.code for rule in rules if rule.severity == "warning"]


def _dropped(labels: Sequence[str], channels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of channels that the model does not read: unknown, excluded, or an electrode named twice."""
    read = set(channels)
    kept: set[str] = set()
    dropped = []
    for label, name in zip(labels, canonical_names(labels), strict=True):
        if name is None or name not in read or name in kept:
            dropped.append(label)
        else:
            kept.add(name)
    return tuple(dropped)


def _unusable(source: Source, reason: Reason | str) -> Prepared:
    return Prepared(name=source.name, subject=source.subject, reason=str(reason))


def _limits(path: Path, size: int) -> dict[str, int]:
    """Return time and memory that a recording may take, as in ingest."""
    unpacked = size * (_GZIP_RATIO if is_compressed(path) else 1)
    return {"seconds": _SECONDS + size // _BYTES_PER_SECOND, "memory_bytes": _MEMORY_BYTES + _MEMORY_RATIO * unpacked}
