"""Read recipes from YAML, apply overrides, and explain what is wrong with one that cannot be used."""

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from labram import strict_yaml
from labram.errors import RecipeError
from labram.recipe.schema import Recipe


def available() -> list[str]:
    """Return the names of the recipes shipped with labram."""
    folder = resources.files("labram.recipes")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


Section = TypeVar("Section", bound=BaseModel)
Stated = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Settings of tasks that datasets state, by dataset and task."""
_STATED_KEYS = ("kind", "classes", "metric")


def load(
    name_or_path: str,
    overrides: Sequence[str] = (),
    stated: Stated | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Recipe:
    """Read a recipe by name or from a YAML file, then apply ``key.path=value`` overrides.

    Args:
        name_or_path: One of `available`, or the path of a YAML file.
        overrides: Such as ``tokenizer.steps=50`` or ``tasks.workload.epochs=3``; the value is YAML.
        stated: What datasets state of tasks; a task takes from it what the recipe does not state.
        defaults: Sections of recipes that lack them, for commands that do not use these sections.

    Raises:
        RecipeError: If the file, a key or a value is invalid; names it and what is allowed.

    Top-level keys starting with ``x-`` are not settings: they hold YAML anchors. A file with ``extends: base`` takes
    the settings that it does not have from that recipe: a shipped one, or the path of a file, relative to its own. Null
    in place of an inherited mapping or list resets it to the default.
    """
    source, settings = _settings(name_or_path)
    settings = {**(defaults or {}), **settings}
    if isinstance(settings.get("tasks"), list):
        settings["tasks"] = [_completed(task, stated or {}, source) for task in settings["tasks"]]
    for override in overrides:
        _override(settings, override)
    return validated(Recipe, settings, source)


def validated(section: type[Section], settings: dict[str, Any], source: str) -> Section:
    """Return a recipe, or one of its sections, of some settings.

    Raises:
        RecipeError: If one is unknown or out of range.
    """
    try:
        return section.model_validate(settings)
    except ValidationError as error:
        raise _explain(error, section, source) from error


def _completed(task: Any, stated: Stated, source: str) -> Any:
    """Return a task with what its dataset states of it."""
    if not isinstance(task, dict) or not {"name", "dataset"} <= task.keys():
        return task
    known = stated.get(str(task["dataset"]), {}).get(str(task["name"]))
    absent = [key for key in _STATED_KEYS if key not in task]
    if known is None and absent:
        raise RecipeError(
            f"the task {task['name']!r} states no {' and no '.join(absent)}, and no dataset {task['dataset']!r} with "
            "that task is known here",
            file=source,
            field=f"tasks.{task['name']}",
            remedy="Pass --data FOLDER, the folder with its dataset.yaml, or correct the names of dataset and task"
            + (
                f": tasks of {task['dataset']}: {', '.join(stated[task['dataset']])}"
                if task["dataset"] in stated
                else ""
            ),
        )
    own = {**(known or {}), **task}
    if known is not None and "kind" in task and task["kind"] != known["kind"] and "metric" not in task:
        own.pop("metric")
    return own


def _settings(name_or_path: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a recipe's file, and its settings merged with those of the recipe that it extends."""
    return _extended(name_or_path, ())


def _extended(name_or_path: str, above: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    source, text = _read(name_or_path)
    try:
        settings = strict_yaml.parse(text)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"not valid YAML ({_position(error)})", file=source, remedy="Correct the YAML at that line"
        ) from error
    if not isinstance(settings, dict):
        raise RecipeError(
            f"not a recipe: expected a YAML mapping, got {type(settings).__name__}",
            file=source,
            remedy="Copy a shipped recipe and edit it",
        )
    settings = {key: value for key, value in settings.items() if not str(key).startswith("x-")}
    extended = settings.pop("extends", None)
    if extended is None:
        return source, settings
    base = _base(str(extended), name_or_path)
    if base == name_or_path or base in above or (base not in available() and not Path(base).is_file()):
        problem = "a recipe cannot extend itself" if base in (name_or_path, *above) else f"no recipe {extended!r}"
        raise RecipeError(
            problem,
            file=source,
            field="extends",
            remedy="Write the path of a YAML file, relative to this one, or one of: "
            f"{', '.join(name for name in available() if name != source)}",
        )
    return source, merge(_extended(base, (*above, name_or_path))[1], settings)


