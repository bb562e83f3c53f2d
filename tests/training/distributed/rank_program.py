"""A tokenizer and masked models, trained for a dozen steps by the processes of `torchrun`."""

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
from labram.training.backbone_stage import train_backbone
from labram.training.distributed.fsdp import full_tensor
from labram.training.distributed.process_group import init_process_group
from labram.training.loop import _Loop
from labram.training.stage_run import StageRun
from labram.training.tokenizer_stage import train_tokenizer

CLIP = _Loop._clip


def train(folder, name):
    """Train both models in `folder/name`."""
    settings = TokenizerRecipe.from_json((folder / "tokenizer.json").read_text())
    out, *given = prepared(folder, name)
    train_tokenizer(*given, settings, StageRun(0, out / "a", out / "tokenizer", NullMonitor()))
    pretrain(folder, name)


def pretrain(folder, name, **changes):
    """Train the masked model in `folder/name`, resuming from checkpoints if there are any."""
    settings = PretrainingRecipe.from_json((folder / "masked.json").read_text()).model_copy(update=changes)
    out, corpus, store, architecture = prepared(folder, name)
    given = corpus, store, folder / "one" / "tokenizer", architecture, settings
    train_backbone(*given, StageRun(0, out / "b", out / "masked", NullMonitor()))


def prepared(folder, name):
    """Return output folder, corpus, store and architecture, and record the first gradient of each training."""
    keep_gradients(folder / name)
    architecture = ArchitectureRecipe.from_json((folder / "architecture.json").read_text())
    return folder / name, Corpus.load(folder / "corpus"), Store(folder / "store"), architecture


def keep_gradients(out):
    def keeps(self, gradients):
        if self.state.progress.step == 0:
            kept = [full_tensor(gradient).clone() for gradient in gradients]
            if self.group.is_main:
                out.mkdir(exist_ok=True)
                torch.save(kept, out / f"{type(self.objective).__name__}.pt")
        return CLIP(self, gradients)

    _Loop._clip = keeps


def half_way(folder, before, after):
    """Copy the checkpoints of the first half of a training to another one."""
    newer = shutil.ignore_patterns("step-000012", "latest")
    shutil.copytree(folder / before / "b", folder / after / "b", ignore=newer)


if __name__ == "__main__":
    with init_process_group() as ranks:
        place = Path(sys.argv[1])
        train(place, "two")
        pretrain(place, "shared out", sharded=True)
        pretrain(place, "taken over", sharded=True)
        (place / f"rank-{ranks.rank}.json").write_text(json.dumps(ranks.world_size))
        assert int(os.environ["RANK"]) == ranks.rank
