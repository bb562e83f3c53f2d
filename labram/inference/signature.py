"""MLflow signature of every registered model: signals, with channel names, sampling rate and unit as parameters."""

from typing import TYPE_CHECKING

import numpy as np

from labram.input_spec import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def of_model() -> "ModelSignature":
    """Return the signature: a float32 tensor [windows, channels, samples], and parameters `channels`, `sfreq`, `unit`.

    The default of `channels` is empty, so that a request without it fails.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1, -1), "signals")]),
        params=ParamSchema(
            [
                ParamSpec("channels", "string", [], (-1,)),
                ParamSpec("sfreq", "double", float(SAMPLE_RATE_HZ)),
                ParamSpec("unit", "string", "uV"),
            ]
        ),
    )
