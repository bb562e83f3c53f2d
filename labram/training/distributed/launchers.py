"""Launchers of a training: in this process, in several processes on this machine, or on several nodes of a cluster.

The training itself is the same. A launcher starts it, passes on its progress and metrics, and returns its final metrics
or raises its error.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from labram.errors import LabramError, PlatformError, TrainingError
from labram.events import Monitor
from labram.training.distributed.job import (
    EVENTS_FILE,
    JOB_FILE,
    SHUTDOWN_SECONDS,
    WORKER_MODULE,
    EventReceiver,
    Job,
    job_folder,
)
from labram.training.distributed.train_job import TrainJobLauncher, TrainJobSettings
from labram.training.preemption import EXIT_CODE

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

NODES, PROCESSES = "LABRAM_NODES", "LABRAM_PROCESSES"
"""Environment variables: number of nodes, and of processes per node. Neither changes the training data of a step."""
POLL_SECONDS = 0.1


class Launcher(Protocol):
    """Starts a training and follows it to its end."""

    def launch(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """Run the job and return its final metrics.

        Raises:
            LabramError: The job's own error; `TrainingError` if one of its processes died.
            SystemExit: With code 143 after SIGTERM, once a checkpoint is written.
        """
        ...


@dataclass(frozen=True)
class InProcessLauncher:
    """Trains in this process."""

    def launch(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """Run the job, see `Launcher.launch`."""
        from labram.training.distributed.worker import run_stage

        return run_stage(job, monitor)


@dataclass(frozen=True)
class TorchrunLauncher:
    """Trains in several processes on this machine, one per GPU if there are GPUs, under PyTorch's elastic agent.

    SIGTERM is forwarded to all of them, and they agree on the step after which they stop. A second SIGTERM ends this
    process at once, and the others at their next step.
    """

    processes: int

    def launch(self, job: Job, monitor: Monitor) -> dict[str, float]:
        """Run the job, see `Launcher.launch`."""
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        with job_folder(job) as folder, _signal_handlers_restored():
            receiver = EventReceiver(folder / EVENTS_FILE, monitor)
            try:
                with _receiving(receiver):
                    self._start_agent(folder)
            except ChildFailedError as failure:
                raise _root_cause(failure, receiver.error) from None
            except SignalException as signalled:
                raise SystemExit(128 + signalled.sigval) from None
            return receiver.final_metrics()

    def _start_agent(self, folder: Path) -> None:
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=self.processes,
            run_id=folder.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=POLL_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        elastic_launch(config, sys.executable)("-m", WORKER_MODULE, str(folder / JOB_FILE), str(folder / EVENTS_FILE))


def select_launcher(job: Job, monitor: Monitor) -> Launcher:
    """Return the launcher for `LABRAM_NODES` and `LABRAM_PROCESSES`; by default one node, one process per GPU.

    Of these, as many are used as divide the job's `micro_batches`, and a note reports it if they are fewer.

    Raises:
        PlatformError: If one of the variables is not a positive integer.
    """
    import torch

    from labram.training.device import select_device

    present = torch.cuda.device_count() if select_device() == torch.device("cuda") else 1
    most = _count(NODES, 1), _count(PROCESSES, present)
    nodes, processes = _dividing(job.micro_batches, *most)
    if (nodes, processes) != most:
        monitor.note(
            f"using {nodes * processes} of {most[0] * most[1]} processes or GPUs: more do not divide "
            f"{job.micro_batches} micro-batches a step evenly"
        )
    if most[0] > 1:
        return TrainJobLauncher(nodes, processes, TrainJobSettings.from_environment(os.environ, nodes))
    return TorchrunLauncher(processes) if processes > 1 else InProcessLauncher()


def _dividing(micro_batches: int | None, nodes: int, processes: int) -> tuple[int, int]:
    """Return the nodes and processes per node, of these at most, with the most processes that divide a step evenly."""
    if micro_batches is None:
        return nodes, processes
    choices = [(n, p) for n in range(1, nodes + 1) for p in range(1, processes + 1) if micro_batches % (n * p) == 0]
    return max(choices, key=lambda choice: (choice[0] * choice[1], choice[1]))


def _count(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise PlatformError(f"expected a positive integer, got {text!r}", field=variable, remedy="Set it to 1, 2, 4 …")
    return int(text)


@contextmanager
def _receiving(receiver: EventReceiver) -> Iterator[None]:
    """Receive events in a thread, while the main thread waits for processes and signals."""
    stopping = threading.Event()

    def poll() -> None:
        while not stopping.wait(POLL_SECONDS):
            receiver.receive()
        receiver.receive()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="receiver") as executor:
        polling = executor.submit(poll)
        try:
            yield
        finally:
            stopping.set()
            polling.result()


@contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    """Restore the signal handlers afterwards: the elastic agent installs its own and leaves them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _root_cause(failure: "ChildFailedError", reported: LabramError | None) -> BaseException:
    """Return the exception to raise: the worker's own error if it reported one, else how the process ended."""
    rank, first = failure.get_first_failure()
    if first.exitcode == EXIT_CODE:
        return SystemExit(EXIT_CODE)
    if reported is not None:
        return reported
    end = f"was killed by {first.signal_name()}" if first.exitcode < 0 else f"ended with exit code {first.exitcode}"
    return TrainingError(
        f"training process {rank} {end}, and the others were stopped",
        remedy="Read the log above, then run it again: it resumes from the newest checkpoint",
    )
