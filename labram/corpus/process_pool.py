"""Child processes that do one task at a time. One that dies, killed or out of memory, takes that task along, no other.

They are fresh interpreters: forks of a process with threads, of an S3 client for example, may hang, and
`multiprocessing` would import the caller's main module again.
"""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any, TypeVar

from labram.errors import LabramError, PlatformError
from labram.memory import keep_freed_memory

Task = TypeVar("Task")
Result = TypeVar("Result")

_SERVE = "import sys; from labram.corpus.process_pool import serve; serve(int(sys.argv[1]))"
WORKER_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Variables of a child process: one thread, for there are other processes."""
_FIRST_TO_GO = "500"
_PATIENCE_SECONDS = 10.0


def map_unordered(
    work: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int
) -> Iterator[tuple[int, Result | None]]:
    """Do every task, several at a time.

    Args:
        work: What to do; it, tasks and results must be picklable.
        tasks: Begun in this order.
        workers: How many processes. 0: no process but this one, which a task may then take along.

    Yields:
        Position of the task and its result, in the order in which they are done; None if its process died.

    Raises:
        LabramError: What `work` raises; all else that it raises ends its process.
        PlatformError: If processes cannot be started.
    """
    if not workers:
        yield from ((index, work(task)) for index, task in enumerate(tasks))
        return
    left = deque(enumerate(tasks))
    missing = len(left)
    team: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(workers, missing)):
            _join(team, work)
        while missing:
            for connection in wait(list(team)):
                assert isinstance(connection, Connection)
                worker = team[connection]
                done = worker.task
                result, alive = worker.answer()
                if alive and left:
                    worker.begin(*left.popleft())
                else:
                    team.pop(connection).stop()
                    if left:
                        _join(team, work)
                if done is not None:
                    missing -= 1
                    yield done, result
    finally:
        for worker in team.values():
            worker.stop()


def _join(team: "dict[Connection, _Worker]", work: Callable[[Any], object]) -> None:
    worker = _Worker(work)
    team[worker.connection] = worker


class _Worker:
    """A child process, seen from outside.

    Attributes:
        connection: To it.
        task: Position of the task that it was given last; None before it is ready for the first.
    """

    def __init__(self, work: Callable[[Any], object]) -> None:
        self.connection, theirs = Pipe()
        self.task: int | None = None
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _SERVE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **WORKER_ENVIRONMENT},
            )
        self._send(work)

    def begin(self, index: int, task: object) -> None:
        """Give it a task."""
        self.task = index
        self._send(task)

    def _send(self, what: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # whether it lives is seen from its answer
            self.connection.send(what)

    def answer(self) -> tuple[Any, bool]:
        """What it sent, and whether it is alive."""
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            if self.task is None:
                raise PlatformError(
                    "a process that reads recordings ended before it began",
                    remedy="See its own message above; if there is none, free some memory",
                ) from None
            return None, False
        if isinstance(answer, LabramError):
            raise answer
        return answer, True

    def stop(self) -> None:
        """End it; what it has begun to write it takes away."""
        self.connection.close()
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(descriptor: int) -> None:
    """The life of a child process: receive what to do, then task after task, until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(OSError):  # where memory runs out, this process goes and not the one that counts what is lost
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    keep_freed_memory()
    connection = Connection(descriptor)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        work = connection.recv()
        _be_quiet()
        connection.send(None)
        while True:
            task = connection.recv()
            try:
                answer = work(task)
            except LabramError as error:
                answer = error
            connection.send(answer)


def _be_quiet() -> None:
    """What libraries print about a recording may quote its header."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
