"""The program of each worker process: ``torchrun -m labram.training.distributed.worker job.json events.jsonl``."""

import sys
from pathlib import Path

from labram import logs
from labram.corpus.catalogue import Corpus
from labram.errors import LabramError
from labram.events import Monitor, NullMonitor
from labram.recipe import ArchitectureRecipe, PretrainingRecipe, TaskRecipe, TokenizerRecipe
from labram.store.store import Store
from labram.training.backbone_stage import train_backbone
from labram.training.distributed.job import EventSender, Job
from labram.training.distributed.process_group import init_process_group
from labram.training.stage_run import StageRun
from labram.training.task_stage import train_task_model
from labram.training.tokenizer_stage import train_tokenizer

FAILED = 1


def main(job_file: Path, events_file: Path) -> int:
    """Run a job together with the other ranks of the process group.

    Args:
        job_file: JSON of a `Job`.
        events_file: File to which rank 0 appends progress and metrics, and any rank its error.

    Returns:
        The exit code.
    """
    logs.configure()
    sender = EventSender(events_file)
    try:
        with init_process_group() as group:
            metrics = run_stage(
                Job.from_json(job_file.read_text(encoding="utf-8")), sender if group.is_main else NullMonitor()
            )
            if group.is_main:
                sender.finished(metrics)
    except LabramError as error:
        sender.failed(error)
        return FAILED
    return 0


def run_stage(job: Job, monitor: Monitor) -> dict[str, float]:
    """Train in this process, as one rank of the current process group.

    Returns:
        Final metrics of the stage.

    Raises:
        LabramError: See the functions of the stages.
        SystemExit: With code 143 after SIGTERM, once a checkpoint is written.
    """
    corpus, store = Corpus.load(job.corpus), Store(job.store if "://" in job.store else Path(job.store))
    run = StageRun(seed=job.seed, checkpoints=job.checkpoints, out=job.out, monitor=monitor, allow=job.allow)
    if job.stage == "finetune":
        assert job.initial_weights is not None
        return train_task_model(corpus, store, job.initial_weights, TaskRecipe.from_json(job.settings), run)
    architecture = ArchitectureRecipe.from_json(job.architecture)
    if job.stage == "tokenizer":
        return train_tokenizer(corpus, store, architecture, TokenizerRecipe.from_json(job.settings), run)
    assert job.initial_weights is not None
    recipe = PretrainingRecipe.from_json(job.settings)
    return train_backbone(corpus, store, job.initial_weights, architecture, recipe, run)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
