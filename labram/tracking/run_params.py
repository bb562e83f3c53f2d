"""Parameters of the MLflow runs of steps: the settings of their recipe section."""

from collections.abc import Mapping
from contextlib import suppress

from labram.frozen_model import flatten


def log_params(run_id: str, settings: Mapping[str, object]) -> None:
    """Log settings as parameters of a run; those that it has already stay as they are.

    An unavailable server is not waited for: the parent run has the whole recipe.

    Args:
        run_id: MLflow run.
        settings: Nested settings.
    """
    from mlflow.entities import Param
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    with suppress(MlflowException):
        known = client.get_run(run_id).data.params
        new = {name: value for name, value in flatten(settings).items() if name not in known}
        client.log_batch(run_id, params=[Param(name, value[:6000]) for name, value in new.items()])
