"""`labram train`: run one training stage without the pipeline."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.options import DEFAULT_STORE, OverrideOption, RecipeOption, StoreOption
from labram.cli.terminal import echo
from labram.errors import CorpusError, RecipeError

if TYPE_CHECKING:
    from labram.recipe import Recipe


class Stage(StrEnum):
    """Training stage."""

    TOKENIZER = "tokenizer"
    PRETRAIN = "pretrain"
    FINETUNE = "finetune"


def train(
    stage: Annotated[
        Stage, typer.Argument(metavar="STAGE", help="Stage: tokenizer, pretrain (backbone) or finetune (task model).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder of the model.")],
    upstream: Annotated[
        Path | None, typer.Option("--from", help="Folder of the tokenizer (pretrain) or of the backbone (finetune).")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Task of the recipe to fine-tune on. Default: the first.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Folder of a catalogue. Default: the only corpus of the store.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    recipe: RecipeOption = "demo",
    override: OverrideOption = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", help="Folder of the checkpoints. Default: `checkpoints` beside --out."),
    ] = None,
    allow: Annotated[
        bool, typer.Option("--allow", help="Resume from a checkpoint even if corpus or recipe changed since.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line and nothing else.")] = False,
) -> None:
    """Train the tokenizer, the backbone or a task model on an ingested corpus, without the pipeline.

    Training resumes from the newest checkpoint, if there is one. It is an error if corpus or recipe differ from those
    of the checkpoint: the message lists the changes, and --allow resumes anyway.

    One process per GPU, or one process without GPU; LABRAM_PROCESSES and LABRAM_NODES override that. Of these, as many
    are used as divide the recipe's micro_batches. LABRAM_DEVICE=cpu leaves GPUs out. LABRAM_COMPILE=1 compiles the
    model with torch.compile, which needs a C compiler.

    Exit codes: 0 done; 1 error; 143 SIGTERM received, after a checkpoint was written.
    """
    import json as text

    from labram import recipe as recipes
    from labram.cli.progress import Bar, Lines
    from labram.training.distributed.job import Job
    from labram.training.distributed.launchers import select_launcher

    resolved = recipes.load(recipe, override or [])
    job = Job(
        stage=stage.value,
        corpus=corpus or _only_corpus(store),
        store=store,
        initial_weights=_upstream(stage, upstream),
        architecture=resolved.architecture.to_json(),
        settings=_settings(resolved, stage, task),
        seed=resolved.seed,
        checkpoints=(checkpoints or out.parent / "checkpoints" / out.name).absolute(),
        out=out.absolute(),
        allow=allow,
    )
    if json:
        lines = Lines()
        echo(text.dumps({"event": "finished", "metrics": select_launcher(job, lines).launch(job, lines)}))
        return
    with Bar(str(stage)) as bar:
        metrics = select_launcher(job, bar).launch(job, bar)
    for name, value in sorted(metrics.items()):
        echo(f"{name:24} {value:.5g}")


def _upstream(stage: Stage, folder: Path | None) -> Path | None:
    """Return the folder of the model that the stage starts from, None for the tokenizer."""
    if (folder is None) != (stage is Stage.TOKENIZER):
        problem = {
            Stage.TOKENIZER: "the tokenizer is trained from random weights",
            Stage.PRETRAIN: "pre-training needs a tokenizer",
            Stage.FINETUNE: "fine-tuning needs a backbone",
        }[stage]
        remedy = "Give the folder of one" if folder is None else "Leave --from out"
        raise RecipeError(problem, field="--from", remedy=remedy)
    return folder.absolute() if folder else None


def _settings(recipe: "Recipe", stage: Stage, task: str | None) -> str:
    if stage is Stage.FINETUNE:
        from labram.datasets import ADAPTERS
        from labram.datasets.task_check import check_task

        chosen = recipe.task(task or next((entry.name for entry in recipe.tasks), ""))
        if chosen.dataset in ADAPTERS:  # the corpus does not have the dataset file of another one
            check_task(chosen)
        return chosen.to_json()
    return (recipe.tokenizer if stage is Stage.TOKENIZER else recipe.pretraining).to_json()


def _only_corpus(store: str) -> Path:
    from labram.store.store import Store

    corpora = Store(store).corpora()
    if len(corpora) != 1:
        raise CorpusError(
            f"expected one corpus in the store, got {len(corpora)}",
            file=store,
            field="--corpus",
            remedy="Give the folder of one" if corpora else "Run `labram corpus ingest FOLDER` first",
        )
    return corpora[0]
