"""The page of a study: what its variants reach on each task, and how they differ from the first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labram.evaluation.statistics import LEVEL, MIN_SUBJECTS, Estimate
from labram.evaluation.study import Outcome
from labram.recipe import LOWER_IS_BETTER, Recipe
from labram.reporting import plots
from labram.reporting.elements import (
    METRIC_TITLES,
    Chapter,
    Table,
    Word,
    count,
    estimate,
    listed,
    number,
    percent,
    picture,
)
from labram.reporting.plots import Interval
from labram.reporting.templates import environment


@dataclass(frozen=True)
class StudyRecord:
    """A study that is done.

    Attributes:
        run_name: What people call the run.
        recipe: The resolved recipe.
        corpus_title: What the corpus is, in a few words.
        simulated: Whether its recordings are simulated.
        outcomes: By task, then variant; the first variant of each task is the reference.
        lineage: Where the results come from.
    """

    run_name: str
    recipe: Recipe
    corpus_title: str
    simulated: bool
    outcomes: Sequence[Outcome]
    lineage: Mapping[str, str]


def write(record: StudyRecord, out: Path) -> Path:
    """Write the page of a study to the file `out`; gives `out`."""
    with plots.styled():
        chapters = [*(_task(record, name) for name in _tasks(record)), _method(record), _origin(record)]
    page = (
        environment()
        .get_template("chapters.html")
        .render(
            kicker=f"labram study · {record.run_name}",
            title=record.recipe.description,
            simulated=record.simulated,
            answer=" ".join(_answer(record, name) for name in _tasks(record)),
            chapters=chapters,
            note="No model was registered, and no champion moved.",
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _tasks(record: StudyRecord) -> list[str]:
    return list(dict.fromkeys(outcome.task for outcome in record.outcomes))


def _of(record: StudyRecord, task: str) -> tuple[Outcome, list[Outcome]]:
    """The reference of a task, and the other variants."""
    reference, *others = (outcome for outcome in record.outcomes if outcome.task == task)
    return reference, others


def _answer(record: StudyRecord, task: str) -> str:
    reference, others = _of(record, task)
    told = {verdict: [one.variant for one in others if one.verdict == verdict] for verdict in ("better", "worse")}
    parts = [f"{listed(names)} {verdict} than {reference.variant}" for verdict, names in told.items() if names]
    return f"On {task}: {' and '.join(parts) or f'no variant differs from {reference.variant} beyond doubt'}."


def _task(record: StudyRecord, name: str) -> Chapter:
    task = record.recipe.task(name)
    reference, others = _of(record, name)
    metric = METRIC_TITLES[task.metric] + (" ↓" if task.metric in LOWER_IS_BETTER else "")
    rows = tuple(
        (
            one.variant,
            estimate(one.score),
            number(one.spread),
            estimate(one.baseline),
            estimate(one.difference),
            Word("compared with", "open") if one is reference else _verdict(one),
        )
        for one in (reference, *others)
    )
    head = ("variant", f"{metric} [95 % CI]", "SD of seeds", "baseline [95 % CI]", "difference [95 % CI]", "verdict")
    scores = [_interval(one.variant, one.score) for one in (reference, *others)]
    baselines = [_interval(one.variant, one.baseline) for one in (reference, *others)]
    figure = picture(
        plots.intervals(scores, baselines),
        name=f"{name}-variants",
        alt="; ".join(f"{row.label}: {number(row.value)}" for row in scores),
        caption=f"{metric} of each variant, mean over the seeds, beside the baseline that saw the same subjects.",
    )
    lead = [f"{count(reference.subjects, 'test subject')}, the same windows for every variant."]
    if reference.subjects < MIN_SUBJECTS:
        lead.append(f"They are too few to tell variants apart, whatever the intervals say: {MIN_SUBJECTS} are needed.")
    return Chapter(
        f"task-{name}",
        task.title,
        tuple(lead),
        pictures=(figure,),
        tables=(Table("Variants", head, rows, frozenset({1, 2, 3, 4})),),
        short=name,
    )


def _verdict(one: Outcome) -> Word:
    return Word(one.verdict, {"better": "good", "worse": "bad"}.get(one.verdict, "open"))  # type: ignore[arg-type]


def _interval(label: str, found: Estimate) -> Interval:
    point, low, high = (math.nan if bound is None else bound for bound in (found.value, found.low, found.high))
    return Interval(label, point, low, high)


def _method(record: StudyRecord) -> Chapter:
    study = record.recipe.study
    comparisons = len(record.outcomes) - len(_tasks(record))
    intervals = (
        f"Every variant was fine-tuned {count(study.seeds, 'time')}, with seeds that it shares with the others. "
        f"Intervals are of {percent(LEVEL)}, from {count(record.recipe.gates.bootstrap, 'resampling')} of subjects "
        "and seeds, the same draws for all variants; a difference is above zero where the variant is better."
    )
    chance = (
        f"{count(comparisons, 'comparison')} {'was' if comparisons == 1 else 'were'} made. Of twenty variants that "
        "change nothing, one would be called different: take a lone difference among many as a reason to look again."
    )
    rows = tuple(
        (
            variant.name,
            "the given backbone" if variant.pretrained else "random values",
            percent(variant.subjects),
            ", ".join(f"{key}: {value}" for key, value in variant.task.items()) or "those of the recipe",
        )
        for variant in study.variants
    )
    head = ("variant", "starts from", "training subjects", "settings")
    return Chapter(
        "method", "Method", (intervals, chance), tables=(Table("What the variants are", head, rows, frozenset({2})),)
    )


def _origin(record: StudyRecord) -> Chapter:
    rows = (("corpus", record.corpus_title), ("run", record.run_name), *sorted(record.lineage.items()))
    return Chapter("lineage", "Lineage", tables=(Table("Origin", ("what", "value"), rows),))
