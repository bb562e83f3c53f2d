"""`labram run`: the whole DAG on this machine."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labram.errors import CorpusError

if TYPE_CHECKING:
    from labram.operations.runs import LocalRun
    from labram.operations.workspace import Workspace
    from labram.recipe import Recipe

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 3, 130


def run(
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name or YAML file.")] = "demo",
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Folder of recordings. Default: the corpus of ./data.dvc.")
    ] = None,
    override: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Change a setting: tokenizer.steps=50; repeatable.")
    ] = None,
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", envvar="LABRAM_WORKSPACE", help="Folder for everything written.")
    ] = Path(".labram"),
    force: Annotated[
        bool, typer.Option("--force", help="Run although nothing changed; trainings that are finished are taken over.")
    ] = False,
) -> None:
    """Take recordings through the whole loop: checks, tokenizer, pre-training, tasks, gates, promotion, report.

    A run that was killed goes on where it was when the same command is given again. A run with nothing changed since
    the last one stops at once and shows its result.

    Exit codes: 0 done and promoted, or nothing to do; 3 done, but a gate refused; 1 failed; 130 interrupted.
    """
    from labram import recipe as recipes
    from labram.operations import runs
    from labram.operations.workspace import Workspace

    chosen = recipes.load(recipe, override or [])
    place = Workspace.at(workspace)
    with runs.alone(place):
        code = _run(chosen, _corpus(data), place, force=force)
    raise typer.Exit(code)


def _corpus(folder: Path | None) -> Path:
    """The folder to read: the one named, else that of ./data.dvc, brought here if need be."""
    from labram.operations.workspace import check_path

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
        from labram.corpus.versions import obtain

        with Bar("obtaining data") as bar:
            obtain(pointer, bar)
    return data


def _run(recipe: "Recipe", data: Path, workspace: "Workspace", *, force: bool) -> int:
    from labram.cli.progress import StepDisplay, console
    from labram.operations import runs

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    local = runs.prepare(workspace, recipe, data, force=force)
    console.print(f"{'going on with' if local.resumed else 'run'} {local.name}", style="bold")
    console.print(recipe.description)
    process = runs.start(local, data)
    with StepDisplay() as display:
        try:
            for event in runs.follow(local, process):
                display.show(event)
        except KeyboardInterrupt:
            console.print("stopping: training writes its checkpoint", style="yellow")
            runs.stop(process)
            _abandon(workspace, local.name, "KILLED")
            console.print("stopped; the same command goes on from here", style="yellow")
            return INTERRUPTED
    if process.returncode != 0:
        _explain_failure(local, display.failures)
        _abandon(workspace, local.name, "FAILED")
        return FAILED
    if display.unchanged_since is not None:
        console.print(f"nothing to do: corpus, recipe and code are those of {display.unchanged_since}; its result:")
        runs.forget(local)
        show_result(runs.result_of(workspace, display.unchanged_since), workspace, data, recipe)
        return DONE
    reused = [step for step in steps_of(recipe) if step not in display.finished]
    if reused:
        console.print(f"reused from earlier runs: {', '.join(reused)}")
    result = local.result or {}
    show_result(result, workspace, data, recipe)
    return DONE if result.get("outcome") == "promoted" else REFUSED


def _abandon(workspace: "Workspace", name: str, status: str) -> None:
    """Say in MLflow too that the run has ended."""
    from labram.operations import tracking

    tracking.configure(workspace.root)
    tracking.abandon(name, status)


def steps_of(recipe: "Recipe") -> list[str]:
    """Names of the DAG's steps for a recipe, in order, as their events give them."""
    shards = recipe.corpus.shards
    return [
        *("preflight", "resolve"),
        *(f"ingest {shard}/{shards}" for shard in range(shards)),
        "quality",
        "tokenizer",
        "pretrain",
        *(f"{step} {task.name}" for task in recipe.tasks for step in ("finetune", "evaluate")),
        *("register", "gate", "promote", "report"),
    ]


def _explain_failure(local: "LocalRun", failures: list[str]) -> None:
    """The failing step's own words; the log's end only when no step could speak."""
    from labram.cli.progress import console
    from labram.operations import runs

    for failure in dict.fromkeys(failures):
        console.print(f"failed: {failure}", style="red")
    if not failures:
        console.print("the pipeline ended without a word from a step; the end of its log:", style="red")
        console.print(runs.last_lines(local))
    console.print(f"log: {local.folder / runs.LOG}; the same command goes on from the failed step", soft_wrap=True)


def show_result(result: dict[str, Any], workspace: "Workspace", data: Path, recipe: "Recipe") -> None:
    """Print what came out: quarantine, task table, gates, where to look next."""
    from rich.table import Table

    from labram.cli.evaluate import interval
    from labram.cli.progress import console
    from labram.evaluation.statistics import Estimate

    _show_unused(data, recipe)
    _show_quarantine(result["quarantined"], data, recipe, workspace)
    table = Table("task", "metric", "model [95 % CI]", "baseline [95 % CI]", "beats baseline", "gate")
    for row in result["tasks"]:
        model, baseline = (Estimate.model_validate(row[side]) if row[side] else None for side in ("model", "baseline"))
        beats = "yes" if row["beats_baseline"] else "no"
        table.add_row(row["task"], row["metric"], interval(model), interval(baseline), beats, row["gate"])
    console.print(table)
    for gate in result["refused"]:
        console.print(f"gate refused  {gate['model']}: {gate['name']}: {gate['detail']}", style="yellow")
    for promotion in result["promotions"]:
        console.print(f"champion  models:/{promotion['model']}@champion is now version {promotion['version']}")
    console.print(f"report    {workspace.run(result['run']) / 'report.html'}")
    console.print(
        f"tracking  make ui   (or: mlflow ui --backend-store-uri sqlite:///{workspace.root}/mlflow/mlflow.db)"
    )


def _show_unused(data: Path, recipe: "Recipe") -> None:
    from labram.cli.progress import console
    from labram.corpus.datasets import find, unused

    names = unused(data, find(data, recipe.corpus.datasets))
    if names:
        console.print(f"EEG that no dataset of the recipe uses: {', '.join(names)}", style="yellow", soft_wrap=True)


def _show_quarantine(quarantined: list[dict[str, Any]], data: Path, recipe: "Recipe", workspace: "Workspace") -> None:
    """Quarantine lines. Paths stand on the terminal only: what is written to disk names recordings by their ids."""
    from labram.cli.progress import console

    if not quarantined:
        return
    from labram.corpus.privacy import load_key
    from labram.corpus.scan import locate
    from labram.corpus.store import Store

    ids = {row["recording_id"] for row in quarantined}
    paths = locate(data, recipe.corpus.datasets, ids, load_key(workspace.root), Store(workspace.store))
    console.print(f"{len(quarantined)} recordings in quarantine:")
    for row in quarantined:
        where = paths.get(row["recording_id"], row["recording_id"])
        console.print(f"  {where}: {', '.join(row['reasons'])}", soft_wrap=True)
