"""Where a training runs: in this process, in several on this machine, or on several nodes of a cluster.

The training is the same; a launcher starts it, passes on what it says, and gives its figures or raises its error. The
third launcher, `labram.training.distributed.train_job.TrainJob`, needs a cluster.
"""

import os
import shutil
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from labram.errors import LabramError, PlatformError, TrainingError
from labram.events import Monitor
from labram.training.distributed.job import Job, Receiver
from labram.training.preemption import EXIT_CODE

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

NODES, PROCESSES = "LABRAM_NODES", "LABRAM_PROCESSES"
"""Environment variables: nodes that a training takes, and processes on each. Neither changes what is trained on."""
WORKER = "labram.training.distributed.worker"
JOB, LINES = "job.json", "lines.jsonl"
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_SAVE = 18
"""After SIGTERM; the pod's grace period is 30 s and 20 s are promised."""


class Launcher(Protocol):
    """Starts trainings."""

    def run(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """Do the job to its end; gives its figures.

        Raises:
            LabramError: As the job does; `TrainingError` if a process of it died.
            SystemExit: With code 143 after SIGTERM; a checkpoint was written.
        """
        ...


class InProcess:
    """The training is done here."""

    def run(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """See `Launcher.run`."""
        return job.run(monitor)


@dataclass(frozen=True)
class Torchrun:
    """Several processes on this machine, one a GPU where there are GPUs, under the agent behind `torchrun`.

    SIGTERM is passed on to all of them, and they agree after which step they stop; a second one ends this process at
    once, and theirs with their next step.
    """

    processes: int

    def run(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """See `Launcher.run`."""
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        with written(job) as folder, _signals_kept():
            receiver = Receiver(folder / LINES, monitor)
            try:
                with _received(receiver):
                    self._launch(folder)
            except ChildFailedError as failure:
                raise _explained(failure, receiver.error) from None
            except SignalException as caught:
                raise SystemExit(128 + caught.sigval) from None
            return figures_of(receiver)

    def _launch(self, folder: Path) -> None:
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=self.processes,
            run_id=folder.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=SECONDS_BETWEEN_LOOKS,
            shutdown_timeout=SECONDS_TO_SAVE,
        )
        elastic_launch(config, sys.executable)("-m", WORKER, str(folder / JOB), str(folder / LINES))


def chosen() -> Launcher:
    """The launcher that the environment asks for: as many processes as there are GPUs, on one node, by default.

    Raises:
        PlatformError: If one of the variables is no positive whole number.
    """
    import torch

    nodes, processes = _count(NODES, 1), _count(PROCESSES, max(1, torch.cuda.device_count()))
    if nodes > 1:
        from labram.training.distributed.train_job import Cluster, TrainJob

        return TrainJob(nodes, processes, Cluster.described(os.environ, nodes))
    return Torchrun(processes) if processes > 1 else InProcess()


@contextmanager
def written(job: Job) -> Iterator[Path]:
    """A folder beside the job's checkpoints that holds the job for its processes, and what they say."""
    folder = job.checkpoints / f".job-{uuid.uuid4().hex[:12]}"
    try:
        folder.mkdir(parents=True)
        (folder / JOB).write_text(job.to_json())
    except OSError as error:
        raise PlatformError(
            f"the training cannot be handed to other processes ({error.strerror})",
            file=job.checkpoints,
            remedy="Name a folder in which you may write",
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def figures_of(receiver: Receiver) -> dict[str, float]:
    """The figures of a training that ended well.

    Raises:
        TrainingError: If it never said that it was finished.
    """
    if receiver.figures is None:
        raise TrainingError("the training ended without a result", remedy="Look at the log, and run it again")
    return receiver.figures


def _count(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise PlatformError(f"{text!r} is not a number of 1 or more", field=variable, remedy="Set it to 1, 2, 4 …")
    return int(text)


@contextmanager
def _received(receiver: Receiver) -> Iterator[None]:
    """Pass on what the processes say, in a thread: this one waits for them, and for signals."""
    over = threading.Event()

    def receive() -> None:
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            receiver.receive()
        receiver.receive()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="receiver") as thread:
        receiving = thread.submit(receive)
        try:
            yield
        finally:
            over.set()
            receiving.result()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """The agent takes signals for itself and does not give them back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _explained(failure: "ChildFailedError", said: LabramError | None) -> BaseException:
    """What a user should read: the process's own words, or how it ended."""
    rank, first = failure.get_first_failure()
    if first.exitcode == EXIT_CODE:
        return SystemExit(EXIT_CODE)
    if said is not None:
        return said
    how = f"was killed by {first.signal_name()}" if first.exitcode < 0 else f"ended with exit code {first.exitcode}"
    return TrainingError(
        f"process {rank} of the training {how}, and the others were stopped",
        remedy="Run it again: it goes on from the newest checkpoint; the log above says more",
    )
