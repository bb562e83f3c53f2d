"""Plan run: find the corpus version, and decide whether anything has changed since the last finished run."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from labram.corpus import dvc_versions
from labram.corpus.scan import propose_subjects, require_stated_subjects, scan
from labram.datasets.stated.label_table import TableError
from labram.datasets.subjects import SubjectPatternError
from labram.datasets.task_check import check_task
from labram.errors import RecipeError, RegistryError
from labram.events import emit, followed, step
from labram.platform.doctor import require, services
from labram.platform.workspace import Workspace, corpus_folder
from labram.recipe import Recipe
from labram.registry import promotion
from labram.store.store import Store
from labram.tracking import lineage, mlflow_runs, run_list
from labram.tracking.dead_runs import end_dead_runs

IDENTITY = ("pipeline", "corpus_version", "recipe_hash", "code_version", "backbone")
REPRODUCED = ("corpus_version", "recipe_hash", "code_version")
"""Tags that a reproduction and its original have in common."""
DESCRIPTION = ("pipeline", "recipe", "git_commit")
"""Tags of the record of an unchanged run, too few to be taken for a run that has computed something."""


class Decision(StrEnum):
    """Whether a run has anything to do: the only text of this step that a condition of a pipeline reads."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class RunPlan:
    """Plan of a run.

    Attributes:
        decision: Whether the run has anything to do.
        corpus_version: See `labram.corpus.dvc_versions.corpus_version`.
        start: Backbone that the run starts from, see `labram.steps.load_backbone.pin`; empty if none.
    """

    decision: Decision
    corpus_version: str
    start: str


def plan_run(
    *, data: str, workspace: str, recipe: str, force: bool, pipeline: str, backbone: str = "", original: str = ""
) -> RunPlan:
    """Compare corpus, recipe, code and backbone with those of the last finished run; open the run's MLflow parent run.

    Args:
        data: Folder of the corpus (see `labram.platform.workspace.corpus_folder`).
        workspace: The workspace.
        recipe: The whole recipe as JSON.
        force: Run although nothing has changed.
        pipeline: Name of the pipeline.
        backbone: Backbone to start from, see `labram.steps.load_backbone.pin`; empty if none.
        original: Run that the pipeline `reproduce` runs again.

    Raises:
        PlatformError: If the workspace cannot be written to.
        CorpusError: If the folder has no recordings, or a task's subjects are not stated.
        RecipeError: If a cross-validation leaves no dataset to pre-train on.
        LabelError: If a task's classes are not those of its dataset's labels.
        RegistryError: If the registry does not have the backbone or the original run, or if corpus, recipe or code are
            not the original's.
        WeightsError: If the backbone's weights cannot be used.
    """
    settings, layout = Recipe.from_json(recipe), Workspace.at(workspace)
    with step("plan_run") as reporter, mlflow_runs.failures_recorded("plan_run"):
        require([services.workspace(layout.root)])
        try:
            items = scan(corpus_folder(data), settings.corpus.datasets, settings.corpus.subject)
        except (SubjectPatternError, TableError) as error:
            raise error.without_path() from None
        _require_pretraining(settings, {item.dataset.name for item in items}, pipeline)
        for task in settings.tasks:
            check_task(task, {item.dataset.name: item.dataset for item in items})
            require_stated_subjects(items, corpus_folder(data), task.name, task.dataset)
        version = dvc_versions.corpus_version(corpus_folder(data), settings.corpus.datasets, Store(layout.store))
        mlflow_runs.configure(layout.root)
        start = _pinned(backbone) if backbone else ""
        tags = lineage.lineage_tags(settings, version, start) | {"pipeline": pipeline}
        if pipeline == "reproduce":
            tags |= _of_original(original, tags)
        identity = {name: tags[name] for name in IDENTITY if name in tags}
        finished = None if force else mlflow_runs.latest_finished_run(identity)
        if finished is not None:
            emit("unchanged", step="plan_run", since=finished[mlflow_runs.RUN_TAG])
            if not followed():
                mlflow_runs.record_unchanged({name: tags[name] for name in DESCRIPTION}, finished)
            return RunPlan(Decision.UNCHANGED, version, start)
        for sentence in _finish_what_was_killed(layout):
            reporter.note(sentence)
        reporter.note(f"corpus version {version}")
        if (proposal := propose_subjects(items, corpus_folder(data))) is not None:
            reporter.note(f"subjects: guessed from names: {proposal.counts}. {proposal.remedy}")
        parent = mlflow_runs.open_parent_run(settings.flat(), tags | lineage.circumstances())
        if changes := lineage.diff():
            mlflow_runs.log_text(parent, changes, lineage.DIFF_FILE)
    return RunPlan(Decision.CHANGED, version, start)


def _finish_what_was_killed(layout: Workspace) -> list[str]:
    """Finish interrupted promotions and end dead runs; return a sentence for each."""
    name = mlflow_runs.pipeline_run_name()
    alone = bool(name) and mlflow_runs.in_workspace(layout.root)  # `labram run` holds the lock of the workspace
    return [*promotion.finish_interrupted(), *end_dead_runs(current=name, alone=alone)]


def _require_pretraining(recipe: Recipe, datasets: set[str], pipeline: str) -> None:
    """Check that datasets are left to pre-train on, if a cross-validation keeps those of tasks apart.

    Raises:
        RecipeError: If every dataset has a task.
    """
    apart = recipe.split.cross_validated and recipe.split.pretraining == "others"
    if apart and pipeline == "retrain" and datasets <= {task.dataset for task in recipe.tasks}:
        raise RecipeError(
            f"split.kind {recipe.split.kind} with split.pretraining: others leaves nothing to pre-train on, because "
            "every dataset has a task",
            file=recipe.name,
            field="split.pretraining",
            remedy="Set it to all, which marks every score, or add a dataset without a task to corpus.datasets",
        )


def _of_original(name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tag of a reproduction, with the name of the original.

    Raises:
        RegistryError: If there is no such run, or its corpus, recipe or code are not those of this one.
    """
    original = run_list.find_run(name)
    compared = {key: (original.tags.get(key, "not known"), tags[key]) for key in REPRODUCED}
    if others := [f"{key}: {there} there, {here} here" for key, (there, here) in compared.items() if there != here]:
        raise RegistryError(
            f"run {original.name} cannot be reproduced like this: {'; '.join(others)}",
            field="run",
            remedy="Submit `labram pipeline submit reproduce -p run=RUN` from a clone at the original's commit, with "
            "-p data=FOLDER if its corpus has moved",
        )
    return {run_list.REPRODUCES_TAG: original.name}


def _pinned(backbone: str) -> str:
    from labram.steps.load_backbone import pin  # PyTorch, which most runs do not need here

    return pin(backbone)
