"""A pool of worker processes that loses only one task when a worker crashes or runs out of memory."""

import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from labram.child_process import ChildProcess, connect, discard_output
from labram.errors import LabramError, PlatformError
from labram.memory import keep_freed_memory, limit_memory
from labram.scratch_folder import scratch_folder

Task = TypeVar("Task")
Result = TypeVar("Result")

_SERVE = "import sys; from labram.corpus.process_pool import serve; serve(sys.argv[1])"
WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment variables of a worker: one thread, because there are several workers."""
_OOM_SCORE = "500"
_worker = False
"""Whether this process is a worker."""
_GRACE_SECONDS = 10.0


def map_unordered(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int
) -> Iterator[tuple[int, Result | None]]:
    """Apply a function to every task in worker processes, which share a folder of temporary files.

    Args:
        work: The function; it, tasks and results must be picklable.
        tasks: Started in this order.
        workers: Number of processes; 0 runs in the calling process, which a task may then crash.

    Yields:
        Index of the task and its result, in order of completion; None if its worker died.

    Raises:
        LabramError: If `work` raises it; any other exception ends the worker.
        PlatformError: If workers cannot be started.
    """
    if not workers:
        yield from ((index, work(task)) for index, task in enumerate(tasks))
        return
    with scratch_folder() as scratch:
        yield from _map_in_processes(work, tasks, workers, scratch)


@contextmanager
def limited(*, seconds: int, memory_bytes: int) -> Iterator[None]:
    """Limit time and additional memory of a part of a task: the worker is killed, or an allocation fails.

    Libraries of C neither end nor fail otherwise. Outside a worker process there is no limit.
    """
    if not _worker:
        yield
        return
    limit_memory(memory_bytes)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        limit_memory(None)


def _map_in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], workers: int, scratch: Path
) -> Iterator[tuple[int, Result | None]]:
    queue = deque(enumerate(tasks))
    unfinished = len(queue)
    pool: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(workers, unfinished)):
            _add_worker(pool, work, scratch)
        while unfinished:
            for connection in wait(list(pool)):
                assert isinstance(connection, Connection)
                worker = pool[connection]
                done = worker.task
                result, alive = worker.receive()
                if alive and queue:
                    worker.start(*queue.popleft())
                else:
                    pool.pop(connection).stop()
                    if queue:
                        _add_worker(pool, work, scratch)
                if done is not None:
                    unfinished -= 1
                    yield done, result
    finally:
        for worker in pool.values():
            worker.stop()


def _add_worker(pool: "dict[Connection, _Worker]", work: Callable[[Any], object], scratch: Path) -> None:
    worker = _Worker(work, scratch)
    pool[worker.connection] = worker


class _Worker:
    """A worker process, seen from its parent.

    Attributes:
        connection: Connection to the worker.
        task: Index of its current task; None before the worker is ready.
    """

    def __init__(self, work: Callable[[Any], object], scratch: Path) -> None:
        environment = {**WORKER_ENVIRONMENT, "TMPDIR": str(scratch)}
        self._child = ChildProcess(["-c", _SERVE], quiet=False, environment=environment)
        self.connection = self._child.connection
        self.task: int | None = None
        self._send(work)

    def start(self, index: int, task: object) -> None:
        """Start a task."""
        self.task = index
        self._send(task)

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # `receive` notices a dead worker
            self.connection.send(message)

    def receive(self) -> tuple[Any, bool]:
        """Return the worker's message, and whether the worker is alive."""
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            if self.task is None:
                raise PlatformError(
                    "a worker process ended before it was ready",
                    remedy="See its message above; if there is none, free some memory",
                ) from None
            return None, False
        if isinstance(message, LabramError):
            raise message
        return message, True

    def stop(self) -> None:
        """Stop the worker; SIGTERM lets it delete its unfinished files."""
        self._child.stop(_GRACE_SECONDS)


def serve(descriptor: str) -> None:
    """Run a worker: receive the function, then task after task, until the connection closes."""
    global _worker
    _worker = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(OSError):  # if memory runs out, the kernel should kill this process, not its parent
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="utf-8")
    keep_freed_memory()
    connection = connect(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work = connection.recv()
        discard_output()
        connection.send(None)
        while True:
            task = connection.recv()
            try:
                result = work(task)
            except LabramError as error:
                result = error
            connection.send(result)
