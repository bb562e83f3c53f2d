"""A tokenizer and masked models, trained for a dozen steps by however many processes `torchrun` starts."""

import json
import os
import shutil
import sys
from pathlib import Path

import torch

from labram.corpus.catalogue import Corpus
from labram.events import NullMonitor
from labram.recipe import ArchitectureRecipe, PretrainingRecipe, TokenizerRecipe
from labram.store.store import Store
from labram.training import train_stages
from labram.training.distributed.fsdp import whole
from labram.training.distributed.process_group import joined
from labram.training.loop import _Training

CLIP = _Training._clip


def train(folder, name):
    """Train both models in `folder/name`."""
    settings = TokenizerRecipe.from_json((folder / "tokenizer.json").read_text())
    out, *given = prepared(folder, name)
    train_stages.train_tokenizer(
        *given, settings, checkpoints=out / "a", out=out / "tokenizer", seed=0, monitor=NullMonitor()
    )
    pretrain(folder, name)


def pretrain(folder, name, **changes):
    """Train the masked model in `folder/name`, on from the checkpoints that there may be."""
    settings = PretrainingRecipe.from_json((folder / "masked.json").read_text()).model_copy(update=changes)
    out, corpus, store, architecture = prepared(folder, name)
    given = corpus, store, folder / "one" / "tokenizer", architecture, settings
    train_stages.pretrain(*given, checkpoints=out / "b", out=out / "masked", seed=0, monitor=NullMonitor())


def prepared(folder, name):
    """Folder of the results, corpus, store, architecture; the first gradient of each training will be kept."""
    keep_gradients(folder / name)
    architecture = ArchitectureRecipe.from_json((folder / "architecture.json").read_text())
    return folder / name, Corpus.load(folder / "corpus"), Store(folder / "store"), architecture


def keep_gradients(out):
    def keeps(self, gradients):
        if self.progress.step == 0:
            kept = [whole(gradient).clone() for gradient in gradients]
            if self.ranks.first:
                out.mkdir(exist_ok=True)
                torch.save(kept, out / f"{type(self.objective).__name__}.pt")
        return CLIP(self, gradients)

    _Training._clip = keeps


def half_way(folder, before, after):
    """Let a training begin where another one was after half of its steps."""
    newer = shutil.ignore_patterns("step-000012", "latest")
    shutil.copytree(folder / before / "b", folder / after / "b", ignore=newer)


if __name__ == "__main__":
    with joined() as ranks:
        place = Path(sys.argv[1])
        train(place, "two")
        pretrain(place, "shared out", sharded=True)
        pretrain(place, "taken over", sharded=True)
        (place / f"rank-{ranks.rank}.json").write_text(json.dumps(ranks.world))
        assert int(os.environ["RANK"]) == ranks.rank
