"""`labram recipe`: list recipes, show resolved settings, document keys."""

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
    name: Annotated[str, typer.Argument(help="Recipe: a name from `labram recipe list`, or a YAML file.")] = "demo",
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
        kind = field.get("type") or "/".join(kind.get("type", "?") for kind in field.get("anyOf", []))
        default = f" = {field['default']}" if "default" in field else " (required)"
        echo(f"{prefix}{key}: {kind}{default}  {field.get('description', '')}".rstrip())
