"""Smoke-test gates: load a registered version from the registry and predict through its pyfunc."""

from collections.abc import Sequence

import numpy as np

from labram.errors import LabramError
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import LEAST_WINDOWS
from labram.registry import gates, model_registry
from labram.registry.gates import Gate
from labram.signals.alignment import seconds_needed
from labram.training.task_metadata import TaskMetadata

CHANNELS = ("FP1", "CZ", "O2")
WINDOWS, SECONDS, SFREQ = 2, 2, 250.0
"""Windows for models of any montage. `SFREQ` differs from the model's sampling rate, so that resampling is tested."""


def smoke_test(name: str, version: str) -> list[Gate]:
    """Check that the weights load strictly and that the pyfunc's output for synthetic windows is valid.

    Args:
        name: Registered name.
        version: Its version.

    Returns:
        The gate *weights* and, if they load, the gate *inference*.
    """
    uri = model_registry.get_version(name, version).uri
    folder = model_registry.local_folder(uri)
    try:
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
    return [loaded, gates.smoke_inference(_predict(uri, windows, channels, seconds), expected)]


def _request(task: TaskMetadata | None) -> tuple[int, tuple[str, ...], int]:
    """Return number of windows, channels and seconds: for a task its own, and as many windows as alignment needs."""
    if task is None or not task.montages:
        return WINDOWS, CHANNELS, SECONDS
    channels, seconds = task.montages[0], task.recipe.seconds
    aligned = -(-seconds_needed(task.recipe.alignment, len(channels)) // seconds)
    return max(LEAST_WINDOWS, aligned), channels, seconds


def _predict(uri: str, windows: int, channels: Sequence[str], seconds: int) -> np.ndarray | LabramError:
    import mlflow
    from mlflow.exceptions import MlflowException

    signals = 20 * np.random.default_rng(0).normal(size=(windows, len(channels), int(seconds * SFREQ)))
    try:
        model = mlflow.pyfunc.load_model(uri)
        output = model.predict(signals.astype(np.float32), params={"channels": list(channels), "sfreq": SFREQ})
    except MlflowException as error:
        if isinstance(error.__cause__, LabramError):
            return error.__cause__
        raise
    except LabramError as error:
        return error
    return np.asarray(output)
