"""Formats whose libraries, written in C, a damaged file can bring down are read in a process of their own.

Not only tried there: a file that is read without a crash may have written over memory that is not its own, and whoever
owns that crashes later, or computes nonsense. That process opens the recording, says what it holds, and sends samples
when they are asked for, through a pipe of plain bytes and JSON; it ends with the recording that stands for it here.
"""

import json
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.readers.errors import unreadable
from labram.signals.recording import Event, Recording, Samples

_LONGEST_SECONDS = 3600
"""Of one answer. The process itself gives up then, too, in case nobody is left to wait for it."""
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


class ReaderFailed(RuntimeError):  # noqa: N818
    """The process that read failed, and not because of the file: it was killed, as for memory, or labram is wrong."""


def open_apart(path: Path) -> Recording:
    """Open a recording in a process of its own, which serves its samples.

    Raises:
        ReadError: As the format's reader does; UNREADABLE if that process crashes, or does not answer in an hour.
        ReaderFailed: If it ends otherwise.
    """
    ours, theirs = Pipe()
    with theirs:
        process = _start(path, theirs)
    reader = _Reader(path, process, ours)
    weakref.finalize(reader, _end, process, ours)
    found = reader.answer()
    return Recording(
        data=_Elsewhere(reader, tuple(found["shape"]), np.dtype(found["dtype"])),
        channels=tuple(found["channels"]),
        sfreq=found["sfreq"],
        events=tuple(Event(**event) for event in found["events"]),
        gap_seconds=found["gap_seconds"],
        notes=tuple(found["notes"]),
        unit=found["unit"],
    )


def _start(path: Path, theirs: Connection) -> "subprocess.Popen[bytes]":
    quiet = subprocess.DEVNULL  # such libraries print what they find in a header
    command = [sys.executable, "-P", "-m", "labram.signals.readers", str(path.absolute()), str(theirs.fileno())]
    try:
        return subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=quiet, stdout=quiet, stderr=quiet)
    except OSError as error:
        raise ReaderFailed(f"no process can be started: {error.strerror}") from None


def serve(path: Path, connection: Connection, open_here: Callable[[Path], Recording]) -> None:
    """The other end: open the recording and answer until nobody asks any more."""
    signal.alarm(_LONGEST_SECONDS)
    with _told(connection):
        try:
            recording = open_here(path)
        except OSError as error:
            raise unreadable(path, error.strerror or type(error).__name__) from None
        nothing = recording.read(range(len(recording.channels)), 0, 0)
        found = {name: getattr(recording, name) for name in ("channels", "sfreq", "gap_seconds", "notes", "unit")}
        events = [asdict(event) for event in recording.events]
        _say(connection, {**found, "events": events, "shape": recording.data.shape, "dtype": nothing.dtype.str})
    while True:
        signal.alarm(0)
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        signal.alarm(_LONGEST_SECONDS)
        with _told(connection):
            samples = np.ascontiguousarray(recording.read(**request))
            _say(connection, {})
            if samples.size:
                connection.send_bytes(samples.data.cast("B"))


class _Reader:
    """The process that reads, as seen from here."""

    def __init__(self, path: Path, process: "subprocess.Popen[bytes]", connection: Connection) -> None:
        self.path, self.process, self.connection = path, process, connection

    def answer(self, into: Samples | None = None) -> dict[str, Any]:
        """What it says next, and the samples that follow; a refusal is raised."""
        with self._alive():
            said: dict[str, Any] = json.loads(self._message())
        if "failure" in said:
            raise ReaderFailed(said["failure"])
        if "reason" in said:
            raise ReadError(**{**said, "reason": Reason(said["reason"])})
        if into is not None and into.size:
            with self._alive():
                self.connection.recv_bytes_into(into.data.cast("B"))
        return said

    def samples(self, request: dict[str, Any], into: Samples) -> Samples:
        """Ask for samples and wait for them."""
        with self._alive():
            _say(self.connection, request)
        self.answer(into)
        return into

    def _message(self) -> bytes:
        if not self.connection.poll(_LONGEST_SECONDS):
            raise unreadable(self.path, "its library does not come to an end")
        return self.connection.recv_bytes()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """An answer that nobody waited for must not be taken for the next: after an error nothing more is asked."""
        if self.connection.closed:
            raise ReaderFailed(f"an earlier reading of {self.path.name} was interrupted")
        try:
            yield
        except (EOFError, OSError):
            self.connection.close()
            ended = -self.process.wait()
            if ended in _CRASHES:
                raise unreadable(self.path, "its library crashes") from None
            if ended == signal.SIGALRM:
                raise unreadable(self.path, "its library does not come to an end") from None
            raise ReaderFailed(f"the process that read {self.path.name} ended with {-ended}") from None
        except BaseException:
            self.connection.close()
            raise


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


@contextmanager
def _told(connection: Connection) -> Iterator[None]:
    """Whatever goes wrong within is said to the other end; of what labram did wrong its kind alone."""
    try:
        yield
    except ReadError as error:
        _say(connection, {name: getattr(error, name) for name in ("problem", "reason", "remedy", "file", "field")})
    except Exception as error:
        _say(connection, {"failure": type(error).__name__})


def _end(process: "subprocess.Popen[bytes]", connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()
