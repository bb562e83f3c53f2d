"""Report of an ablation study: scores of the variants on each task, and differences from the reference."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labram.evaluation.statistics import LEVEL, MIN_SUBJECTS, Estimate
from labram.evaluation.study import Outcome
from labram.recipe import Recipe
from labram.reporting import commands, plots
from labram.reporting.elements import (
    ReportSection,
    Status,
    Table,
    count,
    embed_figure,
    estimate,
    listed,
    metric_title,
    number,
    percent,
)
from labram.reporting.plots import Interval
from labram.reporting.templates import environment


@dataclass(frozen=True)
class StudyRecord:
    """Finished ablation study.

    Attributes:
        run_name: Name of the run.
        recipe: The resolved recipe.
        corpus_title: Short description of the corpus.
        simulated: Whether the recordings are simulated.
        outcomes: Outcomes by task and variant; the first variant of each task is the reference.
        lineage: Lineage tags.
    """

    run_name: str
    recipe: Recipe
    corpus_title: str
    simulated: bool
    outcomes: Sequence[Outcome]
    lineage: Mapping[str, str]


def write(record: StudyRecord, out: Path) -> Path:
    """Write the report of a study to the file `out`, and return `out`."""
    with plots.styled():
        sections = [*(_task(record, name) for name in _tasks(record)), _method(record), _origin(record)]
    page = (
        environment()
        .get_template("sections.html")
        .render(
            kicker=f"labram study · {record.run_name}",
            title=record.recipe.description,
            simulated=record.simulated,
            answer=" ".join(_answer(record, name) for name in _tasks(record)),
            sections=sections,
            note="No model was registered or promoted.",
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _tasks(record: StudyRecord) -> list[str]:
    return list(dict.fromkeys(outcome.task for outcome in record.outcomes))


def _of(record: StudyRecord, task: str) -> tuple[Outcome, list[Outcome]]:
    """Return the reference of a task, and the other variants."""
    reference, *others = (outcome for outcome in record.outcomes if outcome.task == task)
    return reference, others


def _answer(record: StudyRecord, task: str) -> str:
    reference, others = _of(record, task)
    variants = {v: [outcome.variant for outcome in others if outcome.verdict == v] for v in ("better", "worse")}
    parts = [f"{listed(names)} significantly {v} than {reference.variant}" for v, names in variants.items() if names]
    return f"On {task}: {' and '.join(parts) or f'no variant differs significantly from {reference.variant}'}."


def _task(record: StudyRecord, name: str) -> ReportSection:
    task = record.recipe.task(name)
    reference, others = _of(record, name)
    metric = metric_title(task.metric)
    rows = tuple(
        (
            outcome.variant,
            estimate(outcome.score),
            number(outcome.spread),
            estimate(outcome.baseline),
            estimate(outcome.difference),
            Status("reference", "open") if outcome is reference else _verdict(outcome),
        )
        for outcome in (reference, *others)
    )
    head = ("variant", f"{metric} [95 % CI]", "SD over seeds", "baseline [95 % CI]", "difference [95 % CI]", "verdict")
    scores = [_interval(outcome.variant, outcome.score) for outcome in (reference, *others)]
    baselines = [_interval(outcome.variant, outcome.baseline) for outcome in (reference, *others)]
    figure = embed_figure(
        plots.intervals(scores, baselines),
        name=f"{name}-variants",
        alt="; ".join(f"{row.label}: {number(row.value)}" for row in scores),
        caption=f"{metric} of each variant, mean over seeds, beside the baseline fitted on the same subjects.",
    )
    lead = [f"{count(reference.subjects, 'test subject')}, with the same windows for every variant."]
    if reference.subjects < MIN_SUBJECTS:
        lead.append(f"This is too few to call any difference significant: at least {MIN_SUBJECTS} are needed.")
    return ReportSection(
        f"task-{name}",
        task.title,
        tuple(lead),
        figures=(figure,),
        tables=(Table("Variants", head, rows, frozenset({1, 2, 3, 4})),),
        short=name,
    )


def _verdict(outcome: Outcome) -> Status:
    return Status(outcome.verdict, {"better": "good", "worse": "bad"}.get(outcome.verdict, "open"))  # type: ignore[arg-type]


def _interval(label: str, found: Estimate) -> Interval:
    point, low, high = (math.nan if bound is None else bound for bound in (found.value, found.low, found.high))
    return Interval(label, point, low, high)


def _method(record: StudyRecord) -> ReportSection:
    study = record.recipe.study
    comparisons = len(record.outcomes) - len(_tasks(record))
    intervals = (
        f"Every variant was fine-tuned {count(study.seeds, 'time')}, with the same seeds for all variants. "
        f"{percent(LEVEL)} intervals come from {count(record.recipe.gates.bootstrap, 'bootstrap sample')} of subjects "
        "and seeds, shared by all variants; a positive difference means that the variant is better."
    )
    chance = (
        f"{count(comparisons, 'comparison')} {'was' if comparisons == 1 else 'were'} made, without correction for "
        "multiple comparisons: about one in twenty variants without any effect appears significant."
    )
    rows = tuple(
        (
            variant.name,
            "the backbone" if variant.pretrained else "random weights",
            percent(variant.subjects),
            ", ".join(f"{key}: {value}" for key, value in variant.task.items()) or "as in the recipe",
        )
        for variant in study.variants
    )
    head = ("variant", "starts from", "training subjects", "settings")
    return ReportSection(
        "method", "Method", (intervals, chance), tables=(Table("Variants", head, rows, frozenset({2})),)
    )


def _origin(record: StudyRecord) -> ReportSection:
    rows = (("corpus", record.corpus_title), ("run", record.run_name), *sorted(record.lineage.items()))
    again = commands.reproduce("study", record.run_name, record.lineage.get("backbone", ""))
    table = Table("Origin", ("item", "value"), rows)
    return ReportSection("lineage", "Lineage", (commands.LEAD,), tables=(table,), commands=(again,))
