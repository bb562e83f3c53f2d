"""Test predictions of registered task models, as artifacts of the run that registered them.

They are not part of a version: labels of subjects, even under pseudonyms, do not travel with its weights.
"""

import shutil
import tempfile
from pathlib import Path

from labram.errors import RegistryError
from labram.evaluation.predictions import Predictions
from labram.registry import model_registry

FOLDER = "predictions"


def log(run_id: str, task: str, file: Path) -> None:
    """Log the predictions of a task as an artifact of an MLflow run.

    Args:
        run_id: The run.
        task: The task's name.
        file: The predictions that `labram.evaluation.record.Predictions.write` wrote.
    """
    with tempfile.TemporaryDirectory() as temporary:
        named = shutil.copyfile(file, Path(temporary) / f"{task}{file.suffix}")
        model_registry.client().log_artifact(run_id, str(named), FOLDER)


def read(run_id: str, task: str) -> Predictions:
    """Return the test predictions of the task model that a run registered.

    Raises:
        RegistryError: If its run has none: it was registered by an earlier release, or its artifacts were deleted.
        DamagedFileError: If they were altered.
    """
    with tempfile.TemporaryDirectory() as temporary:
        return Predictions.read(download(run_id, task, Path(temporary) / f"{task}.parquet"))


def download(run_id: str, task: str, out: Path) -> Path:
    """Copy the test predictions of a task to the file `out`, and return `out`.

    Raises:
        RegistryError: See `read`.
    """
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as temporary:
        try:
            file = model_registry.client().download_artifacts(run_id, f"{FOLDER}/{task}.parquet", dst_path=temporary)
            return Path(shutil.copyfile(file, out))
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"the run has no predictions of task {task!r}",
                field=run_id,
                remedy="Run the same command again with --force: it registers a version with predictions",
            ) from error
