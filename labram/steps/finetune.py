"""Finetune: train the backbone and a new head on one labelled task."""

from pathlib import Path

from labram.corpus.catalogue import SPLITS, Corpus, Split
from labram.evaluation.leakage import Ledger
from labram.models.weights import digest
from labram.platform.workspace import Workspace
from labram.recipe import TaskRecipe
from labram.steps.launch_training import checkpoint_key, launch_training, seen
from labram.tracking.mlflow_runs import tracked
from labram.training.distributed.job import Job


def finetune(
    *, workspace: str, corpus: str, backbone: str, task: str, seed: int, out: str, summary: str, label: str = ""
) -> None:
    """Fine-tune on the training subjects of the task's dataset; the validation subjects select the epoch.

    A probe is fitted to both, or to all subjects of a cross-validated corpus.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        backbone: Folder of the pre-trained backbone.
        task: One of the recipe's `tasks`, as JSON.
        seed: Seed of the head, the order of windows and stochastic depth.
        out: Folder for the model.
        summary: Markdown file for Kubeflow Pipelines.
        label: Distinguishes tasks of this step; by default the name of the recipe's task.
    """
    layout, settings = Workspace.at(workspace), TaskRecipe.from_json(task)
    with tracked("finetune", layout.root, label=label or settings.name) as run:
        job = Job(
            stage="finetune",
            corpus=Path(corpus),
            store=str(layout.store),
            initial_weights=Path(backbone),
            settings=task,
            seed=seed,
            checkpoints=layout.checkpoints(
                f"finetune-{settings.name}", checkpoint_key(corpus, digest(Path(backbone)), task, str(seed))
            ),
            out=Path(out),
        )
        recordings = Corpus.load(Path(corpus))
        splits: tuple[Split, ...] = SPLITS if recordings.protocol(settings.dataset) else ("train", "validation")
        used = seen(recordings, *splits, dataset=settings.dataset)
        ledger = Ledger.read(Path(backbone)).after(settings.name, used)
        launch_training(job, run, ledger, summary)
