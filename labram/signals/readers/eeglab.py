"""EEGLAB: a MATLAB file (.set) whose samples, in µV, lie within it or in a file of the same name (.fdt)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pymatreader

from labram.errors import ReadError, Reason
from labram.signals.readers.errors import epoched, truncated
from labram.signals.readers.with_mne import open_raw, quiet, to_recording
from labram.signals.recording import Recording

_BOUNDARY = "boundary"
_VALUE_BYTES = 4


def read(path: Path) -> Recording:
    """Read a continuous data set.

    Where EEGLAB cut something out, it left an event ``boundary`` that lasts as long as what is gone: the longest is
    `Recording.gap_seconds`, and none lasts any time among the samples that are there.

    Raises:
        ReadError: EPOCHED for a data set of trials, TRUNCATED if the ``.fdt`` is too short, else UNREADABLE.
    """
    try:
        raw = open_raw(path, mne.io.read_raw_eeglab)
    except ReadError:
        if _is_epoched(path):
            raise epoched(path) from None
        raise
    _check_samples(path, raw)
    recording = to_recording(path, raw)
    if not any(event.code == _BOUNDARY for event in recording.events):
        return recording
    events = tuple(replace(event, duration=0.0) if event.code == _BOUNDARY else event for event in recording.events)
    return replace(recording, events=events, gap_seconds=_removed_seconds(path))


def content_files(path: Path) -> tuple[Path, ...]:
    """The ``.set`` and, where there is one, the ``.fdt`` of the same name."""
    samples = path.with_suffix(".fdt")
    return (path, samples) if samples.exists() else (path,)


def _is_epoched(path: Path) -> bool:
    try:
        with quiet():
            found = pymatreader.read_mat(path)
            return int(found.get("EEG", found)["trials"]) > 1
    except Exception:  # as in `open_raw`: whatever is wrong with it, it is not known to be epoched
        return False


def _removed_seconds(path: Path) -> float:
    """Longest span that was cut out; NaN, where EEGLAB does not know, counts as nothing.

    Of the durations of MNE's raw object those are shortened that do not fit into what is left.
    """
    with quiet():
        found = mne.read_annotations(path)
    cut = found.duration[found.description == _BOUNDARY]
    return float(np.nan_to_num(cut).max(initial=0.0))


def _check_samples(path: Path, raw: Any) -> None:
    samples = Path(raw.filenames[0])
    if not any(samples.samefile(part) for part in content_files(path)):
        raise ReadError(
            "its samples lie in a file of another name",
            reason=Reason.UNREADABLE,
            file=path.name,
            remedy="Give the .fdt file the name of the .set file",
        )
    if samples.suffix == ".fdt" and samples.stat().st_size < _VALUE_BYTES * len(raw.ch_names) * raw.n_times:
        raise truncated(path, "its .fdt file ends before the last sample")
