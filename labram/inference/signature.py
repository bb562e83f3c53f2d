"""The signature of every registered model: signals in µV, and as parameters their channel names and rate."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def of_model() -> "ModelSignature":
    """One float32 tensor [windows, channels, samples], and the parameters `channels` and `sfreq`.

    The default of `channels` is no channel, so that leaving it out is an error and never a guess.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1, -1), "signals")]),
        params=ParamSchema([ParamSpec("channels", "string", [], (-1,)), ParamSpec("sfreq", "double", 200.0)]),
    )
