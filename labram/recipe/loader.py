"""Read recipes from YAML, apply overrides, and explain what is wrong with one that cannot be used."""

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from labram.errors import RecipeError
from labram.recipe.schema import Recipe


def available() -> list[str]:
    """Names of the recipes that come with labram."""
    folder = resources.files("labram.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or from a YAML file, then apply ``key.path=value`` overrides.

    Args:
        name_or_path: One of `available`, or the path of a YAML file.
        overrides: Such as ``tokenizer.steps=50`` or ``tasks.workload.epochs=3``; the value is YAML.

    Raises:
        RecipeError: If the file, a key or a value is not usable; names it and what is allowed.

    Top-level keys that begin with ``x-`` hold what the file refers to by YAML anchors, and are not settings. A file
    that says ``extends: base`` has the settings of that shipped recipe where it gives none itself.
    """
    source, settings = _settings(name_or_path)
    for override in overrides:
        _override(settings, override)
    try:
        return Recipe.model_validate(settings)
    except ValidationError as error:
        raise _explain(error, source) from error


def _settings(name_or_path: str) -> tuple[str, dict[str, Any]]:
    """What a recipe's file and those that it extends say, and the file's name."""
    source, text = _read(name_or_path)
    try:
        settings = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"not valid YAML ({_place(error)})", file=source, remedy="Mend the file at the place named"
        ) from error
    if not isinstance(settings, dict):
        raise RecipeError("a recipe is a YAML mapping", file=source, remedy="Start from a shipped recipe")
    settings = {key: value for key, value in settings.items() if not str(key).startswith("x-")}
    extended = settings.pop("extends", None)
    if extended is None:
        return source, settings
    if extended == source or extended not in available():
        raise RecipeError(
            f"{extended!r} cannot be extended",
            file=source,
            field="extends",
            remedy=f"Name a recipe that comes with labram: {', '.join(available())}",
        )
    return source, merged(_settings(extended)[1], settings)


def merged(below: Any, above: Any) -> Any:
    """Settings of both, those `above` first. Entries of lists are told by their ``name``; other lists are replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {key: merged(below.get(key), above.get(key, below.get(key))) for key in {**below, **above}}
    if isinstance(below, list) and isinstance(above, list) and all(isinstance(x, dict) for x in (*below, *above)):
        named = {entry.get("name"): entry for entry in below}
        return [merged(named.get(entry.get("name")), entry) for entry in above]
    return above


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in available():
        return name_or_path, resources.files("labram.recipes").joinpath(f"{name_or_path}.yaml").read_text()
    path = Path(name_or_path)
    if path.is_file():
        try:
            return path.name, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError("not readable as text", file=path, remedy="Give a YAML file in UTF-8") from error
    raise RecipeError(
        f"there is no recipe {name_or_path!r}",
        remedy=f"Give the path of a YAML file or one of: {', '.join(available())}",
    )


def _place(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else "unreadable"


def _override(settings: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator:
        raise RecipeError(f"{override!r} is not key=value", field="--set", remedy="Write --set tokenizer.steps=50")
    node: Any = settings
    *parents, last = key.strip().split(".")
    for part in parents:
        if isinstance(node, list):
            node = next((item for item in node if isinstance(item, dict) and item.get("name") == part), None)
        else:
            node = node.setdefault(part, {})
        if not isinstance(node, dict | list):
            raise RecipeError(f"there is no {part!r}", field=key, remedy="See `labram recipe show` for the keys")
    if not isinstance(node, dict):
        raise RecipeError("names a list", field=key, remedy="Name an entry of it, as in tasks.workload.epochs=3")
    try:
        node[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError("the value is not YAML", field=key, remedy="Quote it, as in --set 'name=\"mine\"'") from error


def _explain(error: ValidationError, source: str) -> RecipeError:
    """The first problem in plain words; pydantic's own text names types that users do not know."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        return RecipeError(
            first["msg"].removeprefix("Value error, "),
            file=source,
            field=".".join(where),
            remedy="See `labram recipe show` for keys, defaults and meanings",
        )
    known = _keys(Recipe, where[:-1])
    close = difflib.get_close_matches(where[-1], known, n=1)
    return RecipeError(
        "unknown key",
        file=source,
        field=".".join(where),
        remedy=f"Did you mean {close[0]!r}" if close else f"Known here: {', '.join(known)}",
    )


def _keys(section: type[BaseModel], where: Sequence[str]) -> list[str]:
    """Keys of the section at `where`, walking through nested sections and lists of them."""
    for part in where:
        if part.isdigit():
            continue
        annotation = section.model_fields[part].annotation
        inner = [kind for kind in (annotation, *getattr(annotation, "__args__", ())) if isinstance(kind, type)]
        section = next((kind for kind in inner if issubclass(kind, BaseModel)), section)
    return list(section.model_fields)
