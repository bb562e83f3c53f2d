"""The closed loop: raw recordings in, a registered, gated champion out.

preflight ─> resolve ─> ingest (each shard) ─> quality ─> tokenizer ─> pretrain ─> finetune ─> evaluate (each task)
                │  nothing changed: stop                                                          │
                └──── (refused) <─ report <─ promote <─ gate <─ register <────────────────────────┘
"""

from kfp import dsl

from labram.recipe import Recipe
from pipelines import stages
from pipelines.placement import Placement
from pipelines.stages import Stages


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool = False) -> dict[str, object]:
    """A recipe as the arguments of `retrain`; see `pipelines.stages.arguments`.

    Raises:
        RecipeError: If the recipe has no tasks.
    """
    given = stages.arguments(recipe, data=data, workspace=workspace, force=force)
    return given | stages.learning(recipe) | stages.labelled(recipe)


@dsl.pipeline(name="retrain", description="LaBraM from raw recordings to a gated champion")
def retrain(
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
    architecture: str,
    tokenizer_settings: str,
    pretraining_settings: str,
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
    run = Stages.resolved(place, "retrain", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed)
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
        codes, backbone = run.pretrained(
            corpus,
            architecture=architecture,
            tokenizer_settings=tokenizer_settings,
            pretraining_settings=pretraining_settings,
        )
        with dsl.ParallelFor(tasks, name="tasks", parallelism=2) as task:
            tuned = run.tuned(corpus, backbone, task=task, gates=gates, seed=seed)
        run.concluded(corpus, tokenizer=codes, backbone=backbone, tuned=tuned)
