"""What a registered version runs (MLflow calls this "models from code"): loads weights, answers windows.

MLflow executes this file on its own, so it is a script and nothing imports it. `predict` is not annotated because
MLflow would read annotations as a schema; the schema is in `labram.inference.signature`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from labram.inference.predictor import Predictor


class ServedModel(PythonModel):  # type: ignore[misc]
    """A LaBraM model behind MLflow's interface."""

    def load_context(self, context: Any) -> None:
        """Load the weights, once."""
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Answer windows.

        Args:
            context: Not needed any more.
            model_input: Signals in µV [windows, channels, samples], as an array or under the name ``signals``.
            params: `channels`, the names, and `sfreq`, the rate in Hz.

        Returns:
            See `labram.inference.predictor.Predictor.predict`.
        """
        signals = model_input["signals"] if isinstance(model_input, Mapping) else model_input
        given = params or {}
        channels = [str(name) for name in given.get("channels", ())]
        return self.predictor.predict(np.asarray(signals), channels, float(given.get("sfreq", 200.0)))


set_model(ServedModel())
