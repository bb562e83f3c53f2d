"""Report of a run: one self-contained HTML file, without references to the network or to other files.

The same record always produces the same bytes. Steps that a run did not reach are reported in a sentence.
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from labram.git import UNKNOWN
from labram.reporting import commands, corpus, plots, quality, study, summary, tasks, training
from labram.reporting.elements import ReportSection, Table, duration, moment
from labram.reporting.run_record import RunRecord
from labram.reporting.templates import environment

__all__ = ["RunRecord", "quality", "study", "write"]

LONGEST_CORPUS_NAME = 48
LINEAGE_TITLES = {
    "git_commit": "commit",
    "git_dirty": "uncommitted changes",
    "dirty": "uncommitted changes",
    "code_version": "code digest",
    "corpus_version": "corpus version",
    "recipe": "recipe",
    "recipe_hash": "recipe digest",
    "lock_hash": "lock digest",
    "environment_hash": "digest of installed packages",
    "diff_hash": "digest of the uncommitted changes",
    "python": "Python",
    "torch": "PyTorch",
    "image": "container image",
}


def write(record: RunRecord, out: Path) -> Path:
    """Write the report of a run to the file `out`, and return `out`."""
    evaluations = tasks.evaluations(record)
    with plots.styled():
        sections = [
            *corpus.sections(record),
            training.tokenizer(record),
            training.pretraining(record, [found.backbone for found in evaluations.values() if found.backbone]),
            *(tasks.section(record, task, evaluations.get(task.name)) for task in record.recipe.tasks),
            summary.gates(record),
            _lineage(record),
        ]
    page = (
        environment()
        .get_template("page.html")
        .render(
            record=record,
            summary=summary.summary(record, evaluations),
            corpus_name=_corpus_name(record),
            sections=sections,
            started=moment(record.started),
            finished=moment(record.finished),
            took=duration(record.started, record.finished),
            recipe_yaml=yaml.safe_dump(record.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _corpus_name(record: RunRecord) -> str:
    """Return the corpus title for section headings, or the dataset names if it is long."""
    if len(record.corpus_title) <= LONGEST_CORPUS_NAME:
        return record.corpus_title
    return ", ".join(record.recipe.corpus.datasets) or record.corpus_title


def _lineage(record: RunRecord) -> ReportSection:
    """Return the section on lineage, with commands to reproduce the results."""
    titled = [(LINEAGE_TITLES[key], record.lineage[key]) for key in LINEAGE_TITLES if record.lineage.get(key)]
    others = [(key, text) for key, text in sorted(record.lineage.items()) if key not in {*LINEAGE_TITLES, "seed"}]
    rows = (("run", record.run_name), ("MLflow run", record.run_id or "–"), ("seed", str(record.recipe.seed)))
    changed = any(record.lineage.get(key, "").lower() == "true" for key in ("git_dirty", "dirty"))
    lead = ("Everything needed to reproduce this run.",)
    if changed:
        lead = ("The source tree had uncommitted changes: its commit alone does not reproduce this run.",)
    elif UNKNOWN in (record.lineage.get("git_commit"), record.lineage.get("git_dirty")):
        lead = ("The commit of the code is not known: only its digest identifies it.",)
    table = Table("Origin", ("item", "value"), (*rows, *titled, *others))
    return ReportSection(
        "lineage", "Lineage", (*lead, commands.LEAD), tables=(table,), commands=tuple(_commands(record))
    )


def _commands(record: RunRecord) -> Iterator[tuple[str, str]]:
    if record.own_database:
        yield commands.tracking()
    versions = {verdict.model: verdict.version for verdict in record.verdicts}
    for task in record.recipe.tasks:
        if version := versions.get(f"labram-{task.name}"):
            yield commands.evaluate(f"labram-{task.name}", version, task.name)
            break
    start = record.lineage.get("backbone", "")
    yield commands.reproduce("adapt" if start else "run", record.run_name, start)
