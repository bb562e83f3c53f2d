"""Pipeline `study`: an existing backbone is fine-tuned in several variants, which are compared on the same test data.

preflight ─> plan_run ─┬─> ingest (each shard) ─> quality ─┬─> ablation_run ─> finetune ─> evaluate (each run)
                │      └─> load_backbone ──────────────────┘                                  │
                │  nothing changed: stop                                                      │
                └──────────────────────────── compare <───────────────────────────────────────┘

A study registers no model and moves no champion.
"""

from kfp import dsl

from labram.evaluation.study import ablation_runs
from labram.recipe import Recipe
from pipelines import dag_builder
from pipelines.adapt import CHAMPION
from pipelines.dag_builder import DagBuilder
from pipelines.placement import Placement, parallelism


def arguments(
    recipe: Recipe, *, data: str, workspace: str, force: bool = False, backbone: str = CHAMPION
) -> dict[str, object]:
    """Return a recipe as the arguments of `study`; see `pipelines.adapt.arguments`.

    Raises:
        RecipeError: If the recipe's section `study` has fewer than two variants.
    """
    return dag_builder.arguments(recipe, data=data, workspace=workspace, force=force) | {
        "backbone": backbone,
        "ablation_runs": [run.to_json() for run in ablation_runs(recipe)],
        "gates": recipe.gates.to_json(),
    }


@dsl.pipeline(name="study", description="Fine-tune LaBraM in several variants; compare them on the same test data")
def study(
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
    ablation_runs: list[str],
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
        placement, "study", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed, backbone=backbone
    )
    with dag.if_changed():
        parts = dag.add_ingest(
            data=data, shards=shards, datasets=datasets, subject=subject, preprocessing=preprocessing
        )
        corpus = dag.add_quality(parts, label_sources=label_sources, thresholds=quality_thresholds, split=split)
        pretrained = dag.add_load_backbone()
        with dsl.ParallelFor(ablation_runs, name="ablation-runs", parallelism=parallelism()) as settings:
            finetuned = dag.add_ablation_run(corpus, pretrained, settings=settings, gates=gates)
        dag.add_comparison(corpus, finetuned)
