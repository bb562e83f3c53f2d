"""The DAGs as artefacts: what they compile to holds what clusters and caches rely on."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from kfp import compiler
from kfp.local.io import IOStore
from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator

from labram import recipe as recipes
from labram.errors import RecipeError
from labram.recipe import Recipe
from labram.steps.plan_run import Decision
from labram.steps.table import PIPELINES, steps_of
from pipelines.lint import AGAIN

SIDE_EFFECTS = {"preflight", "plan-run", "register", "gate", "promote", "report", "compare"}


def recipe_for(name: str, *overrides: str) -> Recipe:
    """The shipped recipe that the pipeline can run."""
    return recipes.load({"study": "demo-study"}.get(name, "demo"), overrides)


def arguments(name: str, *overrides: str) -> dict[str, object]:
    return import_module(f"pipelines.{name}").arguments(recipe_for(name, *overrides), data="d", workspace="w")


def compiled_to(path: Path, name: str) -> dict:
    compiler.Compiler().compile(getattr(import_module(f"pipelines.{name}"), name), str(path))
    return next(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module", params=PIPELINES)
def dag(request, tmp_path_factory) -> tuple[str, dict]:
    return request.param, compiled_to(tmp_path_factory.mktemp("ir") / "dag.yaml", request.param)


def tasks(compiled: dict) -> dict[str, dict]:
    found = dict(compiled["root"]["dag"]["tasks"])
    for component in compiled["components"].values():
        found |= component.get("dag", {}).get("tasks", {})
    return {AGAIN.sub("", name): task for name, task in found.items() if not name.startswith(("condition", "for-loop"))}


def test_a_dag_has_the_steps_that_the_table_lists(dag) -> None:
    name, compiled = dag
    assert set(tasks(compiled)) == {step.task for step in steps_of(name)}


def test_side_effects_are_never_cached_and_work_always_is(dag) -> None:
    name, compiled = dag
    cached = {task for task, spec in tasks(compiled).items() if spec["cachingOptions"].get("enableCache")}
    assert cached == ({step.task for step in steps_of(name)} - SIDE_EFFECTS if PIPELINES[name].cached else set())


def test_the_arguments_of_a_recipe_are_the_parameters_of_the_pipeline(dag) -> None:
    name, compiled = dag
    given = arguments(name)
    assert set(given) == set(compiled["root"]["inputDefinitions"]["parameters"])
    json.dumps(given)


def test_no_loop_is_over_nothing() -> None:
    """KFP's local runner breaks off behind such a loop."""
    for name in PIPELINES:
        assert all(
            given for given in (arguments(name).get(loop, True) for loop in ("shards", "tasks", "ablation_runs"))
        )
    with pytest.raises(RecipeError, match="no tasks"):
        arguments("retrain", "tasks=[]")


def test_without_labels_the_tasks_of_a_recipe_are_left_aside() -> None:
    given = arguments("pretrain_only", "gates.floors={gait: 0.1}")
    assert given["label_sources"] == {}
    assert Recipe.from_json(str(given["recipe"])).tasks == ()


def test_changing_one_task_leaves_the_arguments_of_training_alone() -> None:
    plain, changed = arguments("retrain"), arguments("retrain", "tasks.gait.epochs=1")
    assert {name for name in plain if plain[name] != changed[name]} == {"recipe", "tasks"}


def test_adapting_starts_from_the_champion_unless_told_otherwise() -> None:
    assert arguments("adapt")["backbone"] == "models:/labram-backbone@champion"


def test_a_reproduction_has_a_workspace_of_its_own_and_reuses_nothing(tmp_path: Path) -> None:
    given = import_module("pipelines.reproduce").arguments(recipe_for("demo"), data="d", workspace="w", run="demo-1")
    assert (given["workspace"], given["run"], given["force"]) == ("w/reproduce/demo-1", "demo-1", True)
    assert set(given) - set(arguments("retrain")) == {"run"}
    text = (compiled_to(tmp_path / "dag.yaml", "reproduce") and tmp_path / "dag.yaml").read_text(encoding="utf-8")
    _, platforms = yaml.safe_load_all(text)
    for name, settings in platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items():
        (config_map,) = settings["configMapAsEnv"]
        variables = {entry["envVar"] for entry in config_map["keyToEnv"]}
        assert "MLFLOW_TRACKING_URI" in variables, name
        assert "LABRAM_STORE" not in variables, name


def test_a_study_has_an_ablation_run_for_each_task_variant_and_seed() -> None:
    runs = [json.loads(text) for text in arguments("study")["ablation_runs"]]
    recipe = recipe_for("study")
    assert len(runs) == len(recipe.tasks) * len(recipe.study.variants) * recipe.study.seeds
    assert len({(one["task"]["name"], one["variant"]["name"], one["seed"]) for one in runs}) == len(runs)


def test_compiling_is_deterministic(dag, tmp_path: Path) -> None:
    name, compiled = dag
    assert compiled_to(tmp_path / "again.yaml", name) == compiled


def conditions(compiled: dict) -> dict[str, str]:
    """By name of the task below it, the condition that a branch hangs on."""
    found = {}
    for dag in (compiled["root"], *compiled["components"].values()):
        for task in dag.get("dag", {}).get("tasks", {}).values():
            if condition := task.get("triggerPolicy", {}).get("condition"):
                branch = compiled["components"][task["componentRef"]["name"]]["dag"]["tasks"]
                found |= dict.fromkeys(branch, condition)
    return found


def test_conditions_are_of_the_kind_that_the_local_runner_resolves(dag) -> None:
    """KFP 2.17's local runner skips a branch, silently, when its condition is on a named output."""
    name, compiled = dag
    assert all("-Output" in condition for condition in conditions(compiled).values())
    if name != "reproduce":  # runs although nothing has changed
        assert "plan-run-Output" in conditions(compiled)["quality"]


COMPARED = {"plan-run": Decision}
"""Tasks whose output a condition reads, and the words that it may be."""


def test_a_condition_compares_one_of_our_words_with_another(dag) -> None:
    """KFP 2.17's local runner evaluates outputs in conditions as Python: no text of a user may be among them."""
    _, compiled = dag
    form = re.compile(r"inputs\.parameter_values\['pipelinechannel--(plan-run)-Output'\] == '([a-z, ]+)'")
    for condition in conditions(compiled).values():
        matched = form.fullmatch(condition)
        assert matched, condition
        assert matched[2] in set(COMPARED[matched[1]])


@pytest.mark.parametrize("word", sorted(Decision))
def test_a_branch_is_taken_for_its_word_alone(word: str) -> None:
    for step, words in COMPARED.items():
        outputs = IOStore()
        outputs.put_task_output(step, "Output", word)
        for other in words:
            condition = f"inputs.parameter_values['pipelinechannel--{step}-Output'] == '{other}'"
            assert ConditionEvaluator.evaluate_condition(condition, outputs) == (word == other)
