"""What every training stage shares: seed, folders and monitor, the identity of its checkpoints, and its output files.

An output folder holds ``model.safetensors``, ``config.json``, ``history.jsonl``, ``resumed.json`` (the steps after
which training was resumed) and ``hardware.json``. A tokenizer also has ``codebook.json`` and ``examples.npz``, a task
model ``task.json`` and ``load_report.json``, and that of a probe ``probe.json`` and ``probe.npz``. With several
processes, rank 0 writes them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from labram import checksums
from labram.corpus.catalogue import Corpus
from labram.events import Monitor
from labram.frozen_model import FrozenModel
from labram.jsonl import write_rows
from labram.models import weights
from labram.models.loading import LoadReport
from labram.models.official_layout import LabramModel
from labram.training import hardware
from labram.training.data.windows import catalogue_digest
from labram.training.distributed.process_group import ProcessGroup
from labram.training.loop import FitResult
from labram.training.output_files import HISTORY_FILE, LOAD_REPORT_FILE, RESUMED_FILE
from labram.training.task_metadata import TaskMetadata


@dataclass(frozen=True)
class StageRun:
    """One run of a training stage.

    Attributes:
        seed: Seed of initial weights, batches, masks and drop path.
        checkpoints: Checkpoint folder, used by this training only; the newest checkpoint in it is resumed.
        out: Output folder.
        monitor: Receives progress, metrics and notes.
        allow: Resume from checkpoints of another corpus or recipe.
    """

    seed: int
    checkpoints: Path
    out: Path
    monitor: Monitor
    allow: bool = False

    @contextmanager
    def initial_weights_seeded(self) -> Iterator[None]:
        """Seed the CPU generator for initial weights, and restore the caller's random state afterwards."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            yield

    def identity(
        self, corpus: Corpus, digests: Mapping[str, str] | None = None, **sections: FrozenModel
    ) -> dict[str, Any]:
        """Return everything that the result depends on, for `labram.training.loop.fit`.

        Sharding is left out: it does not change the result.

        Args:
            corpus: Catalogue.
            digests: Digests of initial weights, by name.
            **sections: FrozenModels of the recipe, by name.
        """
        settings = {name: section.model_dump(mode="json", exclude={"sharded"}) for name, section in sections.items()}
        return {"corpus": catalogue_digest(corpus), "seed": self.seed, **(digests or {}), **settings}

    def write_model(self, model: LabramModel, result: FitResult) -> dict[str, float]:
        """Write the model, its history and the resumed steps on rank 0.

        Returns:
            The result's metrics with `steps` and `skipped_steps`.
        """
        if ProcessGroup.current().is_main:
            weights.save(model, self.out)
            write_rows(self.out / HISTORY_FILE, [*result.history, {checksums.KEY: checksums.PLACEHOLDER}])
            checksums.seal(self.out / HISTORY_FILE)
            (self.out / RESUMED_FILE).write_text(json.dumps(result.resumed) + "\n", encoding="utf-8")
            hardware.write(self.out, processes=ProcessGroup.current().world_size)
        return result.metrics | {"steps": float(result.step), "skipped_steps": float(result.skipped_steps)}

    def write_task(self, metadata: TaskMetadata, report: LoadReport) -> None:
        """Write the metadata of a task model and the report on its initial weights on rank 0."""
        if ProcessGroup.current().is_main:
            metadata.write(self.out)
            text = json.dumps(report.to_json(), indent=2) + "\n"
            (self.out / LOAD_REPORT_FILE).write_text(text, encoding="utf-8")
