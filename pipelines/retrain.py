"""The closed loop: raw recordings in, a registered, gated champion out.

    preflight ─> resolve ─> ingest (each shard) ─> quality ─> tokenizer ─> pretrain ─> finetune ─> evaluate (each task)
                    │  nothing changed: stop                                                          │
                    └──────────────────────── report <─ promote <─ gate <─ register <─────────────────┘

The parameters are the sections of a recipe (`arguments` takes one apart), so that KFP's cache sees exactly what each
task depends on. Conditions and loops stay with what KFP's local runner and its clusters both do: a condition on a
single unnamed output, loops over strings.
"""

from kfp import dsl

from components.evaluate import evaluate
from components.finetune import finetune
from components.gate import gate
from components.ingest import ingest
from components.pretrain import pretrain
from components.promote import promote
from components.quality import quality
from components.register import register
from components.report import report
from components.resolve import resolve
from components.tokenizer import tokenizer
from labram.recipe import Recipe
from pipelines.placement import CLUSTER, Placement


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool = False) -> dict[str, object]:
    """A recipe as the arguments of `retrain`, with those of `pipelines.placement.CLUSTER`.

    Args:
        recipe: The resolved recipe.
        data: Folder or URI of the corpus.
        workspace: Folder that all tasks share.
        force: Run although neither corpus, recipe nor code has changed.
    """
    shards = recipe.corpus.shards
    return {
        "data": data,
        "workspace": workspace,
        "recipe": recipe.to_json(),
        "force": force,
        "shards": [f"{shard}/{shards}" for shard in range(shards)],
        "datasets": list(recipe.corpus.datasets),
        "preprocessing": recipe.preprocessing.to_json(),
        "quality_thresholds": recipe.quality.to_json(),
        "split": recipe.split.to_json(),
        "architecture": recipe.architecture.to_json(),
        "tokenizer_settings": recipe.tokenizer.to_json(),
        "pretraining_settings": recipe.pretraining.to_json(),
        "label_sources": {task.name: task.dataset for task in recipe.tasks},
        "tasks": [task.to_json() for task in recipe.tasks],
        "gates": recipe.gates.to_json(),
        "seed": recipe.seed,
        **CLUSTER,
    }


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
    architecture: str,
    tokenizer_settings: str,
    pretraining_settings: str,
    label_sources: dict[str, str],
    tasks: list[str],
    gates: str,
    seed: int,
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
    plan = place(resolve(data=data, workspace=workspace, recipe=recipe, force=force)).after(place.preflight())
    version = plan.outputs["corpus_version"]

    with dsl.If(plan.outputs["Output"] == "changed", name="changed"):
        with dsl.ParallelFor(shards, name="shards", parallelism=2) as shard:
            ingested = place(
                ingest(
                    data=data,
                    workspace=workspace,
                    corpus_version=version,
                    shard=shard,
                    datasets=datasets,
                    preprocessing=preprocessing,
                )
            )
        corpus = place(
            quality(
                workspace=workspace,
                parts=dsl.Collected(ingested.outputs["part"]),
                label_sources=label_sources,
                thresholds=quality_thresholds,
                split=split,
                seed=seed,
            )
        ).outputs["corpus"]

        codes = place(
            tokenizer(
                workspace=workspace, corpus=corpus, architecture=architecture, settings=tokenizer_settings, seed=seed
            )
        ).outputs["model"]
        backbone = place(
            pretrain(
                workspace=workspace,
                corpus=corpus,
                tokenizer=codes,
                architecture=architecture,
                settings=pretraining_settings,
                seed=seed,
            )
        ).outputs["model"]

        with dsl.ParallelFor(tasks, name="tasks", parallelism=2) as task:
            tuned = place(finetune(workspace=workspace, corpus=corpus, backbone=backbone, task=task, seed=seed))
            scored = place(
                evaluate(
                    workspace=workspace,
                    corpus_version=version,
                    corpus=corpus,
                    model=tuned.outputs["model"],
                    task=task,
                    gates=gates,
                    seed=seed,
                )
            )

        def models() -> dsl.Collected:  # a Collected serves one consumer
            return dsl.Collected(tuned.outputs["model"])

        def evaluations() -> dsl.Collected:
            return dsl.Collected(scored.outputs["evaluation"])

        versions = place(
            register(
                workspace=workspace,
                corpus_version=version,
                recipe=recipe,
                corpus=corpus,
                tokenizer=codes,
                backbone=backbone,
                models=models(),
                evaluations=evaluations(),
            )
        ).outputs["versions"]
        verdicts = place(
            gate(
                workspace=workspace,
                recipe=recipe,
                corpus=corpus,
                tokenizer=codes,
                evaluations=evaluations(),
                versions=versions,
            )
        ).outputs["verdicts"]
        promotions = place(promote(workspace=workspace, versions=versions, verdicts=verdicts)).outputs["promotions"]
        place(
            report(
                workspace=workspace,
                corpus_version=version,
                recipe=recipe,
                corpus=corpus,
                tokenizer=codes,
                backbone=backbone,
                evaluations=evaluations(),
                verdicts=verdicts,
                promotions=promotions,
            )
        )
