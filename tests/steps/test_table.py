"""The table of steps is complete, and what reads it agrees with it."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from labram import recipe as recipes
from labram.errors import PlatformError
from labram.recipe import Recipe
from labram.steps.table import PIPELINES, STEPS, expected_tasks, pipeline_name, pipelines_table, steps_table

ROOT = Path(__file__).parents[2]
SHARED = {"__init__", "artifacts", "table", "sizes", "close_run", "launch_training"}
"""Modules of `labram/steps` that are no steps."""


def test_every_step_is_a_function_a_component_and_an_entry() -> None:
    functions = {path.stem for path in (ROOT / "labram" / "steps").glob("*.py")} - SHARED
    components = {path.stem for path in (ROOT / "components").glob("*.py")} - {"__init__"}
    assert functions == components == set(STEPS)


@pytest.mark.parametrize("step", STEPS.values(), ids=list(STEPS))
def test_an_entry_names_a_function_pipelines_and_sections_that_exist(step) -> None:
    function = getattr(import_module(f"labram.steps.{step.name}"), step.name)
    assert all(
        parameter.kind is parameter.KEYWORD_ONLY for parameter in inspect.signature(function).parameters.values()
    )
    assert set(step.pipelines) <= set(PIPELINES)
    assert set(step.sections) <= set(Recipe.model_fields)


@pytest.mark.parametrize("text", [pipelines_table(), steps_table()], ids=["pipelines", "steps"])
def test_the_documentation_has_the_tables(text) -> None:
    """After a change: `python -m labram.steps.table` prints the tables."""
    assert text in (ROOT / "docs" / "pipeline.md").read_text()


def test_the_tasks_of_a_run_are_in_the_order_of_the_dag() -> None:
    overrides = ["corpus.shards=2", "tasks=[]", "gates.floors={}"]
    assert expected_tasks("pretrain_only", recipes.load("demo", overrides)) == [
        *("preflight", "plan_run", "ingest 0/2", "ingest 1/2", "quality", "tokenizer", "pretrain"),
        *("register", "gate", "promote", "report"),
    ]
    recipe = recipes.load("demo-study")
    found = expected_tasks("study", recipe)
    assert found[:4] == ["preflight", "plan_run", "ingest 0/2", "ingest 1/2"]
    first = f"{recipe.tasks[0].name} {recipe.study.variants[0].name} {recipe.seed}"
    assert found[6:9] == [f"ablation_run {first}", f"finetune {first}", f"evaluate {first}"]
    assert found[-1] == "compare"


def test_the_old_name_of_a_pipeline_is_accepted_with_a_warning(caplog) -> None:
    assert pipeline_name("unlabelled") == "pretrain_only"
    assert "now called 'pretrain_only'" in caplog.text
    with pytest.raises(PlatformError, match=r"unknown pipeline 'nothing'.*retrain, pretrain_only"):
        pipeline_name("nothing")
