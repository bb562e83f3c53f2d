"""`labram evaluate`: a registered model on recordings that it has never seen."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[str, typer.Argument(help="models:/labram-workload@champion, models:/NAME/VERSION, or a folder.")],
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder in the layout of the task's dataset.")],
    task: Annotated[str, typer.Option("--task", "-t", help="The task, such as workload.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", envvar="LABRAM_WORKSPACE", help="Folder of the registry.")
    ] = Path(".labram"),
) -> None:
    """Score a model on a folder of labelled recordings, beside the baseline that was fitted with it.

    All labelled windows of the folder are evaluated. Recordings that the model's training has seen are counted under
    `overlap` and warned about: scores on them prove nothing.
    """
