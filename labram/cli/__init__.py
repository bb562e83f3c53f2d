"""The `labram` command. Each subject has a module; nothing heavy is imported before a command needs it."""

import sys
from typing import Annotated

import typer

from labram import __version__
from labram.cli import bench, corpus, doctor, evaluate, models, pipeline, recipe, run, tokenize, train, weights
from labram.errors import LabramError

app = typer.Typer(
    name="labram",
    help="Raw EEG recordings in; a registered, gated, reproducible LaBraM champion out.\n\n"
    "Start with [bold]labram run[/bold]: it takes a folder of recordings through quality checks, tokenizer, masked "
    "pre-training, fine-tuning, evaluation and promotion. Without --data it uses a simulated corpus.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("adapt")(run.adapt)
app.command("study")(run.study)
app.command("evaluate")(evaluate.evaluate)
app.command("doctor")(doctor.doctor)
app.command("tokenize")(tokenize.tokenize)
app.command("train")(train.train)
app.add_typer(corpus.app, name="corpus")
app.add_typer(recipe.app, name="recipe")
app.add_typer(models.app, name="models")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(weights.app, name="weights")
bench.add_to(app)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"labram {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=lambda value: _version(wanted=value), is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Entry point: a user's error is one message and exit code 1, never a traceback."""
    try:
        app()
    except LabramError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)
