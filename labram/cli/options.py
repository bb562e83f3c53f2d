"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RecipeOption = Annotated[
    str, typer.Option("--recipe", "-r", help="Recipe: a name from `labram recipe list`, or a YAML file.")
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override a recipe setting, such as tasks.NAME.epochs=5. Repeatable."),
]
DebugOption = Annotated[
    bool,
    typer.Option("--debug", help="A few steps of a small model, to try recipe and data; no model is promoted."),
]
WorkspaceOption = Annotated[
    Path,
    typer.Option(
        "--workspace", "-w", envvar="LABRAM_WORKSPACE", help="Folder for stores, checkpoints, MLflow data and runs."
    ),
]
DEFAULT_WORKSPACE = Path(".labram")
StoreOption = Annotated[
    str, typer.Option("--store", envvar="LABRAM_STORE", help="Patch store: a folder, or s3://bucket/prefix.")
]
DEFAULT_STORE = ".labram/store"
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
