"""`labram run`, `labram adapt` and `labram study`: run a pipeline on this machine."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.exit_codes import ERROR, INTERRUPTED
from labram.cli.options import DEFAULT_WORKSPACE, DebugOption, OverrideOption, RecipeOption, WorkspaceOption
from labram.errors import CorpusError, LabramError, RecipeError, WeightsError

if TYPE_CHECKING:
    from labram.platform.local_runs import LocalRun
    from labram.platform.workspace import Workspace
    from labram.recipe import Recipe

DataOption = Annotated[
    Path | None, typer.Option("--data", "-d", help="Folder of recordings. Default: the DVC corpus of ./data.dvc.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Run all steps again; completed trainings are loaded from their checkpoints.")
]
_UNUSED = {"tokenizer": {"steps": 1}, "pretraining": {"steps": 1}}
"""Sections that `adapt` does not use, for recipes without them."""
BackboneArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="BACKBONE",
        help="Pre-trained model to fine-tune: models:/NAME@ALIAS, models:/NAME/VERSION, a backbone's model folder, "
        "or a published .pth file. Default: models:/labram-backbone@champion.",
    ),
]


def run(
    recipe: RecipeOption = "demo",
    data: DataOption = None,
    override: OverrideOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    force: ForceOption = False,
    debug: DebugOption = False,
    containers: Annotated[
        bool, typer.Option("--containers", help="Run each step in a container of the image from `make images`.")
    ] = False,
) -> None:
    """Train LaBraM on a folder of recordings: quality checks, pre-training, fine-tuning, gates, promotion, report.

    The pipeline filters the recordings and quarantines those that fail a quality rule. It trains the tokenizer, then
    pre-trains the masked model, which becomes the backbone. For each task of the recipe it fine-tunes the backbone and
    evaluates the task model on held-out subjects, beside a baseline. All models are registered in MLflow; those that
    pass the gates become champion. A recipe without tasks ends with tokenizer and backbone.

    Interrupted? Run the same command again: it resumes from the last finished step and the newest checkpoint. If
    corpus, recipe and code are unchanged, it shows the result of the last run and stops.

    Exit codes: 0 promoted; 1 error; 3 not promoted, because at least one model failed a gate; 130 interrupted. An
    unchanged run repeats the exit code of the run whose result it shows.
    """
    from labram.datasets.stated.task_defaults import load_recipe
    from labram.recipe.debug import shortened

    resolved = load_recipe(recipe, override or [], data)
    if debug:
        resolved = shortened(resolved)
    pipeline = "retrain" if resolved.tasks else "pretrain_only"
    _run(pipeline, resolved, data, workspace, force=force, containers=containers)


def adapt(
    backbone: BackboneArgument = None,
    recipe: RecipeOption = "demo",
    data: DataOption = None,
    override: OverrideOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Fine-tune an existing backbone on the recipe's tasks; evaluate the models and promote those that pass the gates.

    The backbone is a pre-trained encoder; without BACKBONE, the champion of an earlier `labram run`. Nothing is
    pre-trained: the recipe sections `architecture`, `tokenizer` and `pretraining` are not used and may be absent.
    Quality checks, train/test split, baselines, gates and report are those of `labram run`. Promoted models become
    champion. The report is runs/NAME/report.html in the workspace; its path is printed at the end.

    The subjects that published weights were trained on are unknown, so models fine-tuned
    from them fail the leakage gate unless the recipe sets gates.allow_overlap: true.

    Exit codes: 0 promoted; 1 error; 3 not promoted, because at least one model failed a gate; 130 interrupted. An
    unchanged run repeats the exit code of the run whose result it shows.
    """
    from labram.datasets.stated.task_defaults import load_recipe
    from labram.recipe.debug import shortened

    resolved = load_recipe(recipe, override or [], data, _UNUSED)
    if debug:
        resolved = shortened(resolved)
    if not resolved.tasks:
        raise RecipeError(
            "the recipe has no tasks to adapt to", file=resolved.name, field="tasks", remedy="Add a task to the recipe"
        )
    _run("adapt", resolved, data, workspace, force=force, **_backbone_argument(backbone))


