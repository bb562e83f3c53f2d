"""`labram corpus add`, `version`, `diff` and `pull`: corpus versions with DVC."""

import json as text
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labram.cli.exit_codes import DIFFERS, DONE
from labram.cli.options import JsonOption
from labram.cli.terminal import echo
from labram.errors import CorpusError
from labram.printable import one_line

_WORDS = {
    "clean": "clean: data and data.dvc match the commit",
    "changed": "data differ from data.dvc: run `labram corpus add data` to record a new version",
    "uncommitted": "data.dvc differs from the commit: commit it with git",
    "absent": "data are absent: run `labram corpus pull`",
}


def add(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a dataset or of recordings.")],
) -> None:
    """Copy a folder of recordings into ./data and record the new corpus version in ./data.dvc.

    Files of the same name are replaced; no file is removed. `labram corpus add data` records manual changes in ./data.
    A link that leads out of the folder is an error.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import Bar, console
    from labram.corpus import dvc_versions

    with Bar("adding") as bar:
        version = dvc_versions.add(folder, Path.cwd(), bar)
    console.print(f"corpus version {version}")
    console.print("next: git add data.dvc .gitignore && git commit; with a DVC remote also dvc push")


def version(json: JsonOption = False) -> None:
    """Print the corpus version of the last commit, and whether the data match it.

    Exit codes: 0 they match; 1 error; 3 the data or data.dvc differ from the commit.
    """
    from labram.cli.progress import console
    from labram.corpus import dvc_versions

    committed, state = dvc_versions.committed_version(Path.cwd()), dvc_versions.status(Path.cwd())
    if json:
        echo(text.dumps({"version": committed, "state": state, "clean": state == "clean"}))
    else:
        console.print(committed)
        console.print(_WORDS[state], style="green" if state == "clean" else "yellow")
    raise typer.Exit(DONE if state == "clean" else DIFFERS)


def diff(
    old: Annotated[str, typer.Argument(metavar="REV1", help="Commit, tag or branch.")],
    new: Annotated[str, typer.Argument(metavar="REV2", help="Commit, tag or branch.")] = "HEAD",
    json: JsonOption = False,
) -> None:
    """List the recordings added, removed and changed between two commits.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import console
    from labram.corpus.dvc_versions import file_hashes
    from labram.corpus.version_diff import diff_versions

    changes = diff_versions(file_hashes(Path.cwd(), old), file_hashes(Path.cwd(), new))
    if json:
        echo(text.dumps(asdict(changes)))
        return
    for sign, style, names in (
        ("+", "green", changes.added),
        ("-", "red", changes.removed),
        ("~", "yellow", changes.changed),
    ):
        for name in names:
            console.print(f"{sign} {one_line(name)}", style=style, soft_wrap=True)
    console.print(
        f"{len(changes.added)} recordings added, {len(changes.removed)} removed, {len(changes.changed)} changed; "
        f"{len(changes.others)} other files differ"
    )


def pull(
    rev: Annotated[
        str | None, typer.Option("--rev", help="Commit, tag or branch. Default: the ./data.dvc of the working tree.")
    ] = None,
    repo: Annotated[
        str | None, typer.Option("--repo", help="URL of the git repository, if the current folder is not a clone.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Output folder.")] = Path("data"),
) -> None:
    """Fetch the corpus of a commit from the DVC cache or remote, and verify its files against the corpus version.

    Without --rev and --repo it fetches the corpus that ./data.dvc records. Files that are in no commit are never
    overwritten.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import Bar, console
    from labram.corpus import dvc_versions

    with Bar("fetching data") as bar:
        if rev is None and repo is None and out == Path(dvc_versions.DATA):
            pointer = Path(dvc_versions.POINTER).absolute()
            if not pointer.is_file():
                raise CorpusError("data.dvc not found", file=Path.cwd(), remedy="Give a repository with --repo")
            dvc_versions.checkout(pointer, bar)
            version = dvc_versions.recorded_version(pointer)
        else:
            version = dvc_versions.pull(out.absolute(), repository=repo or str(Path.cwd()), rev=rev)
    console.print(f"corpus version {version}")
