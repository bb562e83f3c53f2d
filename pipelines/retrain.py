"""Pipeline `retrain`: raw recordings in, registered models out, and those that pass their gates become champions.

preflight ─> plan_run ─> ingest (each shard) ─> quality ─> tokenizer ─> pretrain ─> finetune ─> evaluate (each task)
                │  nothing changed: stop                                                           │
                └─ report <─ promote <─ gate <─ register <─────────────────────────────────────────┘
"""

from kfp import dsl

from labram.recipe import Recipe
from pipelines import dag_builder
from pipelines.dag_builder import DagBuilder
from pipelines.placement import Placement, parallelism


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool = False) -> dict[str, object]:
    """Return a recipe as the arguments of `retrain`; see `pipelines.dag_builder.arguments`.

    Raises:
        RecipeError: If the recipe has no tasks.
    """
    common = dag_builder.arguments(recipe, data=data, workspace=workspace, force=force)
    return common | dag_builder.pretraining_arguments(recipe) | dag_builder.finetuning_arguments(recipe)


@dsl.pipeline(name="retrain", description="Train LaBraM from raw recordings; promote the models that pass their gates")
def retrain(
    data: str,
    workspace: str,
    recipe: str,
    force: bool,
    shards: list[str],
    datasets: list[str],
    subject: str,
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
    """Define the DAG; see `arguments` for the parameters."""
    placement = Placement(
        gpus, accelerator, node_selector, tolerations, volume, environment, mlflow_secret, storage_secret
    )
    dag = DagBuilder.begin(placement, "retrain", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed)
    with dag.if_changed():
        parts = dag.add_ingest(
            data=data, shards=shards, datasets=datasets, subject=subject, preprocessing=preprocessing
        )
        corpus = dag.add_quality(parts, label_sources=label_sources, thresholds=quality_thresholds, split=split)
        tokenizer, backbone = dag.add_pretraining(
            corpus,
            architecture=architecture,
            tokenizer_settings=tokenizer_settings,
            pretraining_settings=pretraining_settings,
        )
        with dsl.ParallelFor(tasks, name="tasks", parallelism=parallelism()) as task:
            finetuned = dag.add_finetuning(corpus, backbone, task=task, gates=gates, seed=seed)
        dag.add_promotion(corpus, tokenizer=tokenizer, backbone=backbone, finetuned=finetuned)
