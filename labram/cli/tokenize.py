"""`labram tokenize`: compute the codes of a store's patches once, for pre-training."""

from typing import Annotated

import typer

from labram.cli.model_argument import folder_of
from labram.cli.options import DEFAULT_STORE, DEFAULT_WORKSPACE, RecipeOption, StoreOption, WorkspaceOption
from labram.errors import CorpusError


def tokenize(
    model: Annotated[
        str,
        typer.Argument(
            metavar="TOKENIZER", help="Folder of a trained or imported tokenizer, or models:/labram-tokenizer@champion."
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    recipe: RecipeOption = "base",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Compute the tokenizer's codes of all training windows and write them to the store beside the patches.

    Pre-training with `pretraining.stored_codes` then reads codes instead of computing them; without this command it
    computes them first. Codes already stored are kept. The recipe's section `pretraining` defines the windows: they do
    not overlap, since the code of a patch depends on its whole window.

    Exit codes: 0 done; 1 error.
    """
    from labram import recipe as recipes
    from labram.cli.progress import Bar
    from labram.corpus.catalogue import Corpus
    from labram.models import weights
    from labram.store.store import Store
    from labram.training import device
    from labram.training.data import codes
    from labram.training.data.pretraining_windows import pretraining_windows
    from labram.training.tokenizer_stage import load_tokenizer

    pretraining, seed = (resolved := recipes.load(recipe)).pretraining, resolved.seed
    patches = Store(store)
    tokenizer = folder_of(model, workspace)
    loaded = load_tokenizer(tokenizer).to(device.select_device()).eval()
    corpora = patches.corpora()
    if not corpora:
        raise CorpusError("the store has no corpus", file=store, remedy="Run `labram corpus ingest FOLDER` first")
    for folder in corpora:
        with Bar("tokenize") as bar:
            sampler, _ = pretraining_windows(Corpus.load(folder), patches, pretraining, seed, bar)
            codes.with_stored_codes(sampler, loaded, weights.digest(tokenizer), bar)
