"""On-disk buffer for MLflow metrics: training continues while the tracking server is unavailable.

A run's metrics are appended to a JSON Lines file; a thread sends them in batches and stores the number of bytes sent
beside it. MLflow stores a metric with the same name, step, timestamp and value only once, so a batch can be sent again
after a lost response. Metrics that a process could not send are sent by the next process.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from labram.atomic import atomic_path
from labram.jsonl import append_rows

METRICS_PER_REQUEST = 900
SECONDS_BETWEEN_BATCHES, MAX_BACKOFF_SECONDS = 1.0, 30.0
Send = Callable[[str, list[dict[str, Any]]], None]


class MetricBuffer:
    """Buffer for the metrics of one run.

    Args:
        folder: Folder with the buffers of all runs.
        run_id: MLflow run id.
        send: Sends at most `METRICS_PER_REQUEST` metrics ``{"key", "value", "timestamp", "step"}`` of a run; raises if
            the server is unavailable.
        note: Called with a message when the server stops or resumes responding.
    """

    def __init__(self, folder: Path, run_id: str, send: Send, note: Callable[[str], None]) -> None:
        self._file, self._run_id, self._send, self._note = folder / f"{run_id}.jsonl", run_id, send, note
        self._wake, self._closing = threading.Event(), False
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(_lock(self._file))
        self._lock.acquire()
        with self._file.open("a+b") as file:
            if file.tell() and self._file.read_bytes()[-1:] != b"\n":
                file.write(b"\n")
        self._thread = threading.Thread(target=self._deliver, name="metrics", daemon=True)
        self._thread.start()

    def add(self, step: int, values: Mapping[str, float], timestamp: int | None = None) -> None:
        """Append the metrics of a step to the buffer. Does not wait for the server.

        Args:
            step: The step.
            values: Metrics by name.
            timestamp: Milliseconds since 1970; None: now. MLflow stores equal metrics of the same time once.
        """
        now = int(time.time() * 1000) if timestamp is None else timestamp
        rows = ({"key": name, "value": float(value), "timestamp": now, "step": step} for name, value in values.items())
        append_rows(self._file, *rows)
        self._wake.set()

    def close(self, patience: float) -> bool:
        """Wait for at most `patience` seconds until all metrics are sent.

        Returns:
            Whether all were sent. The others stay on disk.
        """
        self._closing = True
        self._wake.set()
        self._thread.join(patience)
        sent = not self._thread.is_alive()
        if sent:
            _remove(self._file)
        self._lock.release()
        return sent

    def _send_now(self) -> None:
        _send_all(self._file, self._send)
        with _buffers_of_dead_processes(self._file) as files:
            for file in files:
                _send_all(file, self._send)
                _remove(file)

    def _deliver(self) -> None:
        """Send metrics until `close` is called and none are left."""
        backoff = SECONDS_BETWEEN_BATCHES
        while True:
            self._wake.wait(SECONDS_BETWEEN_BATCHES)
            self._wake.clear()
            closing = self._closing
            try:
                self._send_now()
            except Exception as error:
                if backoff == SECONDS_BETWEEN_BATCHES:
                    self._note(f"MLflow does not respond ({type(error).__name__}); metrics are buffered on disk")
                time.sleep(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
                self._wake.set()
                continue
            if backoff > SECONDS_BETWEEN_BATCHES:
                self._note("MLflow responds again; all buffered metrics were sent")
                backoff = SECONDS_BETWEEN_BATCHES
            if closing:
                return


def _send_all(file: Path, send: Send) -> None:
    """Send the unsent metrics of a buffer file in batches."""
    sent_bytes = _sent_bytes_file(file)
    with file.open("rb") as stream:
        stream.seek(int(sent_bytes.read_text(encoding="utf-8")) if sent_bytes.exists() else 0)
        for batch, position in _batches(stream):
            send(file.stem, batch)
            with atomic_path(sent_bytes) as temporary:
                temporary.write_text(str(position), encoding="utf-8")


def _batches(stream: IO[bytes]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Yield batches of metrics and the file position after each. Lines that a killed writer cut short are skipped."""
    batch: list[dict[str, Any]] = []
    position = stream.tell()
    for line in stream:
        if not line.endswith(b"\n"):
            break
        position += len(line)
        with suppress(ValueError):
            batch.append(json.loads(line))
        if len(batch) == METRICS_PER_REQUEST:
            yield batch, position
            batch = []
    if batch:
        yield batch, position


@contextmanager
def _buffers_of_dead_processes(own: Path) -> Iterator[list[Path]]:
    """Yield the buffer files of ended processes, locked so that no other process sends them too."""
    with ExitStack() as locks:
        files = []
        for file in sorted(own.parent.glob("*.jsonl")):
            if file == own:
                continue
            with suppress(Timeout):
                locks.enter_context(FileLock(_lock(file), timeout=0))
                files.append(file)
        yield files


def _sent_bytes_file(file: Path) -> Path:
    return file.with_suffix(".arrived")


def _lock(file: Path) -> Path:
    return file.with_suffix(".lock")


def _remove(file: Path) -> None:
    for path in (file, _sent_bytes_file(file)):
        path.unlink(missing_ok=True)
