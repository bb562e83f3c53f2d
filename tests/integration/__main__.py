"""Run the demo on the cluster's services: ``python -m tests.integration [OPTIONS OF labram run]``.

One clone pushes the corpus to a DVC remote. Another pulls it and runs the pipeline with patches, artifacts and models
at addresses. Then it is checked where everything is stored, that the same command finds nothing changed, and that an
empty workspace can evaluate a champion.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from labram.cli.exit_codes import INTERRUPTED
from labram.cli.progress import Bar, console
from labram.corpus import dvc_versions
from labram.errors import LabramError
from labram.registry.model_registry import BACKBONE, PREFIX, TOKENIZER
from tests.integration import storage_checks as checks
from tests.integration.bucket_artifacts import ROOT_VARIABLE
from tests.integration.servers import database, do, object_store, tracking

HOME = Path(".labram", "services").absolute()
WORKSPACE, ELSEWHERE, CACHE = HOME / "workspace", HOME / "elsewhere", HOME / "cache"
LABRAM = (sys.executable, "-m", "tests.integration.labram_command")
ROOT = Path(__file__).parents[2]


def main(options: list[str]) -> None:
    """Start the services, run, and check the storage; `options` are those of `labram run`.

    Raises:
        PlatformError: If a service does not start, a command fails, or something is stored in the wrong place.
    """
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    objects, run = checks.Objects(), ("run", "--workspace", str(WORKSPACE), *options)
    with ExitStack() as services:
        address = _start(services, objects)
        clone = _clone_with_corpus()
        _labram(clone, *run)
        promoted = _check_storage(objects, clone, address)
        before = objects.everything()
        _labram(clone, *run, expecting="unchanged")
        if objects.everything() != before:
            raise checks.failure("an unchanged run has changed objects")
        shutil.rmtree(CACHE)
        name = next(name for name in promoted if name not in (TOKENIZER, BACKBONE))
        scored = ("--data", "data", "--task", name.removeprefix(PREFIX), "--workspace", str(ELSEWHERE))
        _labram(clone, "evaluate", f"models:/{name}@champion", *scored)
        _show("elsewhere", checks.nothing_else_is_here(ELSEWHERE))


def _start(services: ExitStack, objects: checks.Objects) -> str:
    """Start all services and set their environment variables; return the address of PostgreSQL."""
    os.environ |= services.enter_context(object_store(HOME / "object-store.log"))
    for bucket in checks.BUCKETS:
        objects.create_bucket(bucket)
    address = services.enter_context(database())
    os.environ |= services.enter_context(tracking(address, f"s3://{checks.MODELS}", HOME / "mlflow.log"))
    os.environ |= {
        "LABRAM_STORE": f"s3://{checks.PATCHES}/v1",
        ROOT_VARIABLE: f"s3://{checks.ARTIFACTS}/runs",
        "LABRAM_SUBJECT_KEY": secrets.token_hex(16),
        "XDG_CACHE_HOME": str(CACHE),
    }
    _show("PostgreSQL", address.rpartition("@")[2])
    _show("object store", os.environ["AWS_ENDPOINT_URL"])
    _show("MLflow", os.environ["MLFLOW_TRACKING_URI"])
    return address


def _check_storage(objects: checks.Objects, clone: Path, address: str) -> dict[str, str]:
    """Check and print where everything is stored; return the promoted versions by model name.

    Raises:
        PlatformError: If something is missing or stored elsewhere.
    """
    promoted = {row["model"]: row["version"] for row in checks.result_of(WORKSPACE)["promotions"]}
    _show(checks.CORPUS, checks.corpus_is_in_the_remote(objects, clone))
    _show(checks.PATCHES, checks.patches_are_in_the_store(objects))
    _show(checks.ARTIFACTS, checks.artifacts_are_objects(objects, WORKSPACE))
    _show(checks.MODELS, checks.models_are_those_of_the_tasks(objects, len(promoted)))
    _show("PostgreSQL", checks.champions_are_in_the_database(address, promoted))
    _show("this machine", checks.nothing_else_is_here(WORKSPACE))
    return promoted


def _show(subject: str, text: str) -> None:
    console.print(f"{subject:<18}{text}", style="green", highlight=False, soft_wrap=True)


def _clone_with_corpus() -> Path:
    """Return a clone whose corpus was pulled from a DVC remote in the object store."""
    author, clone = HOME / "author", HOME / "clone"
    (author / ".dvc").mkdir(parents=True)
    for name in ("data.dvc", ".dvc/config", ".gitignore"):
        shutil.copyfile(name, author / name)
    git, dvc = ("git", "-c", "user.name=labram", "-c", "user.email=labram@localhost"), (sys.executable, "-m", "dvc")
    do(*git, "init", "--quiet", cwd=author)
    with Bar("obtaining data") as bar:
        dvc_versions.checkout(author / "data.dvc", bar)
    do(*dvc, "remote", "add", "--default", "storage", f"s3://{checks.CORPUS}/corpus", cwd=author)
    do(*git, "add", "--all", cwd=author)
    do(*git, "commit", "--quiet", "--message", "the corpus and its remote", cwd=author)
    do(*dvc, "push", cwd=author)
    do(*git, "clone", "--quiet", str(author), str(clone), cwd=HOME)
    shutil.rmtree(author)
    do(*dvc, "pull", cwd=clone)
    return clone


def _labram(folder: Path, *arguments: str, expecting: str = "") -> None:
    """Run a `labram` command in a folder; show its output.

    Raises:
        PlatformError: If its exit code is not 0, or its output lacks the expected text.
    """
    console.print(f"$ labram {' '.join(arguments)}", style="bold", highlight=False, soft_wrap=True)
    done = subprocess.run(
        [*LABRAM, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE if expecting else None,
        text=True,
        check=False,
    )
    if expecting:
        console.print(done.stdout, highlight=False)
    if done.returncode or expecting not in (done.stdout or ""):
        raise checks.failure(f"labram {arguments[0]}: expected exit code 0 {expecting!r}, got {done.returncode}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the services end with this process
    try:
        main(sys.argv[1:])
    except LabramError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
