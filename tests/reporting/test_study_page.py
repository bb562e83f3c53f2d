"""The page of a study says who differs from the first variant, and about which corpus."""

import re
from pathlib import Path

import pytest

from labram import recipe as recipes
from labram.evaluation.statistics import Estimate
from labram.evaluation.study import Outcome
from labram.reporting.study import StudyRecord, write


def outcome(
    variant: str, value: float, difference: float | None = None, *, significant: bool = False, subjects: int = 9
) -> Outcome:
    gap = Estimate(value=difference)
    if difference is not None:
        gap = Estimate(value=difference, low=difference - 0.01, high=difference + 0.01)
    return Outcome(
        task="gait",
        metric="r2",
        variant=variant,
        score=Estimate(value=value, low=value - 0.1, high=value + 0.1),
        spread=0.02,
        baseline=Estimate(value=0.5, low=0.4, high=0.6),
        difference=gap,
        significant=significant,
        subjects=subjects,
    )


REFERENCE = outcome("pretrained", 0.6)


def text_of(folder: Path, *others: Outcome, simulated: bool = True, reference: Outcome = REFERENCE) -> str:
    record = StudyRecord(
        run_name="demo-study-1",
        recipe=recipes.load("demo-study"),
        corpus_title="somewhere",
        simulated=simulated,
        outcomes=[reference, *others],
        lineage={"backbone": "models:/labram-backbone/3#0123456789abcdef"},
    )
    page = write(record, folder / "study.html").read_text()
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_variants_that_differ_are_named_at_the_head(tmp_path):
    text = text_of(
        tmp_path,
        outcome("more", 0.7, 0.1, significant=True),
        outcome("from-scratch", 0.4, -0.2, significant=True),
        outcome("same", 0.61, 0.01),
    )
    assert (
        "On gait: more significantly better than pretrained and from-scratch significantly worse than pretrained."
        in text
    )
    assert "3 comparisons were made" in text
    assert "not significant" in text
    assert "models:/labram-backbone/3#0123456789abcdef" in text


def test_where_nothing_differs_it_says_so(tmp_path):
    text = text_of(tmp_path, outcome("same", 0.61, 0.01))
    assert "On gait: no variant differs significantly from pretrained." in text
    assert "1 comparison was made" in text
    assert "too few" not in text


def test_few_subjects_are_called_too_few(tmp_path):
    assert "This is too few" in text_of(tmp_path, reference=outcome("pretrained", 0.6, subjects=3))


@pytest.mark.parametrize("simulated", [True, False])
def test_a_simulated_corpus_is_called_one(simulated, tmp_path):
    text = text_of(tmp_path, outcome("same", 0.61, 0.01), simulated=simulated)
    assert ("not a scientific result" in text) is simulated
