"""Pretrain: the backbone predicts the tokenizer's codes of masked patches."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import PRETRAINING, Ledger
from labram.models.weights import digest
from labram.platform.workspace import Workspace
from labram.steps.launch_training import checkpoint_key, publish, seen
from labram.tracking.mlflow_runs import tracked
from labram.training.distributed.job import Job
from labram.training.distributed.launchers import select_launcher


def pretrain(
    *, workspace: str, corpus: str, tokenizer: str, architecture: str, settings: str, seed: int, out: str, summary: str
) -> dict[str, float]:
    """Pre-train the backbone on the training subjects; gives its last validation figures.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        tokenizer: Folder of the tokenizer.
        architecture: The recipe's section `architecture`, as JSON.
        settings: The recipe's section `pretraining`, as JSON.
        seed: For initial values, windows and masks.
        out: Folder for the model.
        summary: Markdown file for what Kubeflow Pipelines shows.
    """
    place, recordings = Workspace.at(workspace), Corpus.load(Path(corpus))
    key = checkpoint_key(corpus, digest(Path(tokenizer)), architecture, settings, str(seed))
    with tracked("pretrain", place.root) as run:
        job = Job(
            stage="pretrain",
            corpus=Path(corpus),
            store=str(place.store),
            initial_weights=Path(tokenizer),
            architecture=architecture,
            settings=settings,
            seed=seed,
            checkpoints=place.checkpoints("pretrain", key),
            out=Path(out),
        )
        figures = select_launcher().launch(job, run)
        Ledger.read(Path(tokenizer)).after(PRETRAINING, seen(recordings, "train")).write(Path(out))
        publish(run, Path(out), figures, summary)
    return figures
