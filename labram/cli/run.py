"""`labram run`, `labram adapt` and `labram study`: the pipelines on this machine."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.errors import CorpusError, RecipeError, WeightsError

if TYPE_CHECKING:
    from labram.platform.local_runs import LocalRun
    from labram.platform.workspace import Workspace
    from labram.recipe import Recipe

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 3, 130


RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name or YAML file.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", "-d", help="Folder of recordings. Default: the corpus of ./data.dvc.")
]
OverrideOption = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Change a setting: tokenizer.steps=50; repeatable.")
]
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="LABRAM_WORKSPACE", help="Folder for everything written.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Run although nothing changed; trainings that are finished are taken over.")
]
BackboneArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[BACKBONE]",
        help="models:/NAME@ALIAS or models:/NAME/VERSION, the folder of a backbone, or a published .pth file. "
        "Default: the champion.",
    ),
]
HERE = Path(".labram")


def run(
    recipe: RecipeOption = "demo",
    data: DataOption = None,
    override: OverrideOption = None,
    workspace: WorkspaceOption = HERE,
    force: ForceOption = False,
    containers: Annotated[
        bool, typer.Option("--containers", help="Each task in a container of the image that `make images` built.")
    ] = False,
) -> None:
    """Take recordings through the whole loop: checks, tokenizer, pre-training, tasks, gates, promotion, report.

    A run that was killed goes on where it was when the same command is given again. A run with nothing changed since
    the last one stops at once and shows its result. With a recipe without tasks, it ends with the backbone.

    Exit codes: 0 done and promoted, or nothing to do; 3 done, but a gate refused; 1 failed; 130 interrupted.
    """
    from labram import recipe as recipes

    chosen = recipes.load(recipe, override or [])
    _run("retrain" if chosen.tasks else "pretrain_only", chosen, data, workspace, force=force, containers=containers)


def adapt(
    backbone: BackboneArgument = None,
    recipe: RecipeOption = "demo",
    data: DataOption = None,
    override: OverrideOption = None,
    workspace: WorkspaceOption = HERE,
    force: ForceOption = False,
) -> None:
    """Fine-tune a backbone that there is for the recipe's tasks; evaluate, judge and promote the models of the tasks.

    Nothing is pre-trained; checks, splits, baselines, gates and report are those of `labram run`. What a published
    backbone has seen is not known, so its models are promoted only if the recipe says gates.allow_overlap: true.

    Exit codes: those of `labram run`.
    """
    from labram import recipe as recipes

    chosen = recipes.load(recipe, override or [])
    if not chosen.tasks:
        raise RecipeError("it has no tasks to adapt to", file=chosen.name, field="tasks", remedy="Name a task")
    _run("adapt", chosen, data, workspace, force=force, **_begin(backbone))


def study(
    backbone: BackboneArgument = None,
    recipe: RecipeOption = "demo-study",
    data: DataOption = None,
    override: OverrideOption = None,
    workspace: WorkspaceOption = HERE,
    force: ForceOption = False,
) -> None:
    """Fine-tune a backbone in the several ways of the recipe's study, and say which differ beyond doubt.

    Every variant is trained with every seed and scored on the same test windows; nothing is registered. See the section
    `study` of `labram recipe keys`.

    Exit codes: 0 done, or nothing to do; 1 failed; 130 interrupted.
    """
    from labram import recipe as recipes
    from labram.evaluation.study import trials

    chosen = recipes.load(recipe, override or [])
    trials(chosen)
    _run("study", chosen, data, workspace, force=force, **_begin(backbone))


def _begin(backbone: str | None) -> dict[str, str]:
    """The argument for a pipeline's backbone, good in any folder; looked at here, before anything is started."""
    from labram.platform.workspace import check_path

    if backbone is None or backbone.startswith("models:/"):
        return {"backbone": backbone} if backbone else {}
    path = Path(backbone).absolute()
    if not path.exists():
        raise WeightsError(
            "there is no such backbone",
            file=path,
            field="BACKBONE",
            remedy="Give models:/labram-backbone@champion, the folder of a backbone, or a published .pth file",
        )
    check_path(path, field="BACKBONE", forbidden=("python3", "#"))
    return {"backbone": str(path)}


