"""Register: tokenizer, backbone and task models become challengers in the registry."""

import json
from collections.abc import Sequence
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation.record import Evaluation
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.registry import model_card, model_registry
from labram.tracking import lineage, mlflow_runs

VERSIONS_FILE = "versions.json"


def register(
    *,
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: str,
    models: Sequence[str],
    evaluations: Sequence[str],
    out: str,
    start: str = "",
    tokenizer: str | None = None,
    backbone: str | None = None,
) -> None:
    """Register every model with its card and lineage; write `versions.json`: registered name to version.

    Args:
        workspace: The workspace.
        corpus_version: What `plan_run` found.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        models: Folders of the task models, in the order of the recipe's tasks.
        evaluations: Folders of their evaluations, likewise.
        out: Folder for `versions.json`.
        start: The backbone that the run started from, see `labram.steps.load_backbone.settle`; empty if from none.
        tokenizer: Folder of the tokenizer; None if the run made none.
        backbone: Folder of the backbone; None if the run made none.
    """
    place, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    with mlflow_runs.tracked("register", place.root) as run:
        origin = lineage.lineage_tags(settings, corpus_version, start) | {
            "pipeline_run": mlflow_runs.pipeline_run_name()
        }
        data = model_card.TrainingData.from_corpus(Corpus.load(Path(corpus)))
        parent = mlflow_runs.find_parent_run(mlflow_runs.pipeline_run_name()) or run.run_id

        def put(name: str, folder: str, card: str, beside: Sequence[Path] = ()) -> str:
            version = model_registry.register(
                name, Path(folder), run_id=parent, recipe=settings, lineage=origin, card=card, extra_files=beside
            )
            run.note(f"{name} version {version.version} is challenger")
            return version.version

        versions = {}
        if tokenizer is not None:
            codebook = json.loads((Path(tokenizer) / "codebook.json").read_text())
            card = model_card.tokenizer_card(codebook, data, origin)
            versions[model_registry.TOKENIZER] = put(model_registry.TOKENIZER, tokenizer, card)
        if backbone is not None:
            versions[model_registry.BACKBONE] = put(
                model_registry.BACKBONE, backbone, model_card.backbone_card(data, origin)
            )
        for task, model, evaluation in zip(settings.tasks, models, evaluations, strict=True):
            name, scored = model_registry.task_model_name(task.name), Path(evaluation)
            card = model_card.task_card(name, Evaluation.read(scored / "evaluation.json"), data, origin)
            beside = [path for path in sorted(scored.iterdir()) if path.name.startswith(("evaluation", "baseline"))]
            versions[name] = put(name, model, card, beside)
        Path(out).mkdir(parents=True, exist_ok=True)
        (Path(out) / VERSIONS_FILE).write_text(json.dumps(versions, indent=1))
