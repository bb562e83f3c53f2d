"""``task.json`` beside a task model's weights: what its outputs mean."""

from pathlib import Path
from typing import ClassVar

from labram.errors import WeightsError
from labram.recipe import Section, TaskRecipe


class TaskFile(Section):
    """The task of a fine-tuned model.

    Attributes:
        recipe: The task's recipe.
        target_mean: Mean of each regression target over the training windows; empty for classes.
        target_sd: Its standard deviation. A regression model gives (target - mean) / sd.
        montages: Montages of the training windows.
    """

    NAME: ClassVar[str] = "task.json"

    recipe: TaskRecipe
    target_mean: tuple[float, ...] = ()
    target_sd: tuple[float, ...] = ()
    montages: tuple[tuple[str, ...], ...] = ()

    def write(self, folder: Path) -> None:
        """Write `NAME` into a model's folder."""
        (folder / self.NAME).write_text(self.to_json() + "\n")

    @classmethod
    def read(cls, folder: Path) -> "TaskFile":
        """The task of a model's folder.

        Raises:
            WeightsError: If the file is absent or damaged.
        """
        path = folder / cls.NAME
        try:
            return cls.from_json(path.read_text())
        except (OSError, ValueError) as error:
            raise WeightsError(
                "the description of the model's task is absent or damaged",
                file=path.name,
                remedy="Name the folder that fine-tuning wrote",
            ) from error
