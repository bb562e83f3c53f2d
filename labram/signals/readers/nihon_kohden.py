"""Nihon Kohden: samples (.eeg), with names of electrodes (.21e) and events (.log) beside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mne
import numpy as np

from labram.errors import ReadError
from labram.signals.readers.companions import linked, with_companions
from labram.signals.readers.errors import truncated, unreadable
from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording, Samples, Signal

_SIGNATURES = (b"EEG-1100", b"EEG-1200", b"EEG-2100", b"QI-403A ", b"DAE-2100")
_COMPANIONS = (".21e", ".log")
_BOUNDARIES = frozenset({"BAD boundary", "EDGE boundary"})
_VALUE_BYTES, _HEADER_BYTES, _CHANNEL_BYTES = 2, 0x27, 10


def recognises(path: Path) -> bool:
    """Return whether an ``.eeg`` file is Nihon Kohden's; others are samples of BrainVision, or of other recorders."""
    with path.open("rb") as file:
        return file.read(8).startswith(_SIGNATURES)


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the ``.eeg`` file and the files of electrodes and events beside it."""
    return with_companions(path, _COMPANIONS)


def read(path: Path) -> Recording:
    """Read a recording. `Recording.gap_seconds` is None if it has several blocks, whose pauses MNE does not tell.

    Raises:
        ReadError: TRUNCATED if samples are missing, TOO_SHORT if there are none, else UNREADABLE.
    """
    with linked({f"recording{file.suffix.upper()}": file for file in content_files(path)}) as folder:
        try:
            raw = open_raw(folder / "recording.EEG", mne.io.read_raw_nihon, encoding="latin1")
        except ReadError as error:
            error.file = path.name
            raise
    raw.filenames = [path.absolute()]
    blocks = _blocks(path, raw)
    recording = to_recording(path, raw)
    assert not isinstance(recording.data, np.ndarray)
    events = tuple(event for event in recording.events if event.code not in _BOUNDARIES)
    ends = tuple(np.cumsum([int(block["n_samples"]) for block in blocks]).tolist())
    return replace(
        recording,
        data=_InBlocks(recording.data, ends),
        events=events,
        gap_seconds=0.0 if len(blocks) == 1 else None,
        unit="µV",
    )


def _blocks(path: Path, raw: Any) -> list[dict[str, Any]]:
    """Return the blocks of samples after comparing them with the size of the file."""
    blocks: list[dict[str, Any]] = raw._raw_extras[0]["header"]["controlblocks"][0]["datablocks"]
    for block in blocks:
        channels = int(block["n_channels"])
        start = int(block["address"]) + _HEADER_BYTES + _CHANNEL_BYTES * channels
        if start + int(block["n_samples"]) * (channels + 1) * _VALUE_BYTES > path.stat().st_size:
            raise truncated(path, "the file ends before the last sample")
    if not blocks:
        raise unreadable(path, "no block of samples")
    return blocks


@dataclass(frozen=True)
class _InBlocks:
    """Samples read block by block: MNE's reader recurses without end if a read spans two."""

    signal: Signal
    ends: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, int]:
        return self.signal.shape

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        parts: list[Samples] = [np.empty((len(picks), 0))]
        for first, last in zip((0, *self.ends), self.ends, strict=False):
            begin, end = max(start, first), min(stop, last)
            if begin < end:
                parts.append(self.signal.read(picks, begin, end))
        joined: Samples = np.concatenate(parts, axis=1, dtype=np.float64)
        return joined
