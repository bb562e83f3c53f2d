"""Run the demo on the cluster's services: ``python -m pipelines.services [OPTIONS OF labram run]``.

The corpus is pushed to a DVC remote by one clone and pulled from it by another, which runs the loop with its patches,
its artefacts and its models at addresses. Then it is looked where everything lies; the same command again has nothing
to do; and another machine, with nothing of all that, evaluates a champion.
"""

import os
import secrets
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from labram.cli.progress import Bar, console
from labram.corpus import versions
from labram.errors import LabramError
from labram.operations.registry import BACKBONE, PREFIX, TOKENIZER
from pipelines.launcher import ROOT_VARIABLE
from pipelines.services import proof
from pipelines.services.servers import database, do, object_store, tracking

HOME = Path(".labram", "services").absolute()
LABRAM = str(Path(sys.executable).with_name("labram"))


def main(options: list[str]) -> None:
    """Start the services, run, and look; `options` are those of `labram run`.

    Raises:
        PlatformError: If a service does not start, a run ends with another exit code than 0, or something lies where
            it should not.
    """
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    objects, workspace = proof.Objects(), HOME / "workspace"
    with ExitStack() as services:
        os.environ |= services.enter_context(object_store(HOME / "object-store.log"))
        for bucket in proof.BUCKETS:
            objects.make(bucket)
        address = services.enter_context(database())
        os.environ |= services.enter_context(tracking(address, f"s3://{proof.MODELS}", HOME / "mlflow.log"))
        os.environ |= {
            "LABRAM_STORE": f"s3://{proof.PATCHES}/v1",
            ROOT_VARIABLE: f"s3://{proof.ARTEFACTS}/runs",
            "LABRAM_SUBJECT_KEY": secrets.token_hex(16),
            "XDG_CACHE_HOME": str(HOME / "cache"),
        }
        _say("PostgreSQL", address.rpartition("@")[2])
        _say("object store", os.environ["AWS_ENDPOINT_URL"])
        _say("MLflow", os.environ["MLFLOW_TRACKING_URI"])
        clone = _clone_with_corpus()
        run = ("run", "--workspace", str(workspace), *options)
        _labram(clone, *run)
        promoted = {row["model"]: row["version"] for row in proof.result_of(workspace)["promotions"]}
        _say(proof.CORPUS, proof.corpus_is_in_the_remote(objects, clone))
        _say(proof.PATCHES, proof.patches_are_in_the_store(objects))
        _say(proof.ARTEFACTS, proof.artefacts_are_objects(objects, workspace))
        _say(proof.MODELS, proof.models_are_those_of_the_tasks(objects, len(promoted)))
        _say("PostgreSQL", proof.champions_are_in_the_database(address, promoted))
        _say("this machine", proof.nothing_else_is_here(workspace))
        before = objects.everything()
        _labram(clone, *run, expecting="nothing to do")
        if objects.everything() != before:
            raise proof.wrong("a run with nothing to do has changed objects")
        shutil.rmtree(HOME / "cache")
        name = next(name for name in promoted if name not in (TOKENIZER, BACKBONE))
        task = name.removeprefix(PREFIX)
        _labram(
            clone,
            "evaluate",
            f"models:/{name}@champion",
            "--data",
            "data",
            "--task",
            task,
            "--workspace",
            str(HOME / "another machine"),
        )


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
        versions.obtain(author / "data.dvc", bar)
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
    try:
        main(sys.argv[1:])
    except LabramError as error:
        sys.exit(f"error: {error}")
