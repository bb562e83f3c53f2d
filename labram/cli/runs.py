"""`labram runs`: list, show, compare and export pipeline runs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from labram.cli import run_export
from labram.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from labram.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from labram.tracking.run_list import PipelineRun, StepRun

app = typer.Typer(help="List, show, compare and export pipeline runs.", no_args_is_help=True)
app.command("export")(run_export.export)
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run, as `labram runs list` shows it, or its MLflow id.")
]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Number of runs to show, the newest first.")] = 20,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """List pipeline runs: outcome, start, duration, corpus version, commit and who started them.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import console
    from labram.cli.tables import new_table
    from labram.platform.registry_connection import connect
    from labram.tracking.run_list import list_runs

    connect(workspace)
    runs = list_runs()[:limit]
    if json:
        echo_json({"runs": [_row(run) for run in runs]})
        return
    table = new_table(
        "run", "outcome", "started", "duration", "corpus", "commit", "started by", whole=("run", "outcome")
    )
    for run in runs:
        tags = run.tags
        table.add_row(
            run.name,
            run.outcome,
            f"{run.started:%Y-%m-%d %H:%M}",
            _duration(run.seconds),
            tags.get("corpus_version", "")[:19],
            _commit(tags.get("git_commit", ""), tags.get("git_dirty", "")),
            tags.get("actor", ""),
        )
    console.print(table)


@app.command()
def show(
    run: RunArgument,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Show a run: its origin, its steps with durations and metrics, and the model versions that it registered.

    Exit codes: 0 done; 1 error, such as an unknown run.
    """
    from labram.cli.progress import console
    from labram.cli.tables import new_table
    from labram.platform.registry_connection import connect
    from labram.registry import model_registry
    from labram.tracking.run_list import find_run, steps_of

    connect(workspace)
    found = find_run(run)
    steps = steps_of(found)
    versions = [version.uri for version in model_registry.list_versions() if version.run_id == found.run_id]
    if json:
        echo_json(_row(found) | {"steps": [_step(step) for step in steps], "versions": versions})
        return
    origin = new_table("run", found.name, whole=("run",))
    for key, text in _row(found).items():
        if key != "name" and text is not None:
            origin.add_row(key, str(text))
    console.print(origin)
    table = new_table("step", "status", "duration", "metrics")
    for step in steps:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in list(step.metrics.items())[:6])
        table.add_row(step.name, step.status.lower(), _duration(step.seconds), metrics)
    console.print(table)
    for uri in versions:
        console.print(f"registered  {uri}")


@app.command()
def compare(
    a: RunArgument,
    b: RunArgument,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Compare two runs: origin, settings, and scores with paired intervals on the windows that both predicted.

    Exit codes: 0 done; 1 error, such as an unknown run.
    """
    from labram.cli.comparisons import show_comparison
    from labram.platform.registry_connection import connect
    from labram.registry.comparison import compare_runs
    from labram.tracking.run_list import find_run

    connect(workspace)
    found = compare_runs(find_run(a), find_run(b))
    if json:
        echo(found.model_dump_json())
    else:
        show_comparison(found)


def _row(run: "PipelineRun") -> dict[str, Any]:
    tags = {key: text for key, text in run.tags.items() if not key.startswith("labram.")}
    return {
        "name": run.name,
        "run_id": run.run_id,
        "status": run.status,
        "started": run.started.isoformat(timespec="seconds"),
        "seconds": run.seconds,
        **tags,
    }


def _step(step: "StepRun") -> dict[str, Any]:
    return {"step": step.name, "status": step.status, "seconds": step.seconds, "metrics": dict(step.metrics)}


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _commit(commit: str, dirty: str) -> str:
    return commit[:10] + ("*" if dirty == "true" else "")
