"""The DAG as an artefact: what it compiles to holds what clusters and caches rely on."""

import json
from pathlib import Path

import pytest
import yaml
from kfp import compiler

from labram import recipe as recipes
from pipelines.retrain import arguments, retrain

SIDE_EFFECTS = {"preflight", "resolve", "register", "gate", "promote", "report"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("ir") / "retrain.yaml"
    compiler.Compiler().compile(retrain, str(path))
    return next(yaml.safe_load_all(path.read_text()))


def tasks(compiled: dict) -> dict[str, dict]:
    found = dict(compiled["root"]["dag"]["tasks"])
    for component in compiled["components"].values():
        found |= component.get("dag", {}).get("tasks", {})
    return {name: task for name, task in found.items() if not name.startswith(("condition", "for-loop"))}


def test_every_step_of_the_design_is_there(compiled) -> None:
    expected = {"resolve", "ingest", "quality", "tokenizer", "pretrain", "finetune", "evaluate"}
    assert set(tasks(compiled)) == expected | SIDE_EFFECTS


def test_side_effects_are_never_cached_and_work_always_is(compiled) -> None:
    cached = {name for name, task in tasks(compiled).items() if task["cachingOptions"].get("enableCache")}
    assert cached == set(tasks(compiled)) - SIDE_EFFECTS


def test_the_arguments_of_a_recipe_are_the_parameters_of_the_pipeline(compiled) -> None:
    given = arguments(recipes.load("demo"), data="d", workspace="w")
    assert set(given) == set(compiled["root"]["inputDefinitions"]["parameters"])
    json.dumps(given)


def test_changing_one_task_leaves_the_arguments_of_training_alone() -> None:
    plain = arguments(recipes.load("demo"), data="d", workspace="w")
    changed = arguments(recipes.load("demo", ["tasks.gait.epochs=1"]), data="d", workspace="w")
    assert {name for name in plain if plain[name] != changed[name]} == {"recipe", "tasks"}


def test_compiling_is_deterministic(compiled, tmp_path: Path) -> None:
    path = tmp_path / "again.yaml"
    compiler.Compiler().compile(retrain, str(path))
    assert next(yaml.safe_load_all(path.read_text())) == compiled


def test_conditions_and_loops_are_of_the_kind_that_the_local_runner_resolves(compiled) -> None:
    """KFP 2.17's local runner skips a branch, silently, when its condition is on a named output."""
    for component in compiled["components"].values():
        for task in component.get("dag", {}).get("tasks", {}).values():
            condition = task.get("triggerPolicy", {}).get("condition", "")
            assert not condition or "-Output" in condition
    root = compiled["root"]["dag"]["tasks"]["condition-1"]["triggerPolicy"]["condition"]
    assert "resolve-Output" in root
