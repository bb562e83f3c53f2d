"""Pretrain: train the backbone to predict the tokenizer's codes of masked patches."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import PRETRAINING, Ledger
from labram.models.weights import digest
from labram.platform.workspace import Workspace
from labram.steps.launch_training import checkpoint_key, launch_training, seen
from labram.tracking.mlflow_runs import tracked
from labram.training.distributed.job import Job


def pretrain(
    *, workspace: str, corpus: str, tokenizer: str, architecture: str, settings: str, seed: int, out: str, summary: str
) -> dict[str, float]:
    """Pre-train the backbone on the training subjects; return its last validation metrics.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        tokenizer: Folder of the tokenizer.
        architecture: Recipe section `architecture`, as JSON.
        settings: Recipe section `pretraining`, as JSON.
        seed: Seed of initial weights, window sampling and masks.
        out: Folder for the model.
        summary: Markdown file for Kubeflow Pipelines.
    """
    layout = Workspace.at(workspace)
    with tracked("pretrain", layout.root) as run:
        key = checkpoint_key(corpus, digest(Path(tokenizer)), architecture, settings, str(seed))
        job = Job(
            stage="pretrain",
            corpus=Path(corpus),
            store=str(layout.store),
            initial_weights=Path(tokenizer),
            architecture=architecture,
            settings=settings,
            seed=seed,
            checkpoints=layout.checkpoints("pretrain", key),
            out=Path(out),
        )
        ledger = Ledger.read(Path(tokenizer)).after(PRETRAINING, seen(Corpus.load(Path(corpus)), "train"))
        return launch_training(job, run, ledger, summary)
