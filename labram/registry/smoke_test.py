"""Smoke-test gates: load a registered version from the registry and predict through its pyfunc."""

import numpy as np

from labram.errors import LabramError
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.tokenizer import Tokenizer
from labram.registry import gates, model_registry
from labram.registry.gates import Gate

CHANNELS = ("FP1", "CZ", "O2")
WINDOWS, SECONDS, SFREQ = 2, 2, 250.0
"""`SFREQ` differs from the model's sampling rate, so that resampling is tested too."""


def smoke_test(name: str, version: str) -> list[Gate]:
    """Check that the weights load strictly and that the pyfunc's output for synthetic windows is valid.

    Args:
        name: Registered name.
        version: Its version.

    Returns:
        The gate *weights* and, if they load, the gate *inference*.
    """
    uri = model_registry.get_version(name, version).uri
    try:
        model = weights.load(model_registry.local_folder(uri))
    except LabramError as error:
        return [gates.weights_load(error)]
    loaded = gates.weights_load(len(model.state_dict()))
    if isinstance(model, Tokenizer):
        expected: tuple[int, ...] = (WINDOWS, len(CHANNELS) * SECONDS)
    elif isinstance(model, DownstreamModel):
        expected = (WINDOWS,) if model.outputs == 1 and _is_binary(uri) else (WINDOWS, model.outputs)
    else:
        expected = (WINDOWS, model.config.width)
    return [loaded, gates.smoke_inference(_predict(uri), expected)]


def _is_binary(uri: str) -> bool:
    from labram.training.task_metadata import TaskMetadata

    return TaskMetadata.read(model_registry.local_folder(uri)).recipe.kind == "binary"


def _predict(uri: str) -> np.ndarray | LabramError:
    import mlflow

    samples = int(SECONDS * SFREQ)
    signals = 20 * np.random.default_rng(0).normal(size=(WINDOWS, len(CHANNELS), samples))
    try:
        model = mlflow.pyfunc.load_model(uri)
        output = model.predict(signals.astype(np.float32), params={"channels": list(CHANNELS), "sfreq": SFREQ})
    except LabramError as error:
        return error
    return np.asarray(output)
