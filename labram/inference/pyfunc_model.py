"""MLflow pyfunc of every registered model version ("models from code").

MLflow runs this file as a script, so no module imports it. `predict` is not annotated, because MLflow would infer a
schema from annotations; the schema is in `labram.inference.signature`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from labram.inference.predictor import Predictor
from labram.input_spec import SAMPLE_RATE_HZ


class ServedModel(PythonModel):  # type: ignore[misc]
    """LaBraM model with MLflow's pyfunc interface."""

    def load_context(self, context: Any) -> None:
        """Load the weights."""
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Predict from windows.

        Args:
            context: Unused.
            model_input: Signals in µV [windows, channels, samples], as an array or a mapping with the key ``signals``.
            params: `channels`, the channel names, and `sfreq`, the sampling rate in Hz.

        Returns:
            See `labram.inference.predictor.Predictor.predict`.
        """
        signals = model_input["signals"] if isinstance(model_input, Mapping) else model_input
        params = params or {}
        channels = [str(name) for name in params.get("channels", ())]
        return self.predictor.predict(np.asarray(signals), channels, float(params.get("sfreq", SAMPLE_RATE_HZ)))


set_model(ServedModel())
