"""The report of a run: one HTML file that needs nothing else, neither network nor neighbouring files.

The same record gives the same bytes. Whatever a run did not come to is said in a sentence.
"""

from pathlib import Path

import yaml

from labram.reporting import corpus, plots, quality, study, summary, tasks, training
from labram.reporting.elements import Chapter, Table, duration, moment
from labram.reporting.run_record import GateOutcome, Promotion, RunRecord
from labram.reporting.templates import environment

__all__ = ["GateOutcome", "Promotion", "RunRecord", "quality", "study", "write"]

LONGEST_CORPUS_NAME = 48
LINEAGE_TITLES = {
    "git_commit": "commit",
    "git_dirty": "uncommitted changes",
    "dirty": "uncommitted changes",
    "code_version": "digest of the code",
    "corpus_version": "corpus version",
    "recipe": "recipe",
    "recipe_hash": "digest of the recipe",
    "python": "Python",
    "torch": "PyTorch",
    "image": "container image",
}


def write(record: RunRecord, out: Path) -> Path:
    """Write the report of a run to the file `out`; gives `out`."""
    scores = tasks.evaluations(record)
    with plots.styled():
        chapters = [
            *corpus.chapters(record),
            training.tokenizer(record),
            training.pretraining(record),
            *(tasks.chapter(record, task, scores.get(task.name)) for task in record.recipe.tasks),
            summary.gates(record),
            _lineage(record),
        ]
    page = (
        environment()
        .get_template("page.html")
        .render(
            record=record,
            summary=summary.summary(record, scores),
            corpus_name=_corpus_name(record),
            chapters=chapters,
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
    """What the corpus is called at the head of sections: its title, or where that is long its datasets."""
    if len(record.corpus_title) <= LONGEST_CORPUS_NAME:
        return record.corpus_title
    return ", ".join(record.recipe.corpus.datasets) or record.corpus_title


def _lineage(record: RunRecord) -> Chapter:
    """Where the results come from, and how to look further."""
    known = [(LINEAGE_TITLES[key], record.lineage[key]) for key in LINEAGE_TITLES if record.lineage.get(key)]
    others = [(key, text) for key, text in sorted(record.lineage.items()) if key not in LINEAGE_TITLES]
    rows = (("run", record.run_name), ("run in MLflow", record.run_id or "–"), ("seed", str(record.recipe.seed)))
    changed = any(record.lineage.get(key, "").lower() == "true" for key in ("git_dirty", "dirty"))
    lead = ("Everything that a rerun needs to give the same result.",)
    if changed:
        lead = ("The source tree had uncommitted changes: its commit alone does not reproduce this run.",)
    commands = (
        ("Open the experiment tracker", "make ui"),
        *(
            (
                "Score the champion on a folder of recordings",
                f"labram evaluate models:/labram-{task.name}@champion --data FOLDER --task {task.name} --json",
            )
            for task in record.recipe.tasks[:1]
        ),
        ("Run again, every step", f"labram run --recipe {record.recipe.name} --force"),
    )
    table = Table("Origin", ("what", "value"), (*rows, *known, *others))
    return Chapter("lineage", "Lineage", lead, tables=(table,), commands=commands)
