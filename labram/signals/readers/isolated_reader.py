"""Reading in a child process, for formats whose C library a damaged file can crash.

The child also serves the samples, because a read that does not crash may have corrupted memory, and the process then
fails later or computes wrong values. Messages are JSON and raw samples, never pickles. The child lives as long as the
recording that the parent holds.
"""

import glob
import json
import signal
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from labram.child_process import ChildProcess
from labram.errors import ReadError, Reason
from labram.memory import limit_memory
from labram.signals.readers.errors import unreadable
from labram.signals.recording import Event, Recording, Samples

_MEMORY_BYTES, _MEMORY_RATIO = 1 << 30, 32
"""Memory that a child may take besides its libraries: a basis, and a multiple of the size of the recording's file."""
_SECONDS, _BYTES_PER_SECOND = 600, 1 << 20
"""Time limit of one reply: a basis, and the size of the file at a slow disk's rate. The child enforces it as well, in
case its parent is gone."""
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


class ReaderFailed(RuntimeError):  # noqa: N818
    """The reading process failed for another cause than the file: it was killed, or labram has a bug."""


def open_isolated(path: Path) -> Recording:
    """Open a recording in a child process, which serves its samples.

    Raises:
        ReadError: As the format's reader does; UNREADABLE if the child crashes or does not reply in time; DAMAGED if it
            runs out of the memory that it may take.
        ReaderFailed: If the child ends otherwise.
    """
    try:
        child = ChildProcess(["-m", "labram.signals.readers", str(path.absolute())], quiet=True)
    except OSError as error:
        raise ReaderFailed(f"cannot start a process: {error.strerror}") from None
    reader = _Reader(path, child)
    weakref.finalize(reader, child.stop)
    header = reader.receive()
    return Recording(
        data=_RemoteSamples(reader, tuple(header["shape"]), np.dtype(header["dtype"])),
        channels=tuple(header["channels"]),
        sfreq=header["sfreq"],
        events=tuple(Event(**event) for event in header["events"]),
        gap_seconds=header["gap_seconds"],
        notes=tuple(header["notes"]),
        unit=header["unit"],
    )


def serve(path: Path, connection: Connection, open_here: Callable[[Path], Recording]) -> None:
    """Run the child: open the recording and reply to requests until the connection closes."""
    timeout = _timeout(path)
    signal.alarm(timeout)
    with _send_errors(connection, path):
        _limit_memory(path)
        try:
            recording = open_here(path)
        except OSError as error:
            raise unreadable(path, error.strerror or type(error).__name__) from None
        no_samples = recording.read(range(len(recording.channels)), 0, 0)
        header = {name: getattr(recording, name) for name in ("channels", "sfreq", "gap_seconds", "notes", "unit")}
        events = [asdict(event) for event in recording.events]
        _send(connection, {**header, "events": events, "shape": recording.data.shape, "dtype": no_samples.dtype.str})
    while True:
        signal.alarm(0)
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        signal.alarm(timeout)
        with _send_errors(connection, path):
            samples = np.ascontiguousarray(recording.read(**request))
            _send(connection, {})
            if samples.size:
                connection.send_bytes(samples.data.cast("B"))


class _Reader:
    """The reading process, seen from its parent."""

    def __init__(self, path: Path, child: ChildProcess) -> None:
        self.path, self.child, self.connection = path, child, child.connection
        self.timeout = _timeout(path)

    def receive(self, into: Samples | None = None) -> dict[str, Any]:
        """Return the next reply, with its samples in `into`; raise it if it is an error."""
        with self._child_errors():
            reply: dict[str, Any] = json.loads(self._message())
        if "failure" in reply:
            raise ReaderFailed(reply["failure"])
        if "reason" in reply:
            raise ReadError(**{**reply, "reason": Reason(reply["reason"])})
        if into is not None and into.size:
            with self._child_errors():
                self.connection.recv_bytes_into(into.data.cast("B"))
        return reply

    def request(self, request: dict[str, Any], into: Samples) -> Samples:
        """Request samples and wait for them."""
        with self._child_errors():
            _send(self.connection, request)
        self.receive(into)
        return into

    def _message(self) -> bytes:
        if not self.connection.poll(self.timeout):
            raise unreadable(self.path, "its library does not terminate")
        return self.connection.recv_bytes()

    @contextmanager
    def _child_errors(self) -> Iterator[None]:
        """Raise if the child died. Close the connection on any error: a late reply must not be taken for the next."""
        if self.connection.closed:
            raise ReaderFailed(f"an earlier read of {self.path.name} was interrupted")
        try:
            yield
        except (EOFError, OSError):
            self.connection.close()
            exit_signal = -self.child.wait()
            if exit_signal in _CRASHES:
                raise unreadable(self.path, "its library crashes") from None
            if exit_signal == signal.SIGALRM:
                raise unreadable(self.path, "its library does not terminate") from None
            raise ReaderFailed(f"the process that read {self.path.name} ended with {-exit_signal}") from None
        except BaseException:
            self.connection.close()
            raise


@dataclass(frozen=True)
class _RemoteSamples:
    """Samples that the reading process serves (`labram.signals.recording.Signal`)."""

    reader: _Reader
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        request = {"picks": [int(pick) for pick in picks], "start": int(start), "stop": int(stop)}
        return self.reader.request(request, np.empty((len(picks), stop - start), self.dtype))


def _timeout(path: Path) -> int:
    return _SECONDS + _size(path) // _BYTES_PER_SECOND


def _size(path: Path) -> int:
    """Return the size of a recording's file with the files beside it that have its name."""
    return sum(part.stat().st_size for part in path.parent.glob(f"{glob.escape(path.stem)}.*") if part.is_file())


def _send(connection: Connection, values: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(values).encode())


def _limit_memory(path: Path) -> None:
    limit_memory(_MEMORY_BYTES + _MEMORY_RATIO * _size(path))


@contextmanager
def _send_errors(connection: Connection, path: Path) -> Iterator[None]:
    """Send errors to the parent; of a bug in labram, its type only."""
    try:
        yield
    except ReadError as error:
        _send_read_error(connection, error)
    except MemoryError:
        _send_read_error(connection, unreadable(path, "MemoryError"))
    except Exception as error:
        _send(connection, {"failure": type(error).__name__})


def _send_read_error(connection: Connection, error: ReadError) -> None:
    _send(connection, {name: getattr(error, name) for name in ("problem", "reason", "remedy", "file", "field")})
