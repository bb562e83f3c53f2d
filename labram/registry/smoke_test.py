"""Smoke-test gates: load a registered version from the registry, and predict through its pyfunc and over HTTP."""

import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from labram.errors import LabramError, RegistryError
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import LEAST_WINDOWS
from labram.registry import gates, manifest, model_registry
from labram.registry.gates import Gate
from labram.signals.alignment import seconds_needed
from labram.training.task_metadata import TaskMetadata

CHANNELS = ("FP1", "CZ", "O2")
WINDOWS, SECONDS, SFREQ = 2, 2, 250.0
"""Windows for models of any montage. `SFREQ` differs from the model's sampling rate, so that resampling is tested."""

SERVER_SECONDS = 120


def smoke_test(name: str, version: str) -> list[Gate]:
    """Check that the weights load strictly and that the pyfunc's output for synthetic windows is valid.

    Args:
        name: Registered name.
        version: Its version.

    Returns:
        The gate *weights*; if they load, the gate *inference*; and if that returns something, the gate *server*.
    """
    registered = model_registry.get_version(name, version)
    try:
        downloaded = model_registry.local_version(registered)
        folder = downloaded / manifest.MODEL
        model = weights.load(folder)
    except LabramError as error:
        return [gates.weights_load(error)]
    loaded = gates.weights_load(len(model.state_dict()))
    task = TaskMetadata.read(folder) if (folder / TaskMetadata.NAME).is_file() else None
    windows, channels, seconds = _request(task)
    if isinstance(model, Tokenizer):
        expected: tuple[int, ...] = (windows, len(channels) * seconds)
    elif isinstance(model, DownstreamModel):
        expected = (windows,) if task and task.recipe.kind == "binary" else (windows, model.outputs)
    else:
        expected = (windows, model.config.width)
    signals = _signals(windows, channels, seconds)
    output = _predict(downloaded, signals, channels)
    answers = [loaded, gates.smoke_inference(output, expected)]
    if isinstance(output, np.ndarray):
        answers.append(gates.served_inference(_serve(folder, name, version, signals, channels), output))
    return answers


def _signals(windows: int, channels: Sequence[str], seconds: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(windows, len(channels), int(seconds * SFREQ)))
    return (20 * noise).round(1).astype(np.float32)


def _request(task: TaskMetadata | None) -> tuple[int, tuple[str, ...], int]:
    """Return number of windows, channels and seconds: for a task its own, and as many windows as alignment needs."""
    if task is None or not task.montages:
        return WINDOWS, CHANNELS, SECONDS
    channels, seconds = task.montages[0], task.recipe.seconds
    aligned = -(-seconds_needed(task.recipe.alignment, len(channels)) // seconds)
    return max(LEAST_WINDOWS, aligned), channels, seconds


def _predict(downloaded: Path, signals: np.ndarray, channels: Sequence[str]) -> np.ndarray | LabramError:
    """Predict through MLflow, which runs the verified code of the version, without caches."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as temporary:
            model = mlflow.pyfunc.load_model(str(manifest.copy_without_caches(downloaded, Path(temporary, "version"))))
            output = model.predict(signals, params={"channels": list(channels), "sfreq": SFREQ})
    except MlflowException as error:
        if isinstance(error.__cause__, LabramError):
            return error.__cause__
        raise
    except LabramError as error:
        return error
    return np.asarray(output)


def _serve(
    folder: Path, name: str, version: str, signals: np.ndarray, channels: Sequence[str]
) -> np.ndarray | LabramError:
    """Start the server of `labram serve` on a free port of this machine, and ask it once."""
    import requests

    body = {
        "inputs": {"signals": [[[round(float(x), 1) for x in row] for row in window] for window in signals]},
        "params": {"channels": list(channels), "sfreq": SFREQ},
    }
    with _running(folder, name, version) as address, requests.Session() as session:
        session.trust_env = False  # a proxy does not reach this machine's own address
        try:
            answer = session.post(f"{address}/invocations", json=body, timeout=SERVER_SECONDS)
            content = answer.json()
        except requests.RequestException as error:
            return RegistryError(
                f"the server did not answer ({type(error).__name__})", remedy="Try `labram serve` with this version"
            )
        if answer.status_code == requests.codes.ok:
            return np.asarray(content["predictions"])
        return RegistryError(f"status {answer.status_code}: {content['problem']}", remedy=content["remedy"])


@contextmanager
def _running(folder: Path, name: str, version: str) -> Iterator[str]:
    import uvicorn

    from labram.inference.predictor import Predictor
    from labram.inference.served import Served
    from labram.inference.server import application

    app = application(Predictor(folder), Served(name, version, ""))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(SERVER_SECONDS)
