"""System metrics of a running step, for the *System metrics* tab of its MLflow run.

MLflow's own monitors take the samples. MLflow's sampling thread is not used: it queries the server after every sample
and stops for good when the server does not respond. Here samples go through `labram.tracking.metric_buffer`.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

SECONDS_BETWEEN_SAMPLES = 10.0
PREFIX = "system/"
"""Prefix by which MLflow recognises system metrics."""
Record = Callable[[int, Mapping[str, float]], None]


@contextmanager
def log_system_metrics(record: Record) -> Iterator[None]:
    """Record CPU, memory, network and GPU usage every ten seconds and once at the end.

    Args:
        record: Called from a thread with the step (seconds since the start) and the metrics.
    """
    monitors, start, stop = _monitors(), time.monotonic(), threading.Event()

    def sample_until_stopped() -> None:
        stopped = False
        while not stopped:
            stopped = stop.wait(SECONDS_BETWEEN_SAMPLES)
            record(round(time.monotonic() - start), _sample(monitors))

    thread = threading.Thread(target=sample_until_stopped, name="system metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _monitors() -> list[Any]:
    """Return the monitors that work on this machine, and start their counters."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[Any] = [CPUMonitor(), NetworkMonitor()]
    with suppress(ImportError, RuntimeError):  # raised without NVML, or without a GPU
        monitors.append(GPUMonitor())
    _sample(monitors)
    return monitors


def _sample(monitors: Sequence[Any]) -> dict[str, float]:
    metrics = {}
    for monitor in monitors:
        monitor.collect_metrics()
        metrics.update({f"{PREFIX}{name}": float(value) for name, value in monitor.aggregate_metrics().items()})
        monitor.clear_metrics()
    return metrics
