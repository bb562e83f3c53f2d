"""The same tasks fine-tuned in several ways from one backbone, and what the ways differ in.

    preflight ─> resolve ─┬─> ingest (each shard) ─> quality ─┬─> trial ─> finetune ─> evaluate (each trial)
                    │     └─> obtain ─────────────────────────┘                           │
                    │  nothing changed: stop                                              │
                    └──────────────────────────── compare <───────────────────────────────┘

Nothing is registered, and no champion moves: a study finds out what to write into a recipe.
"""

from kfp import dsl

from components.compare import compare
from components.trial import trial
from labram.evaluation.study import trials
from labram.recipe import Recipe
from pipelines import stages
from pipelines.adapt import CHAMPION
from pipelines.placement import Placement
from pipelines.stages import Stages


def arguments(
    recipe: Recipe, *, data: str, workspace: str, force: bool = False, backbone: str = CHAMPION
) -> dict[str, object]:
    """A recipe as the arguments of `study`; see `pipelines.adapt.arguments`.

    Raises:
        RecipeError: If there is nothing to compare.
    """
    return stages.arguments(recipe, data=data, workspace=workspace, force=force) | {
        "backbone": backbone,
        "study_trials": [one.to_json() for one in trials(recipe)],
        "gates": recipe.gates.to_json(),
    }


@dsl.pipeline(name="study", description="LaBraM fine-tuned in several ways, compared on the same test windows")
def study(
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
    study_trials: list[str],
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
        place, "study", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed, backbone=backbone
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
        with dsl.ParallelFor(study_trials, name="trials", parallelism=2) as settings:
            prepared = place(trial(workspace=workspace, corpus=corpus, backbone=begin, settings=settings)).outputs
            tuned = run.tuned(
                prepared["part"],
                prepared["model"],
                task=prepared["task"],
                gates=gates,
                seed=prepared["trial_seed"],
                label=prepared["label"],
            )
        place(
            compare(
                workspace=workspace,
                corpus_version=run.version,
                recipe=recipe,
                corpus=corpus,
                start=run.start,
                evaluations=tuned.evaluations(),
            )
        )
