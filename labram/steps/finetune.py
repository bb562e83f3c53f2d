"""Finetune: train the backbone and a new head on one labelled task, in every fold of a cross-validation."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from labram.corpus.catalogue import SPLITS, Corpus, Split
from labram.corpus.folds import all_folds, fold_corpus, require_classes
from labram.evaluation.leakage import Ledger
from labram.evaluation.trained_folds import fold_folder
from labram.models.weights import digest
from labram.platform.workspace import Workspace
from labram.recipe import TaskRecipe
from labram.steps.launch_training import checkpoint_key, launch_training, seen
from labram.tracking.mlflow_runs import TrackedStep, tracked
from labram.training.distributed.job import Job
from labram.training.distributed.launchers import select_launcher


def finetune(
    *, workspace: str, corpus: str, backbone: str, task: str, seed: int, out: str, summary: str, label: str = ""
) -> None:
    """Fine-tune on the training subjects of the task's dataset; the validation subjects select the epoch.

    In a cross-validated corpus, a probe is fitted to all subjects. Other strategies train one model for each fold, and
    one on all subjects but those of a fold, which select its epoch.

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
        splits: tuple[Split, ...] = ("train", "validation")
        if recordings.protocol(settings.dataset):
            splits = SPLITS
            if settings.adaptation.strategy != "probe":
                require_classes(recordings, settings)
                *folds, job = _jobs_of_folds(job, recordings, settings.dataset)
                for fold in folds:
                    monitor = _FoldMonitor(run, fold.out.name)
                    select_launcher(fold, monitor).launch(fold, monitor)
        used = seen(recordings, *splits, dataset=settings.dataset)
        ledger = Ledger.read(Path(backbone)).after(settings.name, used)
        launch_training(job, run, ledger, summary)


def _jobs_of_folds(job: Job, corpus: Corpus, dataset: str) -> Iterator[Job]:
    """Yield the training of every fold, then that of the registered model, each with its own part of the corpus."""
    for fold in (*all_folds(corpus, dataset), None):
        name = "all" if fold is None else f"{fold[0]}-{fold[1]}"
        part = job.checkpoints / "folds" / name
        fold_corpus(corpus, dataset, fold).save(part / "corpus")
        out = job.out if fold is None else fold_folder(job.out, *fold)
        changed = {"corpus": part / "corpus", "checkpoints": part / "checkpoints", "out": out}
        yield job.model_copy(update=changed)


class _FoldMonitor:
    """Passes on progress and notes of a fold. Its metrics would be mixed with those of the others, and are left out."""

    def __init__(self, run: TrackedStep, fold: str) -> None:
        self._run, self._fold = run, fold

    def progress(self, done: int, total: int, **metrics: float) -> None:
        self._run.progress(done, total, **metrics)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def note(self, text: str) -> None:
        self._run.note(f"fold {self._fold}: {text}")