def _base(extended: str, name_or_path: str) -> str:
    """Return the name of the shipped recipe, or the path of the file, that a recipe extends."""
    if extended in available() or name_or_path in available():
        return extended
    return str(Path(name_or_path).resolve().parent / extended)


def merge(base: Any, changes: Any) -> Any:
    """Return settings with changes applied recursively. Lists of mappings are matched by ``name``, others replaced.

    Null in place of a mapping or list removes it.
    """
    if isinstance(base, dict) and isinstance(changes, dict):
        reset = {key for key, value in changes.items() if value is None and isinstance(base.get(key), dict | list)}
        kept = [key for key in {**base, **changes} if key not in reset]
        return {key: merge(base.get(key), changes.get(key, base.get(key))) for key in kept}
    if isinstance(base, list) and isinstance(changes, list) and all(isinstance(x, dict) for x in (*base, *changes)):
        by_name = {entry.get("name"): entry for entry in base}
        return [merge(by_name.get(entry.get("name")), entry) for entry in changes]
    return changes


def _read(name_or_path: str) -> tuple[str, str]:
    if name_or_path in available():
        return name_or_path, resources.files("labram.recipes").joinpath(f"{name_or_path}.yaml").read_text(
            encoding="utf-8"
        )
    path = Path(name_or_path)
    if path.is_file():
        try:
            return path.name, strict_yaml.read_text(path)
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError("not readable as UTF-8 text", file=path, remedy="Pass a YAML file in UTF-8") from error
    raise RecipeError(
        f"recipe {name_or_path!r} not found",
        remedy=f"Pass the path of a YAML file, or one of: {', '.join(available())}",
    )


def _position(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else "unreadable"


def _override(settings: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator:
        raise RecipeError(
            f"expected key=value, got {override!r}",
            field="--set",
            remedy="Write, for example, --set tokenizer.steps=50",
        )
    node: Any = settings
    *parents, last = key.strip().split(".")
    for part in parents:
        if isinstance(node, list):
            node = next((item for item in node if isinstance(item, dict) and item.get("name") == part), None)
        else:
            node = node.setdefault(part, {})
        if not isinstance(node, dict | list):
            raise RecipeError(f"unknown key {part!r}", field=key, remedy="Run `labram recipe show` to list the keys")
    if not isinstance(node, dict):
        raise RecipeError(
            "expected a setting, got a list",
            field=key,
            remedy="Name an entry of the list, as in tasks.workload.epochs=3",
        )
    try:
        node[last] = strict_yaml.parse(value)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"the value is not valid YAML: {value!r}", field=key, remedy="Quote it, as in --set 'name=\"mine\"'"
        ) from error


def _explain(error: ValidationError, section: type[BaseModel], source: str) -> RecipeError:
    """Return the first validation error, with the key and without pydantic's type names."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        return RecipeError(
            first["msg"].removeprefix("Value error, "),
            file=source,
            field=".".join(path),
            remedy="Run `labram recipe keys` for all settings and their defaults",
        )
    keys = _keys(section, path[:-1])
    close = difflib.get_close_matches(path[-1], keys, n=1)
    return RecipeError(
        "unknown key",
        file=source,
        field=".".join(path),
        remedy=f"Did you mean {close[0]!r}" if close else f"Use one of: {', '.join(keys)}",
    )


def _keys(section: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys of the section at `path`, through nested sections and lists of sections."""
    for part in path:
        if part.isdigit():
            continue
        annotation = section.model_fields[part].annotation
        inner = [kind for kind in (annotation, *getattr(annotation, "__args__", ())) if isinstance(kind, type)]
        section = next((kind for kind in inner if issubclass(kind, BaseModel)), section)
    return list(section.model_fields)
