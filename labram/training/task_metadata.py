"""``task.json``: the metadata that turns a task model's outputs into predictions, stored beside its weights."""

from pathlib import Path
from typing import ClassVar, Self

from labram import checksums
from labram.errors import DamagedFileError, WeightsError
from labram.frozen_model import FrozenModel
from labram.recipe import TaskRecipe
from labram.training.output_files import TASK_FILE


class TaskMetadata(FrozenModel):
    """Metadata of a fine-tuned model.

    Attributes:
        recipe: The task's recipe, as trained.
        target_mean: Mean of each regression target over the training windows, in its own unit; empty for classes.
        target_sd: Standard deviation of each target. Prediction = output x target_sd + target_mean.
        montages: Montages of the training windows.
    """

    NAME: ClassVar[str] = TASK_FILE

    recipe: TaskRecipe
    target_mean: tuple[float, ...] = ()
    target_sd: tuple[float, ...] = ()
    montages: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the metadata of the model in `folder`.

        Raises:
            WeightsError: If the file is missing or invalid.
        """
        file = folder / cls.NAME
        try:
            return cls.model_validate(checksums.loads(checksums.read_checked(file)))
        except (OSError, ValueError, DamagedFileError) as error:
            raise WeightsError(
                f"the task metadata cannot be read ({type(error).__name__})",
                file=file,
                remedy="Pass a folder that fine-tuning wrote with this version of labram",
            ) from error

    def write(self, folder: Path) -> None:
        """Write the metadata beside the weights."""
        checksums.write_json(folder / self.NAME, self.model_dump(mode="json"), sort_keys=True)
