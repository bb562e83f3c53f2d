"""`labram pipeline`: the DAG as an artefact for a cluster, its runs and its schedules."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.run import DONE, FAILED, INTERRUPTED, REFUSED
from labram.errors import PlatformError

if TYPE_CHECKING:
    from labram.platform.kfp_client import KfpClient, PipelinePackage

app = typer.Typer(help="Compile pipelines; run and schedule them on a cluster.", no_args_is_help=True)
NAME = Annotated[str, typer.Argument(metavar="[PIPELINE]", help="retrain, pretrain_only, adapt or study.")]
RECIPE = Annotated[str, typer.Option("--recipe", "-r", help="A recipe's name or YAML file.")]
OVERRIDE = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Change a setting: tokenizer.steps=50; repeatable.")
]
IMAGE = Annotated[
    str, typer.Option("--image", envvar="LABRAM_IMAGE", help="The image of all tasks, by digest or commit.")
]
PARAMETER = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", help="Of the pipeline: name=value, in YAML; repeatable.")
]
HOST = Annotated[str, typer.Option("--host", envvar="KF_PIPELINES_ENDPOINT", help="Kubeflow Pipelines' API.")]
NAMESPACE = Annotated[str, typer.Option("--namespace", help="Of runs, where Kubeflow Pipelines serves several.")]
LOCALHOST = "http://localhost:8888"
_STYLES = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "yellow"}


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


@app.command()
def submit(
    image: IMAGE,
    name: NAME = "retrain",
    recipe: RECIPE = "demo",
    override: OVERRIDE = None,
    parameter: PARAMETER = None,
    account: Annotated[str, typer.Option("--account", help="Service account of the run's pods.")] = "labram-task",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    host: HOST = LOCALHOST,
    namespace: NAMESPACE = "",
) -> None:
    """Upload a pipeline as a version named by recipe and commit, and run it on the cluster.

    Exit codes with --wait: 0 done and promoted, or nothing to do; 3 done, but a gate refused; 1 the run failed; 130 it
    was cancelled, or you stopped waiting.
    """
    from labram.cli.progress import console
    from labram.platform.kfp_client import KfpClient

    cluster, given = KfpClient(host, namespace), _parameters(parameter or [])
    with TemporaryDirectory() as folder:
        package = _package(name, recipe, override or [], image, Path(folder))
        package.check_parameters(given)
        version = cluster.upload_version(package)
    run = cluster.create_run(
        package.version, version, given, experiment=cluster.get_or_create_experiment("labram"), account=account
    )
    console.print(f"version {package.version} of {name}")
    console.print(f"run     {cluster.host}/#/runs/details/{run}", soft_wrap=True)
    if wait:
        raise typer.Exit(_follow(cluster, run))


def _follow(cluster: "KfpClient", run: str) -> int:
    """Show what a run does until it ends; gives its exit code, which is that of `labram run`."""
    from labram.cli.progress import console
    from labram.platform.kfp_client import GATE_FAILURE_TASK

    done = DONE
    try:
        for name, state in cluster.follow_run(run):
            console.print(f"{name or 'the run'} {state.lower()}", style=_STYLES.get(state))
            if (name, state) == (GATE_FAILURE_TASK, "SUCCEEDED"):
                done = REFUSED
    except KeyboardInterrupt:
        console.print("the run goes on; you have stopped waiting for it", style="yellow")
        return INTERRUPTED
    return {"SUCCEEDED": done, "CANCELED": INTERRUPTED}.get(state, FAILED)


@app.command()
def schedule(
    image: Annotated[str, typer.Option("--image", envvar="LABRAM_IMAGE", help="The image of all tasks.")] = "",
    file: Annotated[Path, typer.Option("--file", help="The declared schedules.")] = Path("k8s/schedules.yaml"),
    reconcile: Annotated[bool, typer.Option("--reconcile", help="Make the cluster match the file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    host: HOST = LOCALHOST,
    namespace: NAMESPACE = "",
) -> None:
    """Print the schedules of the cluster, or with --reconcile make them those of a file.

    A schedule that differs is deleted and made anew, because KFP cannot change one; one that matches is left alone.
    """
    from labram.cli.progress import console
    from labram.platform import schedules
    from labram.platform.kfp_client import KfpClient

    cluster = KfpClient(host, namespace)
    experiment = cluster.find_experiment(schedules.EXPERIMENT)
    present = cluster.recurring_runs(experiment) if experiment else []
    if not reconcile:
        for run in present:
            console.print(f"{run['display_name']}  {run['trigger']['cron_schedule']['cron']}  {run.get('status', '')}")
        return
    declared, wanted = schedules.read(file), []
    with TemporaryDirectory() as folder:
        for number, entry in enumerate(declared):
            package = _package(entry.pipeline, entry.recipe, list(entry.overrides), image, Path(folder, str(number)))
            package.check_parameters(entry.parameters)
            version = cluster.find_version(package) if dry_run else cluster.upload_version(package)
            wanted.append(schedules.body(entry, version, experiment or "", namespace))
    if not dry_run:
        experiment = cluster.get_or_create_experiment(schedules.EXPERIMENT)
        wanted = [{**body, "experiment_id": experiment} for body in wanted]
    changes = schedules.plan(wanted, present)
    if not dry_run:
        schedules.apply(changes, cluster)
    for change in changes:
        console.print(f"{'would ' if dry_run else ''}{change.action} {change.name}  {change.why}".rstrip())


def _package(name: str, recipe: str, override: list[str], image: str, folder: Path) -> "PipelinePackage":
    from labram.platform.kfp_client import PipelinePackage

    return PipelinePackage.from_file(compiled(name, recipe, override, image, folder), Path(recipe).stem)


def _parameters(given: list[str]) -> dict[str, object]:
    """``name=value`` texts, whose values are YAML.

    Raises:
        PlatformError: If one has no value.
    """
    import yaml

    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise PlatformError(f"{text!r} is not name=value", field="--parameter", remedy='Write --parameter gpus="4"')
        found[name] = yaml.safe_load(value)
    return found
