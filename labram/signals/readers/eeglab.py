"""EEGLAB: a MATLAB file (.set) with samples in µV, inside it or in a file of the same name (.fdt)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pymatreader
from scipy.io import loadmat, savemat

from labram.errors import ReadError, Reason
from labram.signals.readers.companions import linked, with_suffix
from labram.signals.readers.errors import epoched, outside, truncated, unreadable
from labram.signals.readers.hdf5_links import require_self_contained
from labram.signals.readers.matlab_size import require_proportionate
from labram.signals.readers.with_mne import open_raw, quiet, to_recording
from labram.signals.recording import Recording

_BOUNDARIES = ("boundary", "-99", "-99.0")
"""The last two where events are numbers."""
_VALUE_BYTES = 4


def read(path: Path) -> Recording:
    """Read a continuous dataset.

    A ``boundary`` event has the duration of the data that EEGLAB removed there: the longest is `Recording.gap_seconds`,
    and all become events of duration 0.

    Raises:
        ReadError: EPOCHED for epochs, TRUNCATED if the ``.fdt`` is too short, OUTSIDE if data are in another folder or
            in another HDF5 file, DAMAGED if it unpacks to more than 100 times its size, else UNREADABLE.
    """
    require_self_contained(path)
    require_proportionate(path)
    try:
        raw = open_raw(path, mne.io.read_raw_eeglab)
    except ReadError:
        if _is_epoched(path):
            raise epoched(path) from None
        samples = with_suffix(path, ".fdt")
        if samples is None:
            raise
        raw = _open_renamed(path, samples)
    _check_samples(path, raw)
    recording = to_recording(path, raw, gap_seconds=0.0)
    if not any(event.code in _BOUNDARIES for event in recording.events):
        return recording
    events = tuple(replace(event, duration=0.0) if event.code in _BOUNDARIES else event for event in recording.events)
    return replace(recording, events=events, gap_seconds=_removed_seconds(path))


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the ``.set`` file and, if it exists, the ``.fdt`` file of the same name."""
    samples = with_suffix(path, ".fdt")
    return (path, samples) if samples else (path,)


def _open_renamed(path: Path, samples: Path) -> Any:
    """Open a dataset whose samples MNE does not find: it knows `.fdt` in lower case only."""
    try:
        content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
        fields = content["EEG"][0, 0] if "EEG" in content else content
        named = str(np.ravel(fields["data"])[0])
        fields["data"] = "recording.fdt" if fields is content else np.array(["recording.fdt"])
    except Exception as error:  # SciPy's parser raises arbitrary exceptions
        raise unreadable(path, type(error).__name__) from None
    if named.casefold() != samples.name.casefold():
        raise _other_name(path)
    with linked({"recording.fdt": samples}) as folder:
        savemat(folder / "recording.set", content, appendmat=False)
        try:
            raw = open_raw(folder / "recording.set", mne.io.read_raw_eeglab)
        except ReadError as error:
            error.file = path.name
            raise
    raw.filenames = [samples.absolute()]
    return raw


def _is_epoched(path: Path) -> bool:
    try:
        with quiet():
            content = pymatreader.read_mat(path)
            return int(content.get("EEG", content)["trials"]) > 1
    except Exception:  # as in `open_raw`; the file is unreadable, not epoched
        return False


def _removed_seconds(path: Path) -> float | None:
    """Return the longest removed duration; None if one is unknown (NaN) and no other was removed.

    MNE's raw object crops the durations of annotations to the recording, so they are read again here.
    """
    with quiet():
        annotations = mne.read_annotations(path)
    durations = annotations.duration[np.isin(annotations.description, _BOUNDARIES)]
    longest = float(np.nan_to_num(durations).max(initial=0.0))
    return None if not longest and np.isnan(durations).any() else longest


def _check_samples(path: Path, raw: Any) -> None:
    samples = Path(raw.filenames[0])
    if samples.absolute().parent.resolve() != path.absolute().parent.resolve():
        raise outside(path, "the sample file")
    if not any(samples.samefile(part) for part in content_files(path)):
        raise _other_name(path)
    if samples.suffix.lower() == ".fdt" and samples.stat().st_size < _VALUE_BYTES * len(raw.ch_names) * raw.n_times:
        raise truncated(path, "the .fdt file ends before the last sample")


def _other_name(path: Path) -> ReadError:
    return ReadError(
        "the samples are in a file of another name",
        reason=Reason.UNREADABLE,
        file=path.name,
        remedy="Give the .fdt file the name of the .set file",
    )
