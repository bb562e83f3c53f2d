"""Neuroelectrics' NEDF (.nedf): an XML header of 10 kB, then blocks of five samples with one of the accelerometer.

MNE's reader is not used: it needs a package for XML, does not check the size, and loses a trigger in the last block.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from labram.signals.readers.errors import empty, truncated, unreadable
from labram.signals.readers.triggers import rising_edges
from labram.signals.recording import Event, Recording, Samples

_HEADER_BYTES = 10240
_SAMPLES_PER_BLOCK = 5
_MICROVOLTS = 2.4 / (6.0 * 8388607) * 1e6
"""µV per step of the 24 bits, as in the plug-in of the vendor for EEGLAB."""
_MOST_CHANNELS = 1024
_BLOCKS_AT_ONCE = 1 << 14


def read(path: Path) -> Recording:
    """Read a recording; the trigger channel becomes events, and pauses are unknown.

    Raises:
        ReadError: TRUNCATED if samples are missing, TOO_SHORT if there are none, else UNREADABLE.
    """
    with path.open("rb") as file:
        text = file.read(_HEADER_BYTES).partition(b"\0")[0]
    if b"<!" in text:  # declarations can expand without end
        raise unreadable(path, "declarations in its header")
    try:
        header = ElementTree.fromstring(text)  # noqa: S314
        labels, rate, samples, block = _layout(header)
    except (ElementTree.ParseError, ValueError, TypeError, AttributeError):
        raise unreadable(path, "missing or malformed header fields") from None
    if not samples:
        raise empty(path)
    signal = _Blocks(path, block, len(labels), samples)
    got = signal.complete
    if got < samples:
        raise truncated(path, f"expected {samples} samples, got {got}")
    events = tuple(Event(sample / rate, 0.0, code) for sample, code in rising_edges(signal.triggers()))
    return Recording(signal, labels, float(rate), events, gap_seconds=None, unit="µV")


def _layout(header: ElementTree.Element) -> tuple[tuple[str, ...], int, int, "np.dtype[np.void]"]:
    """Return labels, sampling rate, number of samples and the type of a block."""
    eeg = header.find("EEGSettings")
    if eeg is None or header.findtext("AdditionalChannelStatus", "OFF") != "OFF":
        raise ValueError
    labels = tuple((node.text or "").strip() for node in eeg.find("EEGMontage") or ())
    count, rate, samples = (
        int(eeg.findtext(name, "")) for name in ("TotalNumberOfChannels", "EEGSamplingRate", "NumberOfRecordsOfEEG")
    )
    accelerometers = int(header.findtext("NumberOfChannelsOfAccelerometer", "0"))
    if not 0 < count <= _MOST_CHANNELS or count != len(labels) or rate < 1 or samples < 0:
        raise ValueError
    sample = [("eeg", "u1", (count, 3))]
    if header.find("STIMSettings") is not None:
        sample.append(("stimulation", "u1", (2 * count, 3)))
    trigger = ">i4" if header.findtext("NEDFversion") else "u1"
    fields = [("samples", [*sample, ("trigger", trigger)], (_SAMPLES_PER_BLOCK,))]
    block = [("accelerometer", ">u2", (accelerometers,)), *fields] if 0 < accelerometers <= _MOST_CHANNELS else fields
    return labels, rate, samples, np.dtype(block)


@dataclass(frozen=True)
class _Blocks:
    """Samples in blocks (`labram.signals.recording.Signal`)."""

    path: Path
    block: "np.dtype[np.void]"
    channels: int
    samples: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.channels, self.samples

    @property
    def complete(self) -> int:
        """Number of samples in the file; the last block ends with its last sample."""
        blocks, rest = divmod(max(self.path.stat().st_size - _HEADER_BYTES, 0), self.block.itemsize)
        sample = self.block["samples"].base.itemsize
        before = self.block.itemsize - _SAMPLES_PER_BLOCK * sample
        return blocks * _SAMPLES_PER_BLOCK + max(rest - before, 0) // sample

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        values = np.empty((len(picks), stop - start))
        at = 0
        for rows in self._rows(start, stop):
            digits = rows["eeg"][:, list(picks)].astype(np.int32)
            numbers = (digits[..., 0] << 16 | digits[..., 1] << 8 | digits[..., 2]).T
            values[:, at : at + len(rows)] = np.where(numbers >= 1 << 23, numbers - (1 << 24), numbers) * _MICROVOLTS
            at += len(rows)
        return values

    def triggers(self) -> Iterator[NDArray[np.int64]]:
        """Yield the trigger channel in blocks."""
        for rows in self._rows(0, self.samples):
            yield rows["trigger"].astype(np.int64)

    def _rows(self, start: int, stop: int) -> Iterator[NDArray[np.void]]:
        """Yield the samples, with all their fields."""
        per = _SAMPLES_PER_BLOCK
        for first in range(start // per, -(-stop // per), _BLOCKS_AT_ONCE):
            last = min(first + _BLOCKS_AT_ONCE, -(-stop // per))
            size = (last - first) * self.block.itemsize
            try:
                with self.path.open("rb") as file:
                    file.seek(_HEADER_BYTES + first * self.block.itemsize)
                    content = file.read(size)
            except OSError as error:
                raise unreadable(self.path, error.strerror or "input error") from None
            rows = np.frombuffer(content.ljust(size, b"\0"), self.block)["samples"].reshape(-1)
            yield rows[max(start - first * per, 0) : min(stop, last * per) - first * per]
