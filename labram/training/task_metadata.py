"""`task.json`: what a fine-tuned model answers, beside its weights."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import ValidationError

from labram.errors import WeightsError
from labram.frozen_model import FrozenModel
from labram.recipe import TaskRecipe


class TaskFile(FrozenModel):
    """What is needed to turn a task model's outputs into answers.

    Attributes:
        recipe: The task as it was trained.
        target_mean: Mean of each regression target over the training windows, in its own unit; empty for classes.
        target_sd: Their standard deviations. Answer = output x target_sd + target_mean.
        montages: The montages that it was trained on.
    """

    NAME: ClassVar[str] = "task.json"

    recipe: TaskRecipe
    target_mean: tuple[float, ...] = ()
    target_sd: tuple[float, ...] = ()
    montages: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The task of the model in `folder`.

        Raises:
            WeightsError: If the file is absent or not what `write` wrote.
        """
        file = folder / cls.NAME
        try:
            return cls.from_json(file.read_text())
        except (OSError, ValidationError) as error:
            raise WeightsError(
                f"the description of the task cannot be read ({type(error).__name__})",
                file=file,
                remedy="Name a folder that fine-tuning wrote with this version of labram",
            ) from error

    def write(self, folder: Path) -> None:
        """Write it beside the weights."""
        (folder / self.NAME).write_text(self.to_json() + "\n")
