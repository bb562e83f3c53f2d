"""From a backbone that there is to models of one's own tasks: fine-tuned, evaluated, gated, promoted.

preflight ─> resolve ─┬─> ingest (each shard) ─> quality ─┬─> finetune ─> evaluate (each task)
                │     └─> obtain ─────────────────────────┘                  │
                │  nothing changed: stop                                     │
                └────── (refused) <─ report <─ promote <─ gate <─ register <─┘
"""

from kfp import dsl

from labram.recipe import Recipe
from pipelines import stages
from pipelines.placement import Placement
from pipelines.stages import Stages

CHAMPION = "models:/labram-backbone@champion"


def arguments(
    recipe: Recipe, *, data: str, workspace: str, force: bool = False, backbone: str = CHAMPION
) -> dict[str, object]:
    """A recipe as the arguments of `adapt`; see `pipelines.stages.arguments`.

    Args:
        recipe: The resolved recipe; its tokenizer and pre-training are not used.
        data: Folder or URI of the corpus.
        workspace: Folder that all tasks share.
        force: Run although nothing has changed.
        backbone: Where it starts: ``models:/``, the folder of a backbone, or the file of a published one.

    Raises:
        RecipeError: If the recipe has no tasks.
    """
    given = stages.arguments(recipe, data=data, workspace=workspace, force=force)
    return given | stages.labelled(recipe) | {"backbone": backbone}


@dsl.pipeline(name="adapt", description="LaBraM fine-tuned from a backbone that there is, to gated champions of tasks")
def adapt(
    data: str,
    workspace: str,
    recipe: str,
    force: bool,
    shards: list[str],
    datasets: list[str],
    preprocessing: str,
    quality_thresholds: str,
    split: str,
    label_sources: dict[str, str],
    seed: int,
    backbone: str,
    tasks: list[str],
    gates: str,
    gpus: str,
    accelerator: str,
    node_selector: dict[str, str],
    tolerations: list[dict[str, str]],
    volume: str,
    environment: str,
    mlflow_secret: str,
    storage_secret: str,
) -> None:
    """See the module; the parameters are those of `arguments`."""
    place = Placement(gpus, accelerator, node_selector, tolerations, volume, environment, mlflow_secret, storage_secret)
    run = Stages.resolved(
        place, "adapt", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed, backbone=backbone
    )
    with run.changed():
        corpus = run.corpus(
            data=data,
            shards=shards,
            datasets=datasets,
            preprocessing=preprocessing,
            label_sources=label_sources,
            thresholds=quality_thresholds,
            split=split,
        )
        begin = run.obtained()
        with dsl.ParallelFor(tasks, name="tasks", parallelism=2) as task:
            tuned = run.tuned(corpus, begin, task=task, gates=gates, seed=seed)
        run.concluded(corpus, tuned=tuned, start=run.start)