def _corpus(folder: Path | None) -> Path:
    """The folder to read: the one named, else that of ./data.dvc, brought here if need be."""
    from labram.platform.workspace import check_path

    if folder is not None:
        if not folder.is_dir():
            problem = "there is no such folder" if not folder.exists() else "it is not a folder"
            raise CorpusError(problem, file=folder, field="--data", remedy="Give a folder of recordings")
        check_path(folder.absolute(), field="--data")
        return folder.absolute()
    pointer = Path("data.dvc").absolute()
    if not pointer.is_file():
        raise CorpusError(
            "no data were named and there is no data.dvc here",
            field="--data",
            remedy="Give --data FOLDER, or go to a clone of the project",
        )
    data = pointer.with_suffix("")
    if not data.exists():
        from labram.cli.progress import Bar
        from labram.corpus.dvc_versions import checkout

        with Bar("obtaining data") as bar:
            checkout(pointer, bar)
    return data


def _run(pipeline: str, recipe: "Recipe", data: Path | None, workspace: Path, **given: object) -> None:
    """Run a pipeline, alone in its workspace, and end with its exit code."""
    from labram.platform import local_runs
    from labram.platform.workspace import Workspace

    place = Workspace.at(workspace)
    with local_runs.lock_workspace(place):
        code = _carry_out(pipeline, recipe, _corpus(data), place, given)
    raise typer.Exit(code)


def _carry_out(pipeline: str, recipe: "Recipe", data: Path, workspace: "Workspace", given: Mapping[str, object]) -> int:
    from labram.cli.progress import StepDisplay, console
    from labram.cli.result import show_result
    from labram.platform import local_runs

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    local = local_runs.create_or_resume(workspace, pipeline, recipe, data, **given)
    console.print(f"{'going on with' if local.resumed else 'run'} {local.name}", style="bold")
    console.print(recipe.description)
    process = local_runs.start(local, data)
    with StepDisplay() as display:
        try:
            for event in local_runs.follow(local, process):
                display.show(event)
        except KeyboardInterrupt:
            console.print("stopping: training writes its checkpoint", style="yellow")
            local_runs.stop(process)
            _abandon(workspace, local.name, "KILLED")
            console.print("stopped; the same command goes on from here", style="yellow")
            return INTERRUPTED
    if process.returncode != 0:
        _explain_failure(local, display.failures)
        _abandon(workspace, local.name, "FAILED")
        return FAILED
    if display.unchanged_since is not None:
        console.print(f"nothing to do: corpus, recipe and code are those of {display.unchanged_since}; its result:")
        local_runs.delete_run(local)
        show_result(local_runs.read_result(workspace, display.unchanged_since), workspace, data, recipe)
        return DONE
    reused = [step for step in steps_of(pipeline, recipe) if step not in display.finished]
    if reused:
        console.print(f"reused from earlier runs: {', '.join(reused)}")
    result = local.result or {}
    show_result(result, workspace, data, recipe)
    return REFUSED if result.get("outcome") == "refused" else DONE


def _abandon(workspace: "Workspace", name: str, status: str) -> None:
    """Say in MLflow too that the run has ended."""
    from labram.cli.progress import console
    from labram.tracking import mlflow_runs

    mlflow_runs.configure(workspace.root)
    if not mlflow_runs.terminate_runs(name, status):
        console.print("MLflow does not answer: there the run stays marked as running until it goes on", style="yellow")


def steps_of(pipeline: str, recipe: "Recipe") -> list[str]:
    """Names of a pipeline's steps for a recipe, in order, as their events give them."""
    from labram.evaluation.study import trials

    shards = recipe.corpus.shards
    labels = [one.label for one in trials(recipe)] if pipeline == "study" else [task.name for task in recipe.tasks]
    learning = ["tokenizer", "pretrain"] if pipeline in {"retrain", "pretrain_only"} else ["load_backbone"]
    turn = ("ablation_run", "finetune", "evaluate") if pipeline == "study" else ("finetune", "evaluate")
    return [
        *("preflight", "plan_run"),
        *(f"ingest {shard}/{shards}" for shard in range(shards)),
        *("quality", *learning),
        *(f"{step} {label}" for label in labels for step in turn),
        *(["compare"] if pipeline == "study" else ["register", "gate", "promote", "report"]),
    ]


def _explain_failure(local: "LocalRun", failures: list[str]) -> None:
    """The failing step's own words; the log's end only when no step could speak."""
    from labram.cli.progress import console
    from labram.platform import local_runs

    for failure in dict.fromkeys(failures):
        console.print(f"failed: {failure}", style="red")
    if not failures:
        console.print("the pipeline ended without a word from a step; the end of its log:", style="red")
        console.print(local_runs.log_tail(local))
    console.print(
        f"log: {local.folder / local_runs.LOG}; the same command goes on from the failed step", soft_wrap=True
    )
