"""Command line: one module per group of commands. A command imports heavy packages only when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from labram import __version__
from labram.cli import (
    bench,
    corpus,
    datasets,
    doctor,
    embed,
    evaluate,
    explain,
    models,
    operating_point,
    pipeline,
    predict,
    recipe,
    reconstruct,
    reproduce,
    run,
    runs,
    serve,
    store,
    tokenize,
    train,
    weights,
)
from labram.cli.exit_codes import ERROR
from labram.cli.terminal import echo
from labram.logs import escape_control_characters, escape_unencodable, restart_in_utf8
from labram.system_errors import as_sentence

app = typer.Typer(
    name="labram",
    help="Train, evaluate and promote LaBraM, a foundation model for EEG, from raw recordings.\n\n"
    "Start with **labram run**. Without --data it trains on a small simulated corpus, so that you can see "
    "every step. `labram recipe keys` documents every setting; `labram doctor` checks this machine.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("adapt")(run.adapt)
app.command("study")(run.study)
app.command("reproduce")(reproduce.reproduce)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("operating-point")(operating_point.operating_point)
app.command("explain")(explain.explain)
app.command("embed")(embed.embed)
app.command("tokens")(embed.tokens)
app.command("reconstruct")(reconstruct.reconstruct)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.command("tokenize")(tokenize.tokenize)
app.command("train")(train.train)
app.add_typer(datasets.app, name="datasets")
app.add_typer(corpus.app, name="corpus")
app.add_typer(recipe.app, name="recipe")
app.add_typer(models.app, name="models")
app.add_typer(runs.app, name="runs")
app.add_typer(pipeline.app, name="pipeline")
app.add_typer(weights.app, name="weights")
app.add_typer(store.app, name="store")
bench.add_to(app)


def _version(*, wanted: bool) -> None:
    if wanted:
        echo(f"labram {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[  # noqa: ARG001 - its callback ends the program
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _version(wanted=value),
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(
            "--adapter",
            metavar="FILE.py",
            help="Python file with a dataset adapter of your own, for the command that follows. Repeatable.",
        ),
    ] = None,
) -> None:
    """Hold the options that precede a command."""
    if adapter:
        from labram.datasets.registry import use_files

        use_files(adapter)


def main() -> None:
    """Run the command line; print errors of users, files and machines as one message and exit with code 1."""
    restart_in_utf8()
    escape_unencodable()
    escape_control_characters()
    try:
        app()
    except Exception as error:
        sentence = as_sentence(error)
        if sentence is None:
            raise
        echo(f"error: {sentence}", fg="red", err=True)
        sys.exit(ERROR)
