"""`labram train`: one stage of training by itself, without the DAG."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.ingest import OURS, StoreOption
from labram.errors import CorpusError, RecipeError

if TYPE_CHECKING:
    from labram.recipe import Recipe


class Stage(StrEnum):
    """What is trained."""

    TOKENIZER = "tokenizer"
    PRETRAIN = "pretrain"
    FINETUNE = "finetune"


def train(
    stage: Annotated[Stage, typer.Argument(help="What is trained.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model.")],
    begin: Annotated[
        Path | None, typer.Option("--from", help="Folder of the tokenizer (pretrain) or of the backbone (finetune).")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Task of the recipe (finetune).")] = None,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Folder of a catalogue. Default: the only corpus of the store.")
    ] = None,
    store: StoreOption = OURS,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name or YAML file.")] = "demo",
    override: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="Change a setting: tokenizer.steps=50; repeatable.")
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Folder for checkpoints. Default: `checkpoints` beside --out.")
    ] = None,
    allow: Annotated[
        bool, typer.Option("--allow", help="Go on from checkpoints although corpus or recipe have changed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print lines of JSON and nothing else.")] = False,
) -> None:
    """Train the tokenizer, the backbone or a task's model, from the newest checkpoint on if there is one.

    It runs in as many processes as there are GPUs; LABRAM_PROCESSES and LABRAM_NODES say otherwise. LABRAM_COMPILE=1
    compiles the model, which is faster and takes a C compiler. If corpus or recipe are not those that the checkpoints
    were made with, nothing is done and what changed is named, unless --allow is given. Exit codes: 0 done; 1 not
    possible; 143 after SIGTERM, with a checkpoint written.
    """
    import json as text

    from labram import recipe as recipes
    from labram.cli.progress import Bar, Lines
    from labram.training.distributed.job import Job
    from labram.training.distributed.launchers import chosen

    wanted = recipes.load(recipe, override or [])
    job = Job(
        stage=stage.value,
        corpus=corpus or _only_corpus(store),
        store=store,
        begin=_begin(stage, begin),
        architecture=wanted.architecture.to_json(),
        settings=_settings(wanted, stage, task),
        seed=wanted.seed,
        checkpoints=(checkpoints or out.parent / "checkpoints" / out.name).absolute(),
        out=out.absolute(),
        allow=allow,
    )
    if json:
        typer.echo(text.dumps({"event": "finished", "figures": chosen().run(job, Lines())}))
        return
    with Bar(str(stage)) as bar:
        figures = chosen().run(job, bar)
    for name, value in sorted(figures.items()):
        typer.echo(f"{name:24} {value:.5g}")


def _begin(stage: Stage, folder: Path | None) -> Path | None:
    if (folder is None) != (stage is Stage.TOKENIZER):
        what = {
            Stage.TOKENIZER: "the tokenizer starts from nothing",
            Stage.PRETRAIN: "pre-training needs a tokenizer",
            Stage.FINETUNE: "fine-tuning needs a backbone",
        }[stage]
        raise RecipeError(what, field="--from", remedy="Name the folder of one" if folder is None else "Leave it out")
    return folder.absolute() if folder else None


def _settings(recipe: "Recipe", stage: Stage, task: str | None) -> str:
    if stage is Stage.FINETUNE:
        return recipe.task(task or next((one.name for one in recipe.tasks), "")).to_json()
    return (recipe.tokenizer if stage is Stage.TOKENIZER else recipe.pretraining).to_json()


def _only_corpus(store: str) -> Path:
    from labram.store.store import Store

    corpora = Store(store).corpora()
    if len(corpora) != 1:
        raise CorpusError(
            f"this store has {len(corpora)} corpora",
            file=store,
            field="--corpus",
            remedy="Name the folder of one" if corpora else "Take recordings in first: labram corpus ingest",
        )
    return corpora[0]
