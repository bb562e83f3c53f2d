"""Plan run: which corpus version is this, and has anything changed since the last finished run?"""

from dataclasses import dataclass
from typing import Literal

from labram.corpus import dvc_versions
from labram.datasets import find
from labram.datasets.task_check import check_task
from labram.events import emit, step
from labram.platform.doctor import require, services
from labram.platform.workspace import Workspace, corpus_folder
from labram.recipe import Recipe
from labram.steps.load_backbone import settle
from labram.store.store import Store
from labram.tracking import lineage, mlflow_runs

IDENTITY = ("pipeline", "corpus_version", "recipe_hash", "code_version", "backbone")


@dataclass(frozen=True)
class Plan:
    """What the run is going to do.

    Attributes:
        decision: Whether there is anything to do.
        corpus_version: See `labram.corpus.dvc_versions.corpus_version`.
        start: The backbone that it starts from, see `labram.steps.load_backbone.settle`; empty if from none.
    """

    decision: Literal["changed", "unchanged"]
    corpus_version: str
    start: str


def plan_run(*, data: str, workspace: str, recipe: str, force: bool, pipeline: str, backbone: str = "") -> Plan:
    """Compare corpus, recipe, code and backbone with those of the last finished run; open this run's parent in MLflow.

    Args:
        data: Folder of the corpus (see `labram.platform.workspace.corpus_folder`).
        workspace: The workspace.
        recipe: The whole recipe as JSON.
        force: Do everything, changed or not.
        pipeline: Its name.
        backbone: That it starts from, see `labram.steps.load_backbone.settle`; empty if from none.

    Raises:
        PlatformError: If the workspace cannot be written to.
        CorpusError: If there is nothing to read.
        LabelError: If a task's classes are not those of its dataset's labels.
        RegistryError: If the registry does not have the backbone.
        WeightsError: If the backbone's file or folder cannot be used.
    """
    settings, place = Recipe.from_json(recipe), Workspace.at(workspace)
    with step("plan_run") as reporter:
        require([services.workspace(place.root)])
        find(corpus_folder(data), settings.corpus.datasets)
        for task in settings.tasks:
            check_task(task)
        version = dvc_versions.corpus_version(corpus_folder(data), settings.corpus.datasets, Store(place.store))
        mlflow_runs.configure(place.root)
        start = settle(backbone) if backbone else ""
        tags = lineage.lineage_tags(settings, version, start) | {"pipeline": pipeline}
        same = {name: tags[name] for name in IDENTITY if name in tags}
        before = None if force else mlflow_runs.latest_finished_run(same)
        if before is not None:
            emit("unchanged", step="plan_run", since=before[mlflow_runs.RUN_TAG])
            return Plan("unchanged", version, start)
        reporter.note(f"corpus version {version}")
        mlflow_runs.open_parent_run(_flat(settings.model_dump(mode="json")), tags)
    return Plan("changed", version, start)


def _flat(settings: object, prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow parameters: ``tokenizer.optimiser.peak_lr``; tasks by their names."""
    if isinstance(settings, dict):
        pairs = settings.items()
    elif isinstance(settings, list) and settings and isinstance(settings[0], dict):
        pairs = {item["name"]: item for item in settings}.items()
    else:
        return {prefix: str(settings)}
    return {
        key: value
        for name, inner in pairs
        for key, value in _flat(inner, f"{prefix}.{name}" if prefix else name).items()
    }
