"""Run the demo on the cluster's services: ``python -m pipelines.services [OPTIONS OF labram run]``.

The corpus is pushed to a DVC remote by one clone and pulled from it by another, which runs the loop with its patches,
its artefacts and its models at addresses. Then it is looked where everything lies; the same command again has nothing
to do; and another machine, with nothing of all that, evaluates a champion.
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
from pipelines.launcher import ROOT_VARIABLE
from pipelines.services import proof
from pipelines.services.servers import database, do, object_store, tracking

HOME = Path(".labram", "services").absolute()
WORKSPACE, ELSEWHERE, CACHE = HOME / "workspace", HOME / "elsewhere", HOME / "cache"
LABRAM = str(Path(sys.executable).with_name("labram"))


def main(options: list[str]) -> None:
    """Start the services, run, and look; `options` are those of `labram run`.

    Raises:
        PlatformError: If a service does not start, a run ends with another exit code than 0, or something lies where
            it should not.
    """
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    objects, run = proof.Objects(), ("run", "--workspace", str(WORKSPACE), *options)
    with ExitStack() as services:
        address = _start(services, objects)
        clone = _clone_with_corpus()
        _labram(clone, *run)
        promoted = _look(objects, clone, address)
        before = objects.everything()
        _labram(clone, *run, expecting="nothing to do")
        if objects.everything() != before:
            raise proof.wrong("a run with nothing to do has changed objects")
        shutil.rmtree(CACHE)
        name = next(name for name in promoted if name not in (TOKENIZER, BACKBONE))
        scored = ("--data", "data", "--task", name.removeprefix(PREFIX), "--workspace", str(ELSEWHERE))
        _labram(clone, "evaluate", f"models:/{name}@champion", *scored)
        _say("elsewhere", proof.nothing_else_is_here(ELSEWHERE))


def _start(services: ExitStack, objects: proof.Objects) -> str:
    """Start all services, and name them in the environment; gives the address of PostgreSQL."""
    os.environ |= services.enter_context(object_store(HOME / "object-store.log"))
    for bucket in proof.BUCKETS:
        objects.make(bucket)
    address = services.enter_context(database())
    os.environ |= services.enter_context(tracking(address, f"s3://{proof.MODELS}", HOME / "mlflow.log"))
    os.environ |= {
        "LABRAM_STORE": f"s3://{proof.PATCHES}/v1",
        ROOT_VARIABLE: f"s3://{proof.ARTEFACTS}/runs",
        "LABRAM_SUBJECT_KEY": secrets.token_hex(16),
        "XDG_CACHE_HOME": str(CACHE),
    }
    _say("PostgreSQL", address.rpartition("@")[2])
    _say("object store", os.environ["AWS_ENDPOINT_URL"])
    _say("MLflow", os.environ["MLFLOW_TRACKING_URI"])
    return address


def _look(objects: proof.Objects, clone: Path, address: str) -> dict[str, str]:
    """Say where everything lies; gives the versions that were promoted, by the names of models.

    Raises:
        PlatformError: If something lies elsewhere, or nowhere.
    """
    promoted = {row["model"]: row["version"] for row in proof.result_of(WORKSPACE)["promotions"]}
    _say(proof.CORPUS, proof.corpus_is_in_the_remote(objects, clone))
    _say(proof.PATCHES, proof.patches_are_in_the_store(objects))
    _say(proof.ARTEFACTS, proof.artefacts_are_objects(objects, WORKSPACE))
    _say(proof.MODELS, proof.models_are_those_of_the_tasks(objects, len(promoted)))
    _say("PostgreSQL", proof.champions_are_in_the_database(address, promoted))
    _say("this machine", proof.nothing_else_is_here(WORKSPACE))
    return promoted


def _say(subject: str, found: str) -> None:
    console.print(f"{subject:<18}{found}", style="green", highlight=False, soft_wrap=True)


def _clone_with_corpus() -> Path:
    """A clone whose corpus came from a DVC remote in the object store, to which another clone has pushed it."""
    author, clone = HOME / "author", HOME / "clone"
    (author / ".dvc").mkdir(parents=True)
    for name in ("data.dvc", ".dvc/config", ".gitignore"):
        shutil.copyfile(name, author / name)
    git, dvc = ("git", "-c", "user.name=labram", "-c", "user.email=labram@localhost"), (sys.executable, "-m", "dvc")
    do(*git, "init", "--quiet", cwd=author)
    with Bar("obtaining data") as bar:
        dvc_versions.checkout(author / "data.dvc", bar)
    do(*dvc, "remote", "add", "--default", "storage", f"s3://{proof.CORPUS}/corpus", cwd=author)
    do(*git, "add", "--all", cwd=author)
    do(*git, "commit", "--quiet", "--message", "the corpus and its remote", cwd=author)
    do(*dvc, "push", cwd=author)
    do(*git, "clone", "--quiet", str(author), str(clone), cwd=HOME)
    shutil.rmtree(author)
    do(*dvc, "pull", cwd=clone)
    return clone


def _labram(folder: Path, *arguments: str, expecting: str = "") -> None:
    """Run a command of labram in a folder; what it prints is shown.

    Raises:
        PlatformError: If its exit code is not 0, or it does not print what is expected.
    """
    console.print(f"$ labram {' '.join(arguments)}", style="bold", highlight=False, soft_wrap=True)
    done = subprocess.run(
        [LABRAM, *arguments], cwd=folder, stdout=subprocess.PIPE if expecting else None, text=True, check=False
    )
    if expecting:
        console.print(done.stdout, highlight=False)
    if done.returncode or expecting not in (done.stdout or ""):
        raise proof.wrong(f"labram {arguments[0]} ended with exit code {done.returncode}, 0 was expected {expecting}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the services are ended however this one ends
    try:
        main(sys.argv[1:])
    except LabramError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
