"""`labram tokenize`: codes of a store's recordings, worked out once for pre-training."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli.ingest import OURS, StoreOption
from labram.errors import CorpusError


def tokenize(
    tokenizer: Annotated[Path, typer.Argument(help="Folder of a tokenizer that labram trained or imported.")],
    store: StoreOption = OURS,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Its section `pretraining` says which windows.")
    ] = "base",
) -> None:
    """Store the codes of the training windows of a store's corpora beside their patches.

    Pre-training with `pretraining.stored_codes` then looks codes up; without this command it begins with the same work.
    What is stored is not worked out again. Codes are those of consecutive windows, since a patch's code depends on its
    whole window.
    """
    from labram import recipe as recipes
    from labram.cli.progress import Bar
    from labram.corpus.catalogue import Corpus
    from labram.models import weights
    from labram.store.store import Store
    from labram.training import device
    from labram.training.data import codes
    from labram.training.train_stages import load_tokenizer, training_windows

    chosen, patches = recipes.load(recipe), Store(store)
    model = load_tokenizer(tokenizer).to(device.choose()).eval()
    corpora = patches.corpora()
    if not corpora:
        raise CorpusError(
            "this store has no corpus", file=store, remedy="Take recordings in first: labram corpus ingest"
        )
    for folder in corpora:
        with Bar("tokenize") as bar:
            sampler, _ = training_windows(Corpus.load(folder), patches, chosen.pretraining, chosen.seed, bar)
            codes.tokenize(sampler, model, weights.digest(tokenizer), bar)
