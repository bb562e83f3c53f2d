"""The closed loop: raw recordings in, a registered, gated champion out.

    resolve ─> ingest (each shard) ─> quality ─> tokenizer ─> pretrain ─> finetune ─> evaluate (each task)
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


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool = False) -> dict[str, object]:
    """A recipe as the arguments of `retrain`.

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
) -> None:
    """See the module; the parameters are those of `arguments`."""
    plan = resolve(data=data, workspace=workspace, recipe=recipe, force=force).set_caching_options(False)
    version = plan.outputs["corpus_version"]

    with dsl.If(plan.outputs["Output"] == "changed", name="changed"):
        with dsl.ParallelFor(shards, name="shards", parallelism=2) as shard:
            ingested = ingest(
                data=data,
                workspace=workspace,
                corpus_version=version,
                shard=shard,
                datasets=datasets,
                preprocessing=preprocessing,
            )
        corpus = quality(
            workspace=workspace,
            parts=dsl.Collected(ingested.outputs["part"]),
            label_sources=label_sources,
            thresholds=quality_thresholds,
            split=split,
            seed=seed,
        ).outputs["corpus"]

        codes = tokenizer(
            workspace=workspace, corpus=corpus, architecture=architecture, settings=tokenizer_settings, seed=seed
        ).outputs["model"]
        backbone = pretrain(
            workspace=workspace,
            corpus=corpus,
            tokenizer=codes,
            architecture=architecture,
            settings=pretraining_settings,
            seed=seed,
        ).outputs["model"]

        with dsl.ParallelFor(tasks, name="tasks", parallelism=2) as task:
            tuned = finetune(workspace=workspace, corpus=corpus, backbone=backbone, task=task, seed=seed)
            scored = evaluate(
                workspace=workspace,
                corpus_version=version,
                corpus=corpus,
                model=tuned.outputs["model"],
                task=task,
                gates=gates,
                seed=seed,
            )

        def models() -> dsl.Collected:  # a Collected serves one consumer
            return dsl.Collected(tuned.outputs["model"])

        def evaluations() -> dsl.Collected:
            return dsl.Collected(scored.outputs["evaluation"])

        versions = (
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
            .set_caching_options(False)
            .outputs["versions"]
        )
        verdicts = (
            gate(
                workspace=workspace,
                recipe=recipe,
                corpus=corpus,
                tokenizer=codes,
                evaluations=evaluations(),
                versions=versions,
            )
            .set_caching_options(False)
            .outputs["verdicts"]
        )
        promotions = (
            promote(workspace=workspace, versions=versions, verdicts=verdicts)
            .set_caching_options(False)
            .outputs["promotions"]
        )
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
        ).set_caching_options(False)
