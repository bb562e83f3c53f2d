"""Pipeline `adapt`: an existing backbone is fine-tuned on the tasks; models that pass their gates are promoted.

preflight ─> plan_run ─┬─> ingest (each shard) ─> quality ─┬─> finetune ─> evaluate (each task)
                │      └─> load_backbone ──────────────────┘                  │
                │  nothing changed: stop                                      │
                └─ report <─ promote <─ gate <─ register <────────────────────┘
"""

from kfp import dsl

from labram.recipe import Recipe
from pipelines import dag_builder
from pipelines.dag_builder import DagBuilder
from pipelines.placement import Placement, parallelism

CHAMPION = "models:/labram-backbone@champion"


def arguments(
    recipe: Recipe, *, data: str, workspace: str, force: bool = False, backbone: str = CHAMPION
) -> dict[str, object]:
    """Return a recipe as the arguments of `adapt`; see `pipelines.dag_builder.arguments`.

    Args:
        recipe: The resolved recipe; its sections `tokenizer` and `pretraining` are not used.
        data: Folder or URI of the corpus.
        workspace: Folder that all tasks share.
        force: Run although nothing has changed.
        backbone: ``models:/`` address, folder of a backbone, or file of a published one.

    Raises:
        RecipeError: If the recipe has no tasks.
    """
    common = dag_builder.arguments(recipe, data=data, workspace=workspace, force=force)
    return common | dag_builder.finetuning_arguments(recipe) | {"backbone": backbone}


@dsl.pipeline(name="adapt", description="Fine-tune an existing backbone; promote the task models that pass their gates")
def adapt(
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
    """Define the DAG; see `arguments` for the parameters."""
    placement = Placement(
        gpus, accelerator, node_selector, tolerations, volume, environment, mlflow_secret, storage_secret
    )
    dag = DagBuilder.begin(
        placement, "adapt", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed, backbone=backbone
    )
    with dag.if_changed():
        parts = dag.add_ingest(
            data=data, shards=shards, datasets=datasets, subject=subject, preprocessing=preprocessing
        )
        corpus = dag.add_quality(parts, label_sources=label_sources, thresholds=quality_thresholds, split=split)
        pretrained = dag.add_load_backbone()
        with dsl.ParallelFor(tasks, name="tasks", parallelism=parallelism()) as task:
            finetuned = dag.add_finetuning(corpus, pretrained, task=task, gates=gates, seed=seed)
        dag.add_promotion(corpus, finetuned=finetuned, start=dag.start)
