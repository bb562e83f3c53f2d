"""`labram models`: list registered models, resolve aliases, roll a champion back."""

from typing import Annotated

import typer

from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.terminal import echo

app = typer.Typer(help="List registered models; resolve aliases; roll a champion back.", no_args_is_help=True)


@app.command("list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """List registered models with versions, aliases, gate verdict, corpus version and commit.

    Exit codes: 0 done; 1 error.
    """
    from rich.table import Table

    from labram.cli.progress import console
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
    console.print(table)


@app.command()
def resolve(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS, such as models:/labram-workload@champion.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Print the version that an alias points to now, as models:/NAME/VERSION.

    A deployment that names a version serves the same model from all its pods until it is deployed again.

    Exit codes: 0 done; 1 error, such as an unknown alias.
    """
    from labram.registry.model_registry import find_version
    from labram.tracking.mlflow_runs import configure

    configure(workspace)
    echo(find_version(model).uri)


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Registered model, such as labram-workload.")],
    why: Annotated[str, typer.Option(help="Reason, stored as a tag of the model version.")] = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Move the alias champion back to the previous champion.

    Exit codes: 0 done; 1 error, such as a model without previous champion.
    """
    from labram.registry.promotion import rollback as roll_back
    from labram.tracking.mlflow_runs import configure

    configure(workspace)
    echo(roll_back(name, why=why))
