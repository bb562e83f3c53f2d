"""Smoke inference: a registered version is loaded the way a server would load it, and asked once."""

import numpy as np

from labram.errors import LabramError, WeightsError
from labram.evaluation.inference import RATE, Inference
from labram.operations import registry
from labram.operations.gates import Gate, smoke_inference, weights_load

CHANNELS = ("FP1", "FP2", "CZ", "O1", "O2")
FALLBACK_SECONDS = 2
WINDOWS = 2


def smoke_test(name: str, version: str) -> list[Gate]:
    """Two gates: the weights load with nothing missing, and the served model answers a window as it must."""
    uri = f"models:/{name}/{version}"
    try:
        inference = Inference(registry.resolve(uri))
    except WeightsError as error:
        return [weights_load({error.problem: 1})]
    montage = inference.task.montages[0] if inference.task and inference.task.montages else CHANNELS
    seconds = inference.task.recipe.seconds if inference.task else FALLBACK_SECONDS
    signals = np.random.default_rng(0).normal(0, 20, (WINDOWS, len(montage), seconds * RATE)).astype(np.float32)
    expected = inference.predict(signals, montage)
    return [weights_load({}), smoke_inference(_ask(uri, signals, montage), expected.shape)]


def _ask(uri: str, signals: np.ndarray, montage: tuple[str, ...]) -> np.ndarray | LabramError:
    import mlflow

    try:
        model = mlflow.pyfunc.load_model(uri)
        return np.asarray(model.predict(signals, params={"channels": list(montage), "sfreq": float(RATE)}))
    except LabramError as error:
        return error
