"""Tokenizer: train the codebook by vector-quantised prediction of the spectrum of each patch."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import Ledger
from labram.platform.workspace import Workspace
from labram.steps.launch_training import checkpoint_key, launch_training, seen
from labram.tracking.mlflow_runs import tracked
from labram.training.distributed.job import Job


def tokenizer(
    *, workspace: str, corpus: str, architecture: str, settings: str, seed: int, out: str, summary: str
) -> dict[str, float]:
    """Train the tokenizer on the training subjects; return its last validation metrics.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        architecture: Recipe section `architecture`, as JSON.
        settings: Recipe section `tokenizer`, as JSON.
        seed: Seed of initial weights and window sampling.
        out: Folder for the model.
        summary: Markdown file for Kubeflow Pipelines.
    """
    layout = Workspace.at(workspace)
    with tracked("tokenizer", layout.root) as run:
        job = Job(
            stage="tokenizer",
            corpus=Path(corpus),
            store=str(layout.store),
            architecture=architecture,
            settings=settings,
            seed=seed,
            checkpoints=layout.checkpoints("tokenizer", checkpoint_key(corpus, architecture, settings, str(seed))),
            out=Path(out),
        )
        ledger = Ledger().after("tokenizer", seen(Corpus.load(Path(corpus)), "train"))
        return launch_training(job, run, ledger, summary)
