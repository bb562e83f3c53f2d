"""`labram pipeline`: the DAG as an artefact for a cluster, its runs and its schedules."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Compile pipelines; run and schedule them on a cluster.", no_args_is_help=True)
NAME = Annotated[str, typer.Argument(metavar="[PIPELINE]", help="Such as retrain.")]
RECIPE = Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name or YAML file.")]
OVERRIDE = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Change a setting: tokenizer.steps=50; repeatable.")
]
IMAGE = Annotated[
    str, typer.Option("--image", envvar="LABRAM_IMAGE", help="The image of all tasks, by digest or commit.")
]


@app.command("compile")
def compile_(
    image: IMAGE,
    out: Annotated[Path, typer.Option("--out", help="Folder for the file.")],
    name: NAME = "retrain",
    recipe: RECIPE = "demo",
    override: OVERRIDE = None,
) -> None:
    """Write a pipeline as one YAML file that Kubeflow Pipelines takes, with a recipe's settings as its defaults.

    The same source, recipe and image always give the same bytes.
    """
    typer.echo(compiled(name, recipe, override or [], image, out))


def compiled(name: str, recipe: str, override: list[str], image: str, out: Path) -> Path:
    """Compile in a process of its own, because components take their image when they are defined; gives the path.

    Raises:
        typer.Exit: If it failed; the process has said why.
    """
    from labram import recipe as recipes

    request = {"pipeline": name, "recipe": recipes.load(recipe, override).to_json(), "out": str(out.absolute())}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.compile", json.dumps(request)],
        env={**os.environ, "LABRAM_IMAGE": image},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise typer.Exit(done.returncode)
    return Path(done.stdout.strip())
