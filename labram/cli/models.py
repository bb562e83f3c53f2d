"""`labram models`: what is in the registry, and the way back."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at registered models; roll a champion back.", no_args_is_help=True)
WORKSPACE = Annotated[
    Path, typer.Option("--workspace", "-w", envvar="LABRAM_WORKSPACE", help="Folder of the registry.")
]


@app.command("list")
def list_(workspace: WORKSPACE = Path(".labram")) -> None:
    """Print registered models, their versions and aliases."""
    from rich.console import Console
    from rich.table import Table

    from labram.registry.model_registry import list_versions
    from labram.tracking.mlflow_runs import configure

    configure(workspace)
    table = Table("model", "version", "aliases", "gate", "corpus", "commit")
    for version in list_versions():
        tags = version.tags
        table.add_row(
            version.name,
            version.version,
            ", ".join(version.aliases),
            tags.get("gate", ""),
            tags.get("corpus_version", "")[:12],
            tags.get("git_commit", "")[:10],
        )
    Console().print(table)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Such as labram-workload.")],
    why: Annotated[str, typer.Option(help="Reason, kept with the version.")] = "",
    workspace: WORKSPACE = Path(".labram"),
) -> None:
    """Make the previous champion champion again."""
    from labram.registry.promotion import rollback as back
    from labram.tracking.mlflow_runs import configure

    configure(workspace)
    typer.echo(back(name, why=why))
