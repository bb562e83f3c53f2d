"""Learning without labels: raw recordings in, a tokenizer and a backbone out.

preflight ─> resolve ─> ingest (each shard) ─> quality ─> tokenizer ─> pretrain
                │  nothing changed: stop                                  │
                └─── (refused) <─ report <─ promote <─ gate <─ register <─┘
"""

from kfp import dsl

from labram.recipe import Recipe
from pipelines import stages
from pipelines.placement import Placement
from pipelines.stages import Stages


def arguments(recipe: Recipe, *, data: str, workspace: str, force: bool = False) -> dict[str, object]:
    """A recipe, without its tasks, as the arguments of `unlabelled`; see `pipelines.stages.arguments`."""
    gates = recipe.gates.model_copy(update={"floors": {}})
    rest = recipe.model_copy(update={"tasks": (), "gates": gates})
    return stages.arguments(rest, data=data, workspace=workspace, force=force) | stages.learning(rest)


@dsl.pipeline(name="unlabelled", description="LaBraM's tokenizer and backbone from raw recordings without labels")
def unlabelled(
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
    run = Stages.resolved(place, "unlabelled", data=data, workspace=workspace, recipe=recipe, force=force, seed=seed)
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
        run.concluded(corpus, tokenizer=codes, backbone=backbone)
