"""The examples in CONTRIBUTING.md work as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from labram import metrics
from labram import recipe as recipes
from labram.cli import app
from labram.datasets.task_check import check_task
from labram.errors import RecipeError
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import Evaluation, summarise
from labram.evaluation.study import AblationRun, compare
from labram.recipe import Recipe, TaskRecipe, VariantRecipe
from labram.registry.gates import better_than_chance
from labram.reporting.study import StudyRecord, write

GUIDE = Path(__file__).parents[1] / "CONTRIBUTING.md"


def example(section: str, language: str) -> str:
    """Return the first code block of a section, without its indentation."""
    text = GUIDE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    (block,) = re.findall(rf" *```{language}\n(.*?)```", text, re.DOTALL)
    return re.sub(r"^   ", "", block, flags=re.MULTILINE)


def predictions(skill: float) -> Predictions:
    """Predictions for 40 windows of each of 8 subjects."""
    y = np.tile([0.0, 1.0], 160)
    logit = skill * (y - 0.5) + np.random.default_rng(0).normal(size=320)
    subjects = np.repeat([f"s{number}" for number in range(8)], 40)
    return Predictions(subjects, subjects, np.arange(320.0), y, 1 / (1 + np.exp(-logit)), np.full(320, 0.5))


def evaluate(task: TaskRecipe) -> Evaluation:
    return summarise(predictions(4.0), task, split="test", corpus_version="v1", bootstrap=50, seed=0)


def test_add_a_task(tmp_path: Path) -> None:
    path = tmp_path / "eyes.yaml"
    path.write_text(example("Add a task", "yaml"))
    recipe = recipes.load(str(path))
    (task,) = recipe.tasks
    check_task(task)
    assert evaluate(task).classes == ("open", "closed")
    assert Recipe.from_json(recipe.to_json()) == recipe
    shown = CliRunner().invoke(app, ["recipe", "show", str(path)])
    assert (shown.exit_code, yaml.safe_load(shown.output)["tasks"][0]["classes"]) == (0, ["open", "closed"])


def test_add_a_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    override = "tasks.abnormal.metric=mcc"
    with pytest.raises(RecipeError, match="must be one of"):
        recipes.load("demo-study", [override])
    entry = eval(example("Add a metric", "python"), vars(metrics))
    monkeypatch.setitem(metrics.METRICS, entry.name, entry)
    recipe = recipes.load("demo-study", [override])
    task = recipe.task("abnormal")
    assert metrics.scores("binary", [0, 1, 1, 0], [0.1, 0.9, 0.8, 0.4])["mcc"] == 1.0
    assert metrics.better("mcc", 0.2, 0.1)
    evaluation = evaluate(task)
    assert evaluation.headline.low < evaluation.headline.value < evaluation.headline.high
    assert evaluation.chance == 0.0
    assert better_than_chance(evaluation, None).passed
    runs = [AblationRun(variant=VariantRecipe(name=name), task=task, seed=0) for name in ("pretrained", "from-scratch")]
    outcomes = compare(runs, [predictions(4.0), predictions(0.5)], bootstrap=50, seed=0)
    record = StudyRecord(
        run_name="r", recipe=recipe, corpus_title="c", simulated=True, outcomes=outcomes, lineage={"backbone": "b"}
    )
    assert "Matthews correlation" in write(record, tmp_path / "study.html").read_text()
