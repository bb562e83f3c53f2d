"""A recipe shortened to minutes: every step runs, nothing is learned, and nothing is promoted."""

from labram import metrics
from labram.recipe.gates import GateRecipe
from labram.recipe.schema import ArchitectureRecipe, Recipe, TaskRecipe, TrainingRecipe

STEPS = 10
_NEVER = 1e9
"""Beyond every value of a metric."""


def shortened(recipe: Recipe) -> Recipe:
    """Return the recipe with a small model, a few steps and epochs, and gates that no model passes."""
    return Recipe.model_validate(
        recipe.model_dump()
        | {
            "name": f"{recipe.name}-debug",
            "description": f"Debug run, nothing is promoted. {recipe.description}",
            "architecture": _architecture(),
            "tokenizer": _training(recipe.tokenizer) | {"min_perplexity": 1.0},
            "pretraining": _training(recipe.pretraining),
            "tasks": [_task(task) for task in recipe.tasks],
            "gates": _gates(recipe),
            "study": recipe.study.model_dump() | {"seeds": 1},
        }
    )


def is_shortened(recipe: Recipe) -> bool:
    """Return whether `shortened` made the recipe."""
    return recipe.gates.min_used_codes >= _NEVER


def _architecture() -> dict[str, object]:
    small = ArchitectureRecipe(width=100, conv_channels=4, heads=5, depth=2, decoder_depth=1, codes=64, code_width=32)
    return small.model_dump()


def _training(recipe: TrainingRecipe) -> dict[str, object]:
    every = dict.fromkeys(("steps", "validate_every", "checkpoint_every"), STEPS)
    return (
        recipe.model_dump() | every | {"warmup_steps": 1, "micro_batches": 1, "validation_batches": 1, "log_every": 1}
    )


def _task(task: TaskRecipe) -> dict[str, object]:
    return task.model_dump() | {"epochs": 1, "warmup_epochs": 0.0}


def _gates(recipe: Recipe) -> dict[str, object]:
    floors = {task.name: _NEVER if metrics.METRICS[task.metric].greater_is_better else -_NEVER for task in recipe.tasks}
    return GateRecipe(floors=floors, min_used_codes=int(_NEVER), bootstrap=200).model_dump()
