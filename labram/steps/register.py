"""Register: log tokenizer, backbone and task models to the registry, with the alias `challenger`."""

from collections.abc import Sequence
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.registry import model_card, model_registry
from labram.steps.artifacts import read_codebook, read_evaluation, write_versions
from labram.tracking import lineage, mlflow_runs

BESIDE_THE_WEIGHTS = ("evaluation", "baseline")
"""How the names of files of an evaluation begin that are logged with the task model."""


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
    """Register every model with its model card and lineage; write `versions.json`: model name to version.

    Args:
        workspace: The workspace.
        corpus_version: Version of the corpus, from `plan_run`.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        models: Folders of the task models, in the order of the recipe's tasks.
        evaluations: Folders of their evaluations, in the same order.
        out: Folder for `versions.json`.
        start: Backbone that the run started from, see `labram.steps.load_backbone.pin`; empty if none.
        tokenizer: Folder of the tokenizer; None if the run trained none.
        backbone: Folder of the backbone; None if the run trained none.
    """
    layout, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    with mlflow_runs.tracked("register", layout.root) as run:
        origin = lineage.lineage_tags(settings, corpus_version, start) | {
            "pipeline_run": mlflow_runs.pipeline_run_name()
        }
        data = model_card.TrainingData.from_corpus(Corpus.load(Path(corpus)))
        origin |= {"subjects": data.guessed} if data.guessed else {}
        parent = mlflow_runs.find_parent_run(mlflow_runs.pipeline_run_name()) or run.run_id

        def log_model(name: str, folder: str, card: str, extra_files: Sequence[Path] = ()) -> str:
            version = model_registry.register(
                name, Path(folder), run_id=parent, recipe=settings, lineage=origin, card=card, extra_files=extra_files
            )
            run.note(f"{name} version {version.version} is now the challenger")
            return version.version

        versions = {}
        if tokenizer is not None:
            card = model_card.tokenizer_card(read_codebook(tokenizer), data, origin)
            versions[model_registry.TOKENIZER] = log_model(model_registry.TOKENIZER, tokenizer, card)
        if backbone is not None:
            versions[model_registry.BACKBONE] = log_model(
                model_registry.BACKBONE, backbone, model_card.backbone_card(data, origin)
            )
        for task, model, evaluation in zip(settings.tasks, models, evaluations, strict=True):
            name = model_registry.task_model_name(task.name)
            card = model_card.task_card(name, read_evaluation(evaluation), data, origin, settings.gates)
            files = [path for path in sorted(Path(evaluation).iterdir()) if path.name.startswith(BESIDE_THE_WEIGHTS)]
            versions[name] = log_model(name, model, card, files)
        write_versions(out, versions)
