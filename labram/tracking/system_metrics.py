"""What the machine does while a step runs; MLflow shows it in a tab of its own beside the step's metrics.

The samples are those of MLflow's monitors. Its thread is not used: it asks the server after every sample and ends for
good when there is no answer. Here they go the way of all metrics, through the spool.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

SECONDS_BETWEEN_SAMPLES = 10.0
PREFIX = "system/"
"""By which MLflow tells these metrics from others."""
Record = Callable[[int, Mapping[str, float]], None]


@contextmanager
def log_system_metrics(record: Record) -> Iterator[None]:
    """Record use of processors, memory, network and GPUs every ten seconds and once at the end.

    Args:
        record: Called from a thread with the seconds since the beginning, as the step of the metrics.
    """
    monitors, begun, over = _monitors(), time.monotonic(), threading.Event()

    def watch() -> None:
        ended = False
        while not ended:
            ended = over.wait(SECONDS_BETWEEN_SAMPLES)
            record(round(time.monotonic() - begun), _sample(monitors))

    thread = threading.Thread(target=watch, name="system metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _monitors() -> list[Any]:
    """Those that work here; shares of time are counted from now on."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), NetworkMonitor()]
    with suppress(
        ImportError, RuntimeError
    ):  # MLflow's words for a machine without the GPU's library, or without a GPU
        monitors.append(GPUMonitor())
    _sample(monitors)
    return monitors


def _sample(monitors: Sequence[Any]) -> dict[str, float]:
    found = {}
    for monitor in monitors:
        monitor.collect_metrics()
        found.update({f"{PREFIX}{name}": float(value) for name, value in monitor.aggregate_metrics().items()})
        monitor.clear_metrics()
    return found
