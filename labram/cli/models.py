"""`labram models`: list, show and compare registered models; resolve aliases. The other commands move aliases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from labram.cli.promotions import add_to
from labram.cli.terminal import echo, echo_json

if TYPE_CHECKING:
    from rich.tree import Tree

    from labram.registry.model_registry import ModelVersion
    from labram.registry.provenance import Provenance

app = typer.Typer(
    help="List, show and compare registered models; promote, approve, reject and roll back; audit.",
    no_args_is_help=True,
)
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME, NAME@ALIAS or NAME/VERSION, such as labram-workload@champion.")
]
_TREE = ("tokenizer_version", "backbone_version", "name", "version", "uri", "aliases")
"""Keys that the tree shows by its branches."""


@app.command("list")
def list_(
    versions: Annotated[
        bool, typer.Option("--versions", help="One line per version instead of one per model.")
    ] = False,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """List registered models: champion and challenger with age, score beside the baseline, and gate verdict.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import console
    from labram.cli.tables import new_table
    from labram.platform.registry_connection import connect
    from labram.registry import model_registry, provenance

    connect(workspace)
    everything = model_registry.list_versions()
    shown = everything if versions else _in_use(everything)
    if json:
        echo_json({"versions": [provenance.flat(version) for version in shown]})
        return
    table = new_table(
        "model",
        "version",
        "aliases",
        "age",
        "score [95 % CI]",
        "baseline [95 % CI]",
        "gates",
        whole=("model", "aliases", "gates"),
    )
    for version in shown:
        tags = version.tags
        table.add_row(
            version.name,
            version.version,
            ", ".join(version.aliases) or "–",
            _age(version),
            " ".join(tags[key] for key in ("metric", "score") if key in tags),
            tags.get("baseline_score", ""),
            tags.get("gate", "not evaluated"),
        )
    console.print(table)


@app.command()
def show(
    model: ModelArgument,
    json: JsonOption = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page with a drawn graph to this file.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Show where a version came from, up to the corpus, and what was made from it.

    A name alone means the champion, or else the newest version. `--json` prints flat keys such as `git_commit`,
    `corpus_version`, `recipe_hash` and `image`; a key that the version does not state is null.

    Exit codes: 0 done; 1 error, such as an unknown model.
    """
    from labram.cli.progress import console
    from labram.platform.registry_connection import connect
    from labram.registry import model_registry, provenance

    connect(workspace)
    found = provenance.trace(model_registry.find_model(model))
    if html is not None:
        from labram.reporting import lineage_page

        echo(lineage_page.write(found, html))
    if json:
        echo_json(provenance.flat(found.version))
    elif html is None:
        console.print(_tree(found))


@app.command()
def compare(
    a: ModelArgument,
    b: ModelArgument,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Compare two versions: origin, settings, and scores with paired intervals on the windows that both predicted.

    Exit codes: 0 done; 1 error, such as an unknown model.
    """
    from labram.cli.comparisons import show_comparison
    from labram.platform.registry_connection import connect
    from labram.registry import model_registry
    from labram.registry.comparison import compare_versions

    connect(workspace)
    found = compare_versions(model_registry.find_model(a), model_registry.find_model(b))
    if json:
        echo(found.model_dump_json())
    else:
        show_comparison(found)


@app.command()
def resolve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="models:/NAME@ALIAS, such as models:/labram-workload@champion.")
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Print the version that an alias points to now, as models:/NAME/VERSION.

    A deployment that names a version serves the same model from all its pods until it is deployed again.

    Exit codes: 0 done; 1 error, such as an unknown alias.
    """
    from labram.platform.registry_connection import connect
    from labram.registry.model_registry import find_version

    connect(workspace)
    echo(find_version(model).uri)


add_to(app)


def _in_use(versions: "list[ModelVersion]") -> "list[ModelVersion]":
    """Return the versions with an alias, and the newest version of a model without any."""
    names = {version.name for version in versions if version.aliases}
    shown = []
    for version in versions:
        if version.aliases or version.name not in names:
            shown.append(version)
            names.add(version.name)
    return shown


def _age(version: "ModelVersion") -> str:
    from datetime import UTC, datetime

    if version.created is None:
        return ""
    hours = int((datetime.now(UTC) - version.created).total_seconds() // 3600)
    return f"{hours // 24} d" if hours >= 24 else f"{hours} h"


def _tree(found: "Provenance") -> "Tree":
    from rich.markup import escape
    from rich.tree import Tree

    from labram.registry import provenance

    tree = Tree(escape(found.root.title))
    for key, text in provenance.flat(found.version).items():
        if text and key not in _TREE:
            tree.add(escape(f"{provenance.KEYS.get(key, key)}: {text}"))
    sources = tree.add("made from")
    _add_sources(sources, found, found.version.uri)
    products = found.products(found.version.uri)
    used = tree.add("used by" if products else "used by no other model")
    for node in products:
        used.add(escape(node.title))
    return tree


def _add_sources(tree: "Tree", found: "Provenance", key: str) -> None:
    from rich.markup import escape

    for node in found.sources(key):
        _add_sources(tree.add(escape(node.title)), found, node.key)
