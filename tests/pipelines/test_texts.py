"""A recipe's text arrives at its step as it was written, whatever it holds."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kfp.local import placeholder_utils, subprocess_task_handler

from labram import recipe as recipes
from labram.recipe import Recipe
from pipelines import local

TEXTS = [
    "trained with python3",
    "{{$.inputs.parameters['seed']}} {{$}} {{$.pipeline_job_name}}",
    "/kfp-workspace/data",
    "\\python3 \\{{$ \"quoted\" 'so' \n newline \u2028 µV",
    "x' or __import__('os').system('false') or 'changed",
]


def arrived(text: str) -> str:
    """The text of an argument after what KFP's local runner does to a task's command."""
    task = {"inputs": {"parameterValues": {"recipe": text, "seed": "7"}}, "outputs": {"outputFile": "out"}}
    names = ("pipeline", "task", "root", "id")
    (command,) = placeholder_utils.replace_placeholders(
        ["{{$}}"], task, **dict(zip(("pipeline_resource_name", "task_resource_name", "pipeline_root",
                                    "unique_pipeline_id"), names, strict=True))
    )  # fmt: skip
    (command,) = subprocess_task_handler.replace_python_executable([command], sys.executable)
    return str(json.loads(command)["inputs"]["parameterValues"]["recipe"])


@pytest.mark.parametrize("text", TEXTS)
def test_a_recipe_arrives_with_its_text_and_its_digest(text: str) -> None:
    recipe = recipes.load("demo").model_copy(update={"description": text})
    received = Recipe.from_json(arrived(recipe.to_json()))
    assert received.description == text
    assert received.digest() == recipe.digest()


def test_equal_recipes_without_such_texts_keep_their_digest() -> None:
    text = json.dumps(recipes.load("demo").model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    assert recipes.load("demo").to_json() == text


@pytest.mark.parametrize("beside", [True, False])
def test_python3_is_this_interpreter_and_its_name_stays_in_arguments(tmp_path: Path, monkeypatch, beside) -> None:
    own = sys.executable
    if not beside:
        monkeypatch.setattr(Path, "samefile", lambda *_: False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", own)
    local.keep_python3(tmp_path / "a'b python3")
    with subprocess_task_handler.environment(use_venv=False) as program:
        command = subprocess_task_handler.replace_python_executable(["python3 -m x", "--workspace=python3"], program)
    assert command == ["python3 -m x", "--workspace=python3"]
    found = shutil.which(program)
    assert found
    done = subprocess.run([found, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == sys.prefix
