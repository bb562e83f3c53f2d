"""Finetune: the backbone learns one labelled task."""

from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation.leakage import Ledger
from labram.models.weights import digest
from labram.platform.workspace import Workspace
from labram.recipe import TaskRecipe
from labram.steps.launch_training import checkpoint_key, publish, seen
from labram.tracking.mlflow_runs import tracked
from labram.training.distributed.job import Job
from labram.training.distributed.launchers import select_launcher


def finetune(
    *, workspace: str, corpus: str, backbone: str, task: str, seed: int, out: str, summary: str, label: str = ""
) -> None:
    """Fine-tune on the training subjects of the task's dataset, choosing the epoch on the validation subjects.

    Args:
        workspace: The workspace.
        corpus: Folder that `quality` wrote.
        backbone: Folder of the pre-trained backbone.
        task: One of the recipe's `tasks`, as JSON.
        seed: For the head, the order of windows and drop path.
        out: Folder for the model.
        summary: Markdown file for what Kubeflow Pipelines shows.
        label: Tells runs of the step apart; by default the task's name.
    """
    place, recordings, settings = Workspace.at(workspace), Corpus.load(Path(corpus)), TaskRecipe.from_json(task)
    key = checkpoint_key(corpus, digest(Path(backbone)), task, str(seed))
    with tracked("finetune", place.root, label=label or settings.name) as run:
        job = Job(
            stage="finetune",
            corpus=Path(corpus),
            store=str(place.store),
            initial_weights=Path(backbone),
            settings=task,
            seed=seed,
            checkpoints=place.checkpoints(f"finetune-{settings.name}", key),
            out=Path(out),
        )
        figures = select_launcher().launch(job, run)
        used = seen(recordings, "train", "validation", dataset=settings.dataset)
        Ledger.read(Path(backbone)).after(settings.name, used).write(Path(out))
        publish(run, Path(out), figures, summary)
