"""`labram recipe`: what a recipe says, with every default and meaning."""

from typing import Annotated, Any

import typer

app = typer.Typer(help="Look at recipes: YAML files that fix every setting of a run.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Name the recipes that come with labram."""
    from labram import recipe as recipes

    for name in recipes.available():
        typer.echo(f"{name:12}  {recipes.load(name).description}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe's name, or the path of a YAML file.")] = "demo",
    override: Annotated[list[str] | None, typer.Option("--set", help="key.path=value, as for `labram run`.")] = None,
) -> None:
    """Print a recipe with every setting resolved, defaults included."""
    import yaml

    from labram import recipe as recipes

    settings = recipes.load(name, override or []).model_dump(mode="json")
    typer.echo(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=100), nl=False)


@app.command()
def keys() -> None:
    """Print every key with its type, default and meaning."""
    from labram.recipe import Recipe

    _print_keys(Recipe.model_json_schema(), Recipe.model_json_schema()["properties"], "")


def _print_keys(schema: dict[str, Any], properties: dict[str, Any], prefix: str) -> None:
    for key, field in properties.items():
        reference = field.get("$ref") or field.get("items", {}).get("$ref")
        if reference:
            section = schema["$defs"][reference.rsplit("/", 1)[1]]
            typer.secho(f"{prefix}{key}  {section.get('description', '')}", bold=True)
            _print_keys(schema, section["properties"], f"{prefix}{key}.")
            continue
        kind = field.get("type") or "/".join(kind.get("type", "?") for kind in field.get("anyOf", []))
        default = f" = {field['default']}" if "default" in field else " (required)"
        typer.echo(f"{prefix}{key}: {kind}{default}  {field.get('description', '')}".rstrip())