def study(
    backbone: BackboneArgument = None,
    recipe: RecipeOption = "demo-study",
    data: DataOption = None,
    override: OverrideOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the fine-tuning ablations of the recipe's `study` section and report which variants differ significantly.

    A variant starts from random instead of pre-trained weights, trains on a fraction of the subjects, or changes task
    settings. Each variant is fine-tuned on each task with `study.seeds` seeds, and all are evaluated on the same test
    windows. The report compares each variant with the first one by a paired bootstrap over test subjects
    and seeds. It is runs/NAME/report.html in the workspace; its path is printed at the end. Nothing is registered or
    promoted.

    `labram recipe keys` documents the `study` section. Variants with `subjects`, a fraction of the training subjects,
    need `split.kind: holdout`.

    Exit codes: 0 done, or unchanged since the last run; 1 error; 130 interrupted.
    """
    from labram.datasets.stated.task_defaults import load_recipe
    from labram.evaluation.study import ablation_runs
    from labram.recipe.debug import shortened

    resolved = load_recipe(recipe, override or [], data)
    if debug:
        resolved = shortened(resolved)
    ablation_runs(resolved)  # raises RecipeError before anything is started
    _run("study", resolved, data, workspace, force=force, **_backbone_argument(backbone))


def _backbone_argument(backbone: str | None) -> dict[str, str]:
    """Return the pipeline argument `backbone`, its path absolute, or nothing for the default."""
    from labram.platform.workspace import check_path

    if backbone is None or backbone.startswith("models:/"):
        return {"backbone": backbone} if backbone else {}
    path = Path(backbone).absolute()
    if not path.exists():
        raise WeightsError(
            "backbone not found",
            file=path,
            field="BACKBONE",
            remedy="Give models:/labram-backbone@champion, a folder that labram wrote, or a published .pth file",
        )
    check_path(path, field="BACKBONE")
    return {"backbone": str(path)}


def _corpus(folder: Path | None) -> Path:
    """Return the corpus folder: `folder`, else the data that ./data.dvc records, fetched if absent."""
    if folder is not None:
        if not folder.is_dir():
            problem = "not a folder" if folder.exists() else "folder not found"
            raise CorpusError(problem, file=folder, field="--data", remedy="Give a folder of recordings")
        return folder.absolute()
    pointer = Path("data.dvc").absolute()
    if not pointer.is_file():
        raise CorpusError(
            "no corpus: --data is not set, and the current folder has no data.dvc",
            field="--data",
            remedy="Give --data FOLDER, or change to a clone of the project",
        )
    data = pointer.with_suffix("")
    if not data.exists():
        from labram.cli.progress import Bar
        from labram.corpus.dvc_versions import checkout

        with Bar("fetching data") as bar:
            checkout(pointer, bar)
    return data


def _run(pipeline: str, recipe: "Recipe", data: Path | None, workspace_dir: Path, **arguments: object) -> None:
    """Run a pipeline under the workspace's lock and exit with its exit code."""
    from labram.platform import local_runs
    from labram.platform.workspace import Workspace
    from labram.scratch_folder import scratch_folder
    from labram.tracking.mlflow_runs import tracking_uri

    workspace = Workspace.at(workspace_dir)
    tracking_uri(workspace.root)  # raises PlatformError before anything is started
    with local_runs.lock_workspace(workspace), scratch_folder() as scratch:
        code = _run_locked(pipeline, recipe, _corpus(data), workspace, scratch, arguments)
    raise typer.Exit(code)


def _run_locked(
    pipeline: str, recipe: "Recipe", data: Path, workspace: "Workspace", scratch: Path, arguments: Mapping[str, object]
) -> int:
    from labram.cli.progress import StepDisplay, console
    from labram.cli.result import show_result
    from labram.corpus.scan import scan
    from labram.datasets.finder import file_datasets
    from labram.platform import local_runs
    from labram.steps.table import expected_tasks

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Here, an error may name the recording or quote a table: it goes to the terminal only.
    if recipe.corpus.subject or file_datasets(data):
        scan(data, recipe.corpus.datasets, recipe.corpus.subject)
    local = local_runs.create_or_resume(workspace, pipeline, recipe, data, **arguments)
    console.print(f"{'resuming' if local.resumed else 'run'} {local.name}", style="bold")
    console.print(recipe.description)
    process = local_runs.start(local, data, scratch)
    with StepDisplay() as display:
        try:
            for event in local_runs.follow(local, process):
                display.show(event)
        except KeyboardInterrupt:
            console.print("stopping: training writes a checkpoint", style="yellow")
            local_runs.stop(process)
            _close_in_mlflow(workspace, local.name, "KILLED")
            console.print("interrupted; run the same command again to resume", style="yellow")
            return INTERRUPTED
    if process.returncode != 0:
        _explain_failure(local, display.failures)
        _close_in_mlflow(workspace, local.name, "FAILED")
        return ERROR
    if display.unchanged_since is not None:
        console.print(f"unchanged: corpus, recipe and code are those of {display.unchanged_since}; its result:")
        local_runs.delete_run(local)
        return show_result(local_runs.read_result(workspace, display.unchanged_since), workspace, data, recipe)
    reused = [step for step in expected_tasks(pipeline, recipe) if step not in display.finished]
    if reused:
        console.print(f"reused from earlier runs: {', '.join(reused)}")
    return show_result(local_runs.read_result(workspace, local.name), workspace, data, recipe)


def _close_in_mlflow(workspace: "Workspace", name: str, status: str) -> None:
    """Set the status of the MLflow run of an interrupted or failed pipeline."""
    from labram.cli.progress import console
    from labram.tracking import mlflow_runs

    try:
        if not mlflow_runs.has_runs(workspace.root):
            return
        mlflow_runs.configure(workspace.root)
        closed = mlflow_runs.terminate_runs(name, status)
    except LabramError:  # the step that met it has stated it
        return
    except Exception:  # the outcome of the run is known and shown; a failing clean-up must not replace it
        closed = False
    if not closed:
        console.print(
            "MLflow does not answer: its run stays RUNNING until you run the same command again", style="yellow"
        )


def _explain_failure(local: "LocalRun", failures: list[str]) -> None:
    """Print the errors of the failed steps, or the end of the log if no step reported one."""
    from labram.cli.progress import console
    from labram.platform import local_runs

    for failure in dict.fromkeys(failures):
        console.print(f"error: {failure}", style="red")
    if not failures:
        console.print("error: the pipeline ended without an error from a step; the end of its log:", style="red")
        console.print(local_runs.log_tail(local))
    console.print(
        f"log: {local.folder / local_runs.LOG}; run the same command again to resume from the failed step",
        soft_wrap=True,
    )
