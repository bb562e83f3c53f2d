"""Formats whose libraries, written in C, a damaged file can bring down are read in a process of their own.

Not only tried there: a file that is read without a crash may have written over memory that is not its own, and whoever
owns that crashes later, or computes nonsense. That process opens the recording, says what it holds, and sends samples
when they are asked for, through a pipe of plain bytes and JSON; it ends with the recording that stands for it here.
"""

import json
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.readers.refusals import unreadable
from labram.signals.recording import Event, Recording, Samples

_LONGEST_SECONDS = 3600


def open_apart(path: Path) -> Recording:
    """Open a recording in a process of its own, which serves its samples.

    Raises:
        ReadError: As the format's reader does; UNREADABLE if that process crashes, or does not answer in an hour.
    """
    ours, theirs = Pipe()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "labram.signals.readers", str(path.absolute()), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # where such libraries print what they find in a header
        )
    reader = _Reader(path, ours)
    weakref.finalize(reader, _end, process, ours)
    found = reader.answer()
    return Recording(
        data=_Elsewhere(reader, tuple(found["shape"]), np.dtype(found["dtype"])),
        channels=tuple(found["channels"]),
        rate=found["rate"],
        events=tuple(Event(**event) for event in found["events"]),
        gap_seconds=found["gap_seconds"],
        notes=tuple(found["notes"]),
        unit=found["unit"],
    )


def serve(path: Path, connection: Connection, open_here: Callable[[Path], Recording]) -> None:
    """The other end: open the recording and answer until nobody asks any more."""
    try:
        recording = open_here(path)
        nothing = recording.read(range(len(recording.channels)), 0, 0)
        found = {name: getattr(recording, name) for name in ("channels", "rate", "gap_seconds", "notes", "unit")}
        events = [asdict(event) for event in recording.events]
        _say(connection, {**found, "events": events, "shape": recording.data.shape, "dtype": nothing.dtype.str})
    except OSError as error:
        return _refuse(connection, unreadable(path, error.strerror or type(error).__name__))
    except ReadError as error:
        return _refuse(connection, error)
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return None
        try:
            samples = recording.read(**request)
        except ReadError as error:
            _refuse(connection, error)
        else:
            _say(connection, {})
            if samples.size:
                connection.send_bytes(np.ascontiguousarray(samples).data.cast("B"))


class _Reader:
    """The process that reads, as seen from here."""

    def __init__(self, path: Path, connection: Connection) -> None:
        self.path, self.connection = path, connection

    def answer(self) -> dict[str, Any]:
        """What it says next; a refusal is raised."""
        try:
            if not self.connection.poll(_LONGEST_SECONDS):
                raise unreadable(self.path, "its library does not come to an end")
            said: dict[str, Any] = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            raise unreadable(self.path, "its library crashes") from None
        if "reason" in said:
            raise ReadError(**{**said, "reason": Reason(said["reason"])})
        return said

    def samples(self, request: dict[str, Any], into: Samples) -> Samples:
        """Ask for samples and wait for them."""
        try:
            _say(self.connection, request)
            self.answer()
            if into.size:
                self.connection.recv_bytes_into(into.data.cast("B"))
        except (EOFError, OSError):
            raise unreadable(self.path, "its library crashes") from None
        return into


@dataclass(frozen=True)
class _Elsewhere:
    """Samples that another process reads (`labram.signals.recording.Signal`)."""

    reader: _Reader
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        request = {"picks": [int(pick) for pick in picks], "start": int(start), "stop": int(stop)}
        return self.reader.samples(request, np.empty((len(picks), stop - start), self.dtype))


def _say(connection: Connection, values: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(values).encode())


def _refuse(connection: Connection, error: ReadError) -> None:
    _say(connection, {name: getattr(error, name) for name in ("problem", "reason", "remedy", "file", "field")})


def _end(process: "subprocess.Popen[bytes]", connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()
