"""`labram pipeline`: compile pipelines for Kubeflow Pipelines; submit and schedule them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.options import OverrideOption, RecipeOption
from labram.cli.terminal import echo
from labram.errors import PlatformError

if TYPE_CHECKING:
    from labram.platform.kfp_client import PipelinePackage

app = typer.Typer(help="Compile pipelines for Kubeflow Pipelines; submit and schedule them.", no_args_is_help=True)
NAME = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="Pipeline: retrain, pretrain_only, adapt, study or reproduce.")
]
IMAGE = Annotated[
    str, typer.Option("--image", envvar="LABRAM_IMAGE", help="Image of all tasks, by digest or by commit tag.")
]
PARAMETER = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", help="Pipeline parameter: name=value, the value in YAML. Repeatable."),
]
HOST = Annotated[
    str, typer.Option("--host", envvar="KF_PIPELINES_ENDPOINT", help="Address of the Kubeflow Pipelines API.")
]
NAMESPACE = Annotated[
    str,
    typer.Option(
        "--namespace", envvar="LABRAM_NAMESPACE", help="Namespace of the runs, if Kubeflow Pipelines is multi-user."
    ),
]
SIZES = Annotated[
    str,
    typer.Option(
        "--sizes", envvar="LABRAM_SIZES", help="CPU, memory and GPUs of all steps: standard, small, or a YAML file."
    ),
]
LOCALHOST = "http://localhost:8888"
EXPERIMENT = "labram"
"""KFP experiment of submitted runs."""


@app.command("compile")
def compile_(
    image: IMAGE,
    out: Annotated[Path, typer.Option("--out", help="Output folder.")],
    name: NAME = "retrain",
    recipe: RecipeOption = "demo",
    override: OverrideOption = None,
    sizes: SIZES = "",
) -> None:
    """Compile a pipeline to one IR YAML file, with the recipe as default value of its parameters.

    The output is deterministic: the same source, recipe and image produce the same bytes.

    Exit codes: 0 done; 1 error.
    """
    echo(compiled(name, recipe, override or [], image, out, sizes))


def compiled(
    name: str, recipe: str, override: list[str], image: str, out: Path, sizes: str = "", **arguments: str
) -> Path:
    """Compile a pipeline in a new process and return the path of the IR file.

    Components read their image from `LABRAM_IMAGE` when they are imported, hence the process.

    Raises:
        typer.Exit: If compilation failed; the process has printed the error.
    """
    from labram import recipe as recipes

    request: dict[str, object] = {
        "pipeline": name,
        "recipe": recipes.load(recipe, override).to_json(),
        "out": str(out.absolute()),
    }
    request["arguments"] = arguments
    process = subprocess.run(
        [sys.executable, "-m", "pipelines.compile", json.dumps(request)],
        env={**os.environ, "LABRAM_IMAGE": image, "LABRAM_SIZES": sizes, "PYTHONIOENCODING": "utf-8:surrogateescape"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    if process.returncode:
        raise typer.Exit(process.returncode)
    return Path(process.stdout.strip())


@app.command()
def submit(
    image: IMAGE = "",
    name: NAME = "retrain",
    recipe: RecipeOption = "demo",
    override: OverrideOption = None,
    parameter: PARAMETER = None,
    sizes: SIZES = "",
    account: Annotated[
        str, typer.Option("--account", help="Kubernetes service account of the run's pods.")
    ] = "labram-task",
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Print steps, progress and pending pods until the run ends; then its outcome."),
    ] = False,
    host: HOST = LOCALHOST,
    namespace: NAMESPACE = "",
) -> None:
    """Compile a pipeline, upload it as a version named after recipe and commit, and start a run on the cluster.

    `reproduce` with `-p run=RUN` runs a `retrain` again, with the original's recipe and image, which are read from
    MLflow. This clone must be at its commit. Its exit codes with --wait: 0 bit-equal; 4 within tolerance; 5 different.

    With --wait, steps and outcome are read from MLflow: set MLFLOW_TRACKING_URI and the account.

    Exit codes with --wait: 0 promoted; 1 error; 3 not promoted, because at least one model failed a gate; 130 canceled,
    or you stopped waiting. An unchanged run repeats the exit code of the last one. Without --wait: 0 started; 1 error.
    """
    from labram.cli import run_status
    from labram.cli.progress import console
    from labram.platform import run_records
    from labram.platform.kfp_client import KfpClient
    from labram.platform.reproduce import submission

    if not image and name != submission.PIPELINE:
        raise PlatformError(
            "no image is named", field="--image", remedy="Set it, or LABRAM_IMAGE, as NAME@sha256:DIGEST"
        )
    cluster, parameters = KfpClient.connect(host, namespace), _parameters(parameter or [])
    if wait or name == submission.PIPELINE:
        run_records.connect()  # before anything is started
    with TemporaryDirectory() as folder:
        if name == submission.PIPELINE:
            package = _reproduction(parameters, image, override or [], Path(folder), sizes)
        else:
            package = _package(name, recipe, override or [], image, Path(folder), sizes)
        package.check_parameters(parameters)
        version = cluster.upload_version(package)
    run = cluster.create_run(
        package.version, version, parameters, experiment=cluster.get_or_create_experiment(EXPERIMENT), account=account
    )
    console.print(f"version {package.version} of {name}")
    console.print(f"run     {cluster.host}/#/runs/details/{run}", soft_wrap=True)
    if wait:
        raise typer.Exit(run_status.follow(cluster, run))
    console.print(f"next    labram pipeline runs {run} --wait", soft_wrap=True)


@app.command()
def runs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id. Default: a table of the newest runs.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Print the changes of RUN until it ends.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Retry those runs of the table that the cluster ended, not a step.")
    ] = False,
    count: Annotated[int, typer.Option("--count", min=1, help="Number of runs in the table.")] = 20,
    host: HOST = LOCALHOST,
    namespace: NAMESPACE = "",
) -> None:
    """Show runs on the cluster: steps, progress, what is pending and why, outcome, and the reason of a failure.

    Steps and outcome are read from MLflow, so that they outlive the run's workflow. A run that was killed or deleted
    is ended in MLflow, with the reason. --wait and --retry retry a run whose pods were deleted, evicted, killed or out
    of memory, up to eight times; a step that failed by itself is not retried.

    Exit codes without RUN or while it runs: 0 done; 1 error. Of a RUN that has ended: those of `submit --wait`.
    """
    from labram.cli import run_status
    from labram.platform import run_records, schedules
    from labram.platform.kfp_client import KfpClient

    run_records.connect()
    cluster = KfpClient.connect(host, namespace)
    if not run:
        run_status.show_runs(cluster, [EXPERIMENT, schedules.EXPERIMENT], count, retry=retry)
        return
    raise typer.Exit(run_status.follow(cluster, run) if wait else run_status.show_run(cluster, run))


@app.command()
def schedule(
    image: Annotated[str, typer.Option("--image", envvar="LABRAM_IMAGE", help="Image of all tasks.")] = "",
    file: Annotated[Path, typer.Option("--file", help="File with the declared schedules.")] = Path(
        "k8s/schedules.yaml"
    ),
    reconcile: Annotated[
        bool,
        typer.Option("--reconcile", help="Create, replace and delete schedules until the cluster matches the file."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the changes without making them.")] = False,
    host: HOST = LOCALHOST,
    namespace: NAMESPACE = "",
) -> None:
    """List the recurring runs of the cluster with the outcome of their last run, or with --reconcile change them.

    Outcomes and reasons are read from MLflow: set MLFLOW_TRACKING_URI and the account.
    With --reconcile, the recurring runs are made to match a file.

    A recurring run that differs is deleted and created again, because KFP cannot update one. A matching one is kept.
    While a run of a schedule is under way, its schedule is only disabled: the next --reconcile after its end deletes
    it.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli import run_status
    from labram.cli.progress import console
    from labram.platform import run_records, schedules
    from labram.platform.kfp_client import KfpClient

    cluster = KfpClient.connect(host, namespace)
    experiment = cluster.find_experiment(schedules.EXPERIMENT)
    present = cluster.recurring_runs(experiment) if experiment else []
    if not reconcile:
        outcomes = bool(present) and os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http")
        if outcomes:
            run_records.connect()
        run_status.show_schedules(cluster, experiment, present, outcomes=outcomes)
        return
    declared, wanted = schedules.read(file), []
    with TemporaryDirectory() as folder:
        for number, entry in enumerate(declared):
            place = Path(folder, str(number))
            package = _package(entry.pipeline, entry.recipe, list(entry.overrides), image, place, entry.sizes)
            package.check_parameters(entry.parameters)
            version = cluster.find_version(package) if dry_run else cluster.upload_version(package)
            wanted.append(schedules.body(entry, version, experiment or "", cluster.namespace))
    if not dry_run:
        experiment = cluster.get_or_create_experiment(schedules.EXPERIMENT)
        wanted = [{**body, "experiment_id": experiment} for body in wanted]
    changes = schedules.plan(wanted, present)
    if dry_run:
        changes = [schedules.spare_active(change, cluster) for change in changes]
    else:
        changes = schedules.apply(changes, cluster)
    for change in changes:
        line = f"{'would ' if dry_run else ''}{change.action} {change.name}  {change.why}".rstrip()
        console.print(line, soft_wrap=True)


