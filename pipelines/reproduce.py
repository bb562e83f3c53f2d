"""Pipeline `reproduce`: a `retrain` runs again with its image and recipe, and every artifact is compared.

preflight ─> plan_run ─> ingest (each shard) ─> quality ─> tokenizer ─> pretrain ─> finetune ─> evaluate (each task)
                │  corpus, recipe or code are not the original's: error                            │
                └─ compare_artifacts <─────────────────────────────────────────────────────────────┘

No task reuses an earlier output, store and checkpoints are in a separate folder, and nothing is registered.
"""

from kfp import dsl

from labram.recipe import Recipe
from pipelines import retrain
from pipelines.dag_builder import DagBuilder
from pipelines.placement import Placement, parallelism

FOLDER = "reproduce"
"""Folder of all reproductions in the workspace, with a workspace for each original."""


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool = True, run: str = "") -> dict[str, object]:
    """Return the arguments of `reproduce`: those of `retrain`, and the original.

    Args:
        recipe: The original's resolved recipe.
        data: Folder or URI of the corpus.
        workspace: The workspace, in which the reproduction gets a separate one.
        force: Always true: a reproduction runs although nothing has changed.
        run: Name of the original run, or its MLflow run id.

    Raises:
        RecipeError: If the recipe has no tasks.
    """
    own = f"{workspace}/{FOLDER}/{run}" if run else f"{workspace}/{FOLDER}"
    return retrain.arguments(recipe, data=data, workspace=own, force=force) | {"run": run}


@dsl.pipeline(name="reproduce", description="Run an earlier run again, and compare every artifact with the original's")
def reproduce(
    data: str,
    workspace: str,
    recipe: str,
    force: bool,
    run: str,
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
    cluster = (gpus, accelerator, node_selector, tolerations, volume, environment, mlflow_secret, storage_secret)
    placement = Placement(*cluster, fresh=True)
    dag = DagBuilder.begin(
        placement,
        "reproduce",
        data=data,
        workspace=workspace,
        recipe=recipe,
        force=force,
        seed=seed,
        original=run,
    )
    parts = dag.add_ingest(data=data, shards=shards, datasets=datasets, subject=subject, preprocessing=preprocessing)
    corpus = dag.add_quality(parts, label_sources=label_sources, thresholds=quality_thresholds, split=split)
    tokenizer, backbone = dag.add_pretraining(
        corpus,
        architecture=architecture,
        tokenizer_settings=tokenizer_settings,
        pretraining_settings=pretraining_settings,
    )
    with dsl.ParallelFor(tasks, name="tasks", parallelism=parallelism()) as task:
        finetuned = dag.add_finetuning(corpus, backbone, task=task, gates=gates, seed=seed)
    dag.add_artifact_comparison(corpus, original=run, tokenizer=tokenizer, backbone=backbone, finetuned=finetuned)
