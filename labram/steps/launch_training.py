"""What the three training steps share: checkpoint key, launch, leakage ledger, published metrics."""

import hashlib
import json
from pathlib import Path

from labram.corpus.catalogue import CATALOGUE_FILE, LABELS_FILE, Corpus, Split
from labram.evaluation.leakage import Ledger, Seen
from labram.tracking import kfp_summary
from labram.tracking.lineage import source_digest
from labram.tracking.mlflow_runs import TrackedStep
from labram.tracking.run_params import log_params
from labram.training.distributed.job import Job
from labram.training.distributed.launchers import select_launcher
from labram.training.output_files import HISTORY_FILE

TRAINING_CODE = ("labram.models", "labram.training")


def checkpoint_key(corpus: str, *determinants: str) -> str:
    """Return a digest of everything that a training depends on: corpus, settings, initial weights and code."""
    total = hashlib.sha256()
    for file in (CATALOGUE_FILE, LABELS_FILE):
        total.update((Path(corpus) / file).read_bytes())
    for part in (*determinants, *(source_digest(package) for package in TRAINING_CODE)):
        total.update(b"\0" + part.encode())
    return total.hexdigest()[:16]


def seen(corpus: Corpus, *splits: Split, dataset: str | None = None) -> Seen:
    """Return the subjects and recordings of some splits, for the leakage ledger."""
    rows = [corpus.accepted(split, dataset) for split in splits]
    return Seen.of(
        (key for part in rows for key in part["subject_key"]), (name for part in rows for name in part["content_hash"])
    )


def launch_training(job: Job, run: TrackedStep, ledger: Ledger, summary: str) -> dict[str, float]:
    """Train, write the model's leakage ledger, log metrics and small files to MLflow; return the last metrics.

    Args:
        job: The training.
        run: The step's MLflow run.
        ledger: What the model has seen after this training.
        summary: Markdown file for Kubeflow Pipelines.
    """
    log_params(run.run_id, {"seed": job.seed, **json.loads(job.settings)})
    metrics = select_launcher(job, run).launch(job, run)
    ledger.write(job.out)
    run.summarise({f"final/{name}": value for name, value in metrics.items()})
    run.log_artifacts(job.out, "*.json", HISTORY_FILE)
    run.write_summary(summary, kfp_summary.metrics_table(metrics))
    return metrics
