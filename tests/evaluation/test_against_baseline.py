"""Whether a model beats its baseline is one fact: terminal, report and model card state it in the same words."""

import io

import pytest

from labram.cli import progress, result
from labram.evaluation.record import AgainstBaseline, Evaluation
from labram.evaluation.statistics import Estimate
from labram.recipe import GateRecipe
from labram.registry import model_card
from labram.reporting.tasks import compare_to_baseline

DATA = model_card.TrainingData(model_card.Amount(recordings=1, subjects=1, hours=1.0), {})


def evaluation(*, beats: bool = False, significant: bool = False, baseline: bool = True) -> Evaluation:
    score = Estimate(value=0.7, low=0.6, high=0.8)
    return Evaluation(
        task="t", title="T", kind="binary", metric="auroc", classes=("a", "b"), split="test", n_windows=1,
        n_subjects=9, n_recordings=1, corpus_version="v", model={"auroc": score},
        baseline={"auroc": score} if baseline else {}, difference=Estimate(value=0.1 if baseline else None),
        beats_baseline=beats, significant=significant,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (evaluation(beats=True, significant=True), AgainstBaseline.BETTER),
        (evaluation(beats=True), AgainstBaseline.NOT_SIGNIFICANT),
        (evaluation(significant=True), AgainstBaseline.NOT_BETTER),
        (evaluation(), AgainstBaseline.NOT_BETTER),
        (evaluation(baseline=False), AgainstBaseline.UNDEFINED),
    ],
)
def test_all_places_state_the_same(found, outcome, monkeypatch):
    assert found.against_baseline is outcome
    shown = compare_to_baseline(found)
    assert shown.short.text == outcome.value
    assert outcome.predicate in shown.sentence
    assert f"The model {outcome.predicate} " in model_card.task_card("labram-t", found, DATA, {}, GateRecipe())
    screen = io.StringIO()
    monkeypatch.setattr(progress, "console", progress.Terminal(file=screen, width=200, markup=False))
    row = {"task": "t", "metric": "auroc", "model": found.headline.model_dump(), "baseline": None, "gate": "passed"}
    result._show_tasks([row | {"against_baseline": found.against_baseline.value}])
    assert f" {outcome.value} " in screen.getvalue()
