"""Compare artifacts: the verdict of a reproduction on every artifact of the original."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labram.corpus.catalogue import Corpus
from labram.corpus.pseudonyms import KEY_VARIABLE
from labram.platform.reproduce import requirements, verdict
from labram.platform.reproduce.original import Original, copy_artifacts, find_original
from labram.platform.reproduce.verdict import ArtifactVerdict
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.registry import model_registry
from labram.reporting import reproduction
from labram.steps.close_run import close_run
from labram.tracking import kfp_summary, mlflow_runs
from labram.training import hardware
from labram.training.output_files import HARDWARE_FILE


def compare_artifacts(
    *,
    workspace: str,
    recipe: str,
    original: str,
    corpus: str,
    tokenizer: str,
    backbone: str,
    models: Sequence[str],
    evaluations: Sequence[str],
    out: str,
    summary: str,
) -> None:
    """Compare every artifact with the original's; write `result.json` and close the run.

    Args:
        workspace: The workspace of the reproduction.
        recipe: The whole recipe as JSON.
        original: Name of the original run.
        corpus: Folder that `quality` wrote.
        tokenizer: Folder of the tokenizer.
        backbone: Folder of the backbone.
        models: Folders of the task models, in the order of the recipe's tasks.
        evaluations: Folders of their evaluations, in the same order.
        out: The HTML file.
        summary: Markdown file for Kubeflow Pipelines.

    Raises:
        RegistryError: If the original or its artifacts are not in the registry.
    """
    layout, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    with mlflow_runs.tracked("compare_artifacts", layout.root) as run:
        found = find_original(original, layout.root)
        folders = {model_registry.TOKENIZER: [Path(tokenizer)], model_registry.BACKBONE: [Path(backbone)]}
        for task, model, evaluation in zip(settings.tasks, models, evaluations, strict=True):
            folders[model_registry.task_model_name(task.name)] = [Path(model), Path(evaluation)]
        reasons = requirements.reasons_for_tolerance(found, _hardware(Path(backbone)))
        decided = verdict.summary(list(_compare(found, folders)), reasons)
        run.note(f"{len(decided['artifacts'])} artifacts compared with those of {found.run.name}: {decided['verdict']}")
        reproduction.write(decided, found.run.name, Path(out))
        rows = [(row["artifact"], row["equality"], row["detail"]) for row in decided["artifacts"]]
        run.write_summary(summary, kfp_summary.table(("artifact", "verdict", "first difference"), rows))
        name = mlflow_runs.pipeline_run_name()
        parent = mlflow_runs.find_parent_run(name) or run.run_id
        quarantined = Corpus.load(Path(corpus)).quarantined()[["recording_id", "reasons"]].to_dict("records")
        result: dict[str, Any] = {"run": name, "outcome": decided["verdict"], "quarantined": quarantined}
        close_run(run, layout, parent, Path(out), result | {"reproduction": decided}, settings)


def _compare(original: Original, folders: Mapping[str, Sequence[Path]]) -> Iterator[ArtifactVerdict]:
    """Compare the models that the original registered; pseudonyms only if a Secret holds the key of both runs."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, copy in copy_artifacts(original, Path(temporary)).items():
            with verdict.merged(folders.get(name, ())) as again:
                yield from verdict.compare_folders(name, copy, again, same_key=KEY_VARIABLE in os.environ)


def _hardware(model: Path) -> dict[str, object]:
    """Return the hardware on which a model of this run was trained, in another pod."""
    described = dict(json.loads((model / HARDWARE_FILE).read_text(encoding="utf-8")))
    return {key: value for key, value in described.items() if key in hardware.describe()}
