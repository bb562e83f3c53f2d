"""What the three training steps share: the key of their checkpoints, what they have seen, what they publish."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from labram.corpus.catalogue import CATALOGUE_FILE, LABELS_FILE, Corpus, Split
from labram.evaluation.leakage import Seen
from labram.tracking import kfp_summary
from labram.tracking.lineage import source_digest
from labram.tracking.mlflow_runs import TrackedStep

TRAINING_CODE = ("labram.models", "labram.training")


def checkpoint_key(corpus: str, *determinants: str) -> str:
    """Names everything that a training's result depends on: catalogue, settings, what it starts from, and the code."""
    total = hashlib.sha256()
    for file in (CATALOGUE_FILE, LABELS_FILE):
        total.update((Path(corpus) / file).read_bytes())
    for part in (*determinants, *(source_digest(package) for package in TRAINING_CODE)):
        total.update(b"\0" + part.encode())
    return total.hexdigest()[:16]


def seen(corpus: Corpus, *splits: Split, dataset: str | None = None) -> Seen:
    """Subjects and recordings of some splits, for the leakage ledger."""
    rows = [corpus.accepted(split, dataset) for split in splits]
    return Seen.of(
        (key for part in rows for key in part["subject_key"]), (name for part in rows for name in part["content_hash"])
    )


def publish(run: TrackedStep, out: Path, figures: Mapping[str, float], summary: str) -> None:
    """Keep the step's last figures and small files with its MLflow run, and show the figures on its task's page."""
    run.metrics(0, {f"final/{name}": value for name, value in figures.items()})
    run.log_artifacts(out, "*.json", "history.jsonl")
    run.write_summary(summary, kfp_summary.metrics_table(figures))
