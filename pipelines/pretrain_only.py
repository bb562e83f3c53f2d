"""Pipeline `pretrain_only`: raw recordings without labels in, a tokenizer and a backbone out.

preflight ─> plan_run ─> ingest (each shard) ─> quality ─> tokenizer ─> pretrain
                │  nothing changed: stop                                   │
                └─ report <─ promote <─ gate <─ register <─────────────────┘
"""

from kfp import dsl

from labram.recipe import Recipe
from pipelines import dag_builder
from pipelines.dag_builder import DagBuilder
from pipelines.placement import Placement


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool = False) -> dict[str, object]:
    """Return a recipe, without its tasks, as the arguments of `pretrain_only`."""
    gates = recipe.gates.model_copy(update={"floors": {}, "golden": ()})
    without_tasks = recipe.model_copy(update={"tasks": (), "gates": gates})
    common = dag_builder.arguments(without_tasks, data=data, workspace=workspace, force=force)
    return common | dag_builder.pretraining_arguments(without_tasks)


@dsl.pipeline(name="pretrain-only", description="Train LaBraM's tokenizer and backbone on recordings without labels")
def pretrain_only(
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
    dag = DagBuilder.begin(
        placement, "pretrain_only", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed
    )
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
        dag.add_promotion(corpus, tokenizer=tokenizer, backbone=backbone)
