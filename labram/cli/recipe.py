"""`labram recipe`: list recipes, show resolved settings, document keys."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from labram.cli.options import OverrideOption
from labram.cli.terminal import echo

app = typer.Typer(help="List, show and document recipes: YAML files with all settings of a run.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """List the recipes that come with labram.

    Exit codes: 0 done; 1 error.
    """
    from labram import recipe as recipes

    for name in recipes.available():
        echo(f"{name:12}  {recipes.load(name).description}")


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Recipe: a name from `labram recipe list`, or a YAML file.")
    ] = "demo",
    override: OverrideOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Folder whose dataset.yaml states the recipe's tasks.")
    ] = None,
) -> None:
    """Print a recipe as YAML with `extends`, overrides and defaults resolved.

    Exit codes: 0 done; 1 error.
    """
    import yaml

    from labram.datasets.stated.task_defaults import load_recipe

    settings = load_recipe(name, override or [], data).model_dump(mode="json")
    echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command()
def init(
    dataset: Annotated[
        Path, typer.Option("--dataset", help="A dataset.yaml, or its folder (see `labram datasets init`).")
    ] = Path("dataset.yaml"),
    out: Annotated[
        Path | None, typer.Option("--out", help="The recipe to write. Default: NAME.yaml in the current folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Draft a small recipe for your own dataset: windows from its labels, model and steps from its hours.

    The file has comments and the expected minutes on this machine. `labram run`, `adapt` and `study` take it.

    Exit codes: 0 done; 1 error.
    """
    from labram.atomic import atomic_path
    from labram.cli.progress import Bar
    from labram.corpus.dataset_check import check_dataset, load_folder
    from labram.corpus.recipe_draft import draft_recipe
    from labram.datasets.stated.task_defaults import load_recipe
    from labram.errors import RecipeError

    stated = load_folder(dataset)
    path = out or Path(f"{stated.name}.yaml")
    if path.exists() and not force:
        raise RecipeError("the file exists already", file=path, remedy="Pass --out, or --force to replace it")
    with Bar("recipe") as bar:
        checked = check_dataset(stated, load_recipe("demo"), monitor=bar, sample=False)
    with atomic_path(path) as temporary:
        temporary.write_text(draft_recipe(stated, checked), encoding="utf-8")
    load_recipe(str(path), data=stated.folder)  # raises RecipeError if it does not hold
    for doubt in checked.doubts:
        echo(f"  {doubt}", fg="yellow")
    command = shlex.join(["labram", "run", "--data", str(stated.folder), "--recipe", str(path)])
    echo(f"{path} written. Next: {command}")


@app.command()
def keys() -> None:
    """Print each recipe key with type, default and meaning.

    Exit codes: 0 done; 1 error.
    """
    from labram.recipe import Recipe

    _print_keys(Recipe.model_json_schema(), Recipe.model_json_schema()["properties"], "")


def _print_keys(schema: dict[str, Any], properties: dict[str, Any], prefix: str) -> None:
    for key, field in properties.items():
        reference = field.get("$ref") or field.get("items", {}).get("$ref")
        if reference:
            section = schema["$defs"][reference.rsplit("/", 1)[1]]
            echo(f"{prefix}{key}  {section.get('description', '')}", bold=True)
            _print_keys(schema, section["properties"], f"{prefix}{key}.")
            continue
        kind = _kind(field) or " or ".join(map(_kind, field.get("anyOf", [])))
        default = f" = {field['default']}" if "default" in field else " (required)"
        echo(f"{prefix}{key}: {kind}{default}  {field.get('description', '')}".rstrip())


def _kind(field: dict[str, Any]) -> str:
    """Return the type of a value, or the values that are allowed."""
    if "enum" in field:
        return f"one of {', '.join(map(str, field['enum']))}"
    return str(field.get("type", ""))
