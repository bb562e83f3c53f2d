"""MLflow pyfunc of every registered model version ("models from code").

MLflow runs this file as a script, so no module imports it. `predict` is not annotated, because MLflow would infer a
schema from annotations; the schema is in `labram.inference.signature`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel

from labram.errors import LabramError
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
            params: `channels`, the channel names, `sfreq`, the sampling rate in Hz, and `unit`.

        Returns:
            See `labram.inference.predictor.Predictor.predict`.

        Raises:
            MlflowException: If the signals are invalid. MLflow's server answers with its text, but of any other error
                with a traceback.
        """
        signals = model_input["signals"] if isinstance(model_input, Mapping) else model_input
        params = params or {}
        channels = [str(name) for name in params.get("channels", ())]
        sfreq, unit = float(params.get("sfreq", SAMPLE_RATE_HZ)), str(params.get("unit", "uV"))
        try:
            return self.predictor.predict(np.asarray(signals), channels, sfreq, unit)
        except LabramError as error:
            text = f"{error.field}: {error.problem}. {error.remedy}."
            raise MlflowException(text, error_code=INVALID_PARAMETER_VALUE) from error


set_model(ServedModel())
