"""Windows of prepared recordings without labels, as the windows of a task are cut, aligned and interpolated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labram.inference.prepare import Prepared
from labram.input_spec import MAX_PATCHES, MAX_SECONDS, SAMPLE_RATE_HZ
from labram.recipe import AlignmentRecipe
from labram.signals.alignment import Alignment
from labram.store.store import Store
from labram.training.data.labelled import LabelledGroup, LabelledWindows


@dataclass(frozen=True)
class UnlabelledWindows:
    """Windows of the recordings of one group: a subject, or one recording.

    Attributes:
        windows: The windows by montage; the labels are all 0.
        recordings: Recording of each window [n], in the order of `windows`.
        starts: Start of each window in seconds [n].
        seconds: Length of each window in seconds [n].
        alignments: Alignment of each window; empty without one.
    """

    windows: LabelledWindows
    recordings: tuple[Prepared, ...]
    starts: tuple[float, ...]
    seconds: tuple[int, ...]
    alignments: tuple[Alignment, ...]

    def __len__(self) -> int:
        return len(self.starts)


def window_starts(recording: Prepared, seconds: int) -> list[int]:
    """Return the first seconds of consecutive windows, each in one trial, without those with an excluded second."""
    length = recording.trial_seconds or recording.seconds
    trials = range(0, recording.seconds, max(1, length))
    starts = [first + start for first in trials for start in range(0, length - seconds + 1, seconds)]
    return [start for start in starts if recording.excluded.isdisjoint(range(start, start + seconds))]


def longest_window(channels: int, seconds: int) -> int:
    """Return the longest window in seconds of so many channels that fits the model and the recording; 0 if none."""
    return min(MAX_SECONDS, MAX_PATCHES // channels, seconds)


def cut(
    recordings: Sequence[Prepared], store: Store, seconds: int | None, alignment: AlignmentRecipe
) -> UnlabelledWindows:
    """Cut recordings of one person into consecutive windows.

    Args:
        recordings: Usable recordings.
        store: Store with their patches.
        seconds: Length of the windows; None: the longest that fit, recording by recording.
        alignment: Alignment of the model, computed from all these windows, montage by montage.
    """
    groups, order = [], []
    keys = [
        (each.channels, seconds or longest_window(len(each.channels), each.trial_seconds or each.seconds))
        for each in recordings
    ]
    for channels, length in sorted(set(keys)):
        members = [each for each, key in zip(recordings, keys, strict=True) if key == (channels, length)]
        rows = [(each, start) for each in members for start in window_starts(each, length)]
        if rows:
            groups.append(_group(rows, store, length, alignment))
            order += [(each, start, length) for each, start in rows]
    computed = [one for group in groups for one in _alignments(group)]
    return UnlabelledWindows(
        LabelledWindows(tuple(groups)),
        tuple(each for each, _, _ in order),
        tuple(float(start) for _, start, _ in order),
        tuple(length for _, _, length in order),
        tuple(computed),
    )


def _group(
    rows: Sequence[tuple[Prepared, int]], store: Store, seconds: int, alignment: AlignmentRecipe
) -> LabelledGroup:
    members = [each for each, _ in rows]
    return LabelledGroup(
        store=store,
        montage=members[0].channels,
        seconds=seconds,
        y=np.zeros(len(rows)),
        subject_keys=np.array([""] * len(rows), dtype=np.str_),
        recording_ids=np.array([each.key for each in members], dtype=np.str_),
        starts=np.array([start * SAMPLE_RATE_HZ for _, start in rows], dtype=np.int64),
        _keys=np.array([each.key for each in members], dtype=np.str_),
        _interpolated={each.key: each.interpolated for each in members},
        alignment=alignment,
    )


def _alignments(group: LabelledGroup) -> list[Alignment]:
    return [group.alignments[""]] * len(group) if group.alignments else []
