"""A tokenizer and a masked model, trained for a dozen steps by however many processes `torchrun` starts."""

import json
import os
import sys
from pathlib import Path

import torch

from labram.corpus.catalogue import Corpus
from labram.corpus.store import Store
from labram.events import Silent
from labram.recipe import ArchitectureRecipe, PretrainingRecipe, TokenizerRecipe
from labram.training import stages
from labram.training.loop import _Training
from labram.training.ranks import joined


def train(folder, name):
    """Train in `folder/name`; the first rank keeps the first gradient of both models."""
    architecture = ArchitectureRecipe.from_json((folder / "architecture.json").read_text())
    corpus, store, out = Corpus.load(folder / "corpus"), Store(folder / "store"), folder / name
    keep_gradients(out)
    common = {"seed": 0, "monitor": Silent()}
    tokenizer = TokenizerRecipe.from_json((folder / "tokenizer.json").read_text())
    stages.train_tokenizer(
        corpus, store, architecture, tokenizer, checkpoints=out / "a", out=out / "tokenizer", **common
    )
    masked = PretrainingRecipe.from_json((folder / "masked.json").read_text())
    teacher = folder / "one" / "tokenizer"
    stages.pretrain(corpus, store, teacher, architecture, masked, checkpoints=out / "b", out=out / "masked", **common)


def keep_gradients(out):
    clip = _Training._clip

    def keeps(self, gradients):
        file = out / f"{type(self.model).__name__}.pt"
        if self.ranks.first and not file.exists():
            out.mkdir(exist_ok=True)
            torch.save([gradient.clone() for gradient in gradients], file)
        return clip(self, gradients)

    _Training._clip = keeps


if __name__ == "__main__":
    with joined() as ranks:
        train(Path(sys.argv[1]), sys.argv[2])
        (Path(sys.argv[1]) / f"rank-{ranks.rank}.json").write_text(json.dumps(ranks.world))
        assert int(os.environ["RANK"]) == ranks.rank