def _package(name: str, recipe: str, override: list[str], image: str, folder: Path, sizes: str) -> "PipelinePackage":
    from labram.platform.kfp_client import PipelinePackage

    return PipelinePackage.from_file(compiled(name, recipe, override, image, folder, sizes), Path(recipe).stem)


def _reproduction(
    parameters: dict[str, object], image: str, override: list[str], folder: Path, sizes: str
) -> "PipelinePackage":
    """Compile the pipeline `reproduce` for the original that the parameters name, and name it there.

    Raises:
        PlatformError: If the recipe is to be another.
        RegistryError: See `labram.platform.reproduce.submission.of_run`.
    """
    from labram.platform.kfp_client import PipelinePackage
    from labram.platform.reproduce import submission

    if override:
        raise PlatformError("a reproduction has the original's recipe", field="--set", remedy="Leave it out")
    found = submission.of_run(str(parameters.get(submission.RUN, "")), image)
    parameters[submission.RUN] = found.run
    recipe = folder / "recipe.yaml"
    recipe.write_text(found.recipe, encoding="utf-8")
    path = compiled(submission.PIPELINE, str(recipe), [], found.image, folder, sizes, run=found.run)
    return PipelinePackage.from_file(path, found.run)


def _parameters(assignments: list[str]) -> dict[str, object]:
    """Parse ``name=value`` texts, whose values are YAML.

    Raises:
        PlatformError: If a text has no ``=``.
    """
    import yaml

    parameters = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise PlatformError(
                f"expected name=value, got {text!r}", field="--parameter", remedy='Write --parameter gpus="4"'
            )
        parameters[name] = yaml.safe_load(value)
    return parameters
