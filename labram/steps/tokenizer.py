"""Tokenizer: learn the codebook by predicting the spectrum of each patch."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import Ledger
from labram.platform.workspace import Workspace
from labram.steps.launch_training import checkpoint_key, publish, seen
from labram.tracking.mlflow_runs import tracked
from labram.training.distributed.job import Job
from labram.training.distributed.launchers import select_launcher


def tokenizer(
    *, workspace: str, corpus: str, architecture: str, settings: str, seed: int, out: str, summary: str
) -> dict[str, float]:
    """Train the tokenizer on the training subjects; gives its last validation figures.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        architecture: The recipe's section `architecture`, as JSON.
        settings: The recipe's section `tokenizer`, as JSON.
        seed: For initial values and windows.
        out: Folder for the model.
        summary: Markdown file for what Kubeflow Pipelines shows.
    """
    place, recordings = Workspace.at(workspace), Corpus.load(Path(corpus))
    with tracked("tokenizer", place.root) as run:
        job = Job(
            stage="tokenizer",
            corpus=Path(corpus),
            store=str(place.store),
            architecture=architecture,
            settings=settings,
            seed=seed,
            checkpoints=place.checkpoints("tokenizer", checkpoint_key(corpus, architecture, settings, str(seed))),
            out=Path(out),
        )
        figures = select_launcher().launch(job, run)
        Ledger().after("tokenizer", seen(recordings, "train")).write(Path(out))
        publish(run, Path(out), figures, summary)
    return figures
