"""What a run cannot use is named by its first step, before anything is read or trained."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labram import recipe as recipes
from labram.errors import CorpusError, LabelError, RecipeError
from labram.steps.plan_run import plan_run


def plan(data: Path, workspace: Path, *overrides: str) -> None:
    recipe = recipes.load("demo", ["corpus.datasets=[]", *overrides]).to_json()
    plan_run(data=str(data), workspace=str(workspace), recipe=recipe, force=False, pipeline="retrain")


def test_a_folder_without_anything_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(CorpusError, match="the folder is empty"):
        plan(tmp_path / "data", tmp_path / "workspace")


def test_swapped_classes_are_an_error(tmp_path: Path, write_edf: Callable[..., Path]) -> None:
    write_edf(tmp_path / "data" / "a.edf")
    swapped = "[left_knee, left_hip, left_ankle, right_hip, right_knee, right_ankle]"
    with pytest.raises(LabelError, match=r"expected \[left_hip, left_knee"):
        plan(tmp_path / "data", tmp_path / "workspace", f"tasks.gait.classes={swapped}")


def test_a_cross_validation_that_leaves_nothing_to_pre_train_on_is_an_error(
    tmp_path: Path, write_edf: Callable[..., Path]
) -> None:
    write_edf(tmp_path / "data" / "eegmat" / "Subject01_1.edf")
    task = (
        "[{name: workload, title: W, dataset: eegmat, kind: binary, classes: [rest, arithmetic], metric: auroc, "
        "adaptation: {strategy: probe}}]"
    )
    kfold = ("split={kind: kfold}", f"tasks={task}", "corpus.datasets=[eegmat]")
    with pytest.raises(RecipeError, match="leaves nothing to pre-train on"):
        plan(tmp_path / "data", tmp_path / "workspace", *kfold)
