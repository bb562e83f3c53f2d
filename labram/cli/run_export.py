"""`labram runs export`: all runs for other trackers."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption


class Format(StrEnum):
    """Formats of an export."""

    CSV = "csv"
    TENSORBOARD = "tensorboard"


def export(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; one that an export wrote before is replaced.")
    ],
    format_: Annotated[
        Format, typer.Option("--format", help="csv: tables of runs and of all logged values. tensorboard: curves too.")
    ] = Format.CSV,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Export all runs with parameters, scores and curves, for those who use another tracker.

    runs.csv has a row per run and step, metrics.csv a row per logged value. With --format tensorboard, each step also
    has an event file: `tensorboard --logdir OUT` shows them.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import Bar, console
    from labram.platform.workspace import Workspace
    from labram.tracking import mlflow_runs, run_export

    mlflow_runs.configure(Workspace.at(workspace).root)
    with Bar("export") as bar:
        done = run_export.export_runs(out, tensorboard=format_ is Format.TENSORBOARD, monitor=bar)
    console.print(f"{done.runs} runs and steps, {done.values} logged values → {out}", soft_wrap=True)
