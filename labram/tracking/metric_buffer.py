"""Metrics on their way to MLflow: kept on disk first, sent by a thread, so that a server that is away stops nothing.

Each run has a file of JSON lines and, beside it, the number of bytes that have arrived. A metric's time is that of its
measurement, and MLflow takes a metric of the same name, step, time and value only once; so a batch whose answer was
lost may be sent again, and everything is delivered exactly once. What a process leaves unsent is sent by the next one.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

METRICS_PER_REQUEST = 900
SECONDS_BETWEEN_BATCHES, LONGEST_PAUSE = 1.0, 30.0
Send = Callable[[str, list[dict[str, Any]]], None]


class MetricBuffer:
    """The metrics of one run.

    Args:
        folder: For the spools of all runs.
        run_id: MLflow's.
        send: Delivers metrics ``{"key", "value", "timestamp", "step"}`` of a run, at most `METRICS_PER_REQUEST`;
            raises if that cannot be done now.
        note: Is told when the server goes away and when it is back.
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

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the metrics of a step; they are sent when they can be."""
        now = int(time.time() * 1000)
        lines = (
            json.dumps({"key": name, "value": float(value), "timestamp": now, "step": step}) + "\n"
            for name, value in values.items()
        )
        with self._file.open("a") as file:
            file.write("".join(lines))
        self._wake.set()

    def close(self, patience: float) -> bool:
        """Wait until all is sent, for some seconds at most; gives whether it is. What is not stays on disk."""
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
        with _left_by_others(self._file) as files:
            for file in files:
                _send_all(file, self._send)
                _remove(file)

    def _deliver(self) -> None:
        """Send what there is until `close` is called and nothing is left."""
        pause = SECONDS_BETWEEN_BATCHES
        while True:
            self._wake.wait(SECONDS_BETWEEN_BATCHES)
            self._wake.clear()
            closing = self._closing
            try:
                self._send_now()
            except Exception as error:
                if pause == SECONDS_BETWEEN_BATCHES:
                    self._note(f"MLflow does not answer ({type(error).__name__}): metrics are kept until it does")
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                self._wake.set()
                continue
            if pause > SECONDS_BETWEEN_BATCHES:
                self._note("MLflow answers again: all metrics were delivered")
                pause = SECONDS_BETWEEN_BATCHES
            if closing:
                return


def _send_all(file: Path, send: Send) -> None:
    """Send what of a run's file has not arrived yet, batch by batch."""
    arrived = _arrived(file)
    with file.open("rb") as stream:
        stream.seek(int(arrived.read_text()) if arrived.exists() else 0)
        for batch, place in _batches(stream):
            send(file.stem, batch)
            fresh = arrived.with_suffix(".fresh")
            fresh.write_text(str(place))
            fresh.replace(arrived)


def _batches(stream: IO[bytes]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Metrics of whole lines, and the place after each batch; what a killed writer left of a line is passed over."""
    batch: list[dict[str, Any]] = []
    place = stream.tell()
    for line in stream:
        if not line.endswith(b"\n"):
            break
        place += len(line)
        with suppress(ValueError):
            batch.append(json.loads(line))
        if len(batch) == METRICS_PER_REQUEST:
            yield batch, place
            batch = []
    if batch:
        yield batch, place


@contextmanager
def _left_by_others(own: Path) -> Iterator[list[Path]]:
    """Files of processes that are gone, held against other processes that would send them too."""
    with ExitStack() as held:
        files = []
        for file in sorted(own.parent.glob("*.jsonl")):
            if file == own:
                continue
            with suppress(Timeout):
                held.enter_context(FileLock(_lock(file), timeout=0))
                files.append(file)
        yield files


def _arrived(file: Path) -> Path:
    return file.with_suffix(".arrived")


def _lock(file: Path) -> Path:
    return file.with_suffix(".lock")


def _remove(file: Path) -> None:
    for path in (file, _arrived(file)):
        path.unlink(missing_ok=True)
