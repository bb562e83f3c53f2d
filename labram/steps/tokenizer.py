"""Tokenizer: learn the codebook by predicting the spectrum of each patch."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.corpus.store import Store
from labram.evaluation.leakage import Ledger
from labram.operations.tracking import tracked
from labram.operations.workspace import Workspace
from labram.recipe import ArchitectureRecipe, TokenizerRecipe
from labram.steps.training import checkpoint_key, publish, seen
from labram.training.stages import train_tokenizer


def tokenizer(
    *, workspace: str, corpus: str, architecture: str, settings: str, seed: int, out: str
) -> dict[str, float]:
    """Train the tokenizer on the training subjects; gives its last validation figures.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        architecture: The recipe's section `architecture`, as JSON.
        settings: The recipe's section `tokenizer`, as JSON.
        seed: For initial values and windows.
        out: Folder for the model.
    """
    place, recordings = Workspace.at(workspace), Corpus.load(Path(corpus))
    with tracked("tokenizer", place.root) as run:
        figures = train_tokenizer(
            recordings,
            Store(place.store),
            ArchitectureRecipe.from_json(architecture),
            TokenizerRecipe.from_json(settings),
            seed=seed,
            checkpoints=place.checkpoints("tokenizer", checkpoint_key(corpus, architecture, settings, str(seed))),
            out=Path(out),
            monitor=run,
        )
        Ledger().after("tokenizer", seen(recordings, "train")).write(Path(out))
        publish(run, Path(out), figures)
    return figures
