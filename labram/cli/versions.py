"""`labram corpus add`, `version`, `diff` and `pull`: versions of a corpus, kept by DVC beside git."""

import json as text
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labram.errors import CorpusError

_WORDS = {
    "clean": "the tree is clean: data and data.dvc are those of the commit",
    "changed": "data differ from data.dvc: run `labram corpus add data` to make a version of them",
    "uncommitted": "data.dvc differs from the commit: commit it with git",
    "absent": "data are not here: run `labram corpus pull`",
}
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def add(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a dataset or of recordings.")]) -> None:
    """Copy recordings into ./data and record the new version in ./data.dvc.

    Files of the same name are replaced, none is removed; `add data` records what was changed there by hand.
    """
    from labram.cli.progress import Bar, console
    from labram.corpus import dvc_versions

    with Bar("adding") as bar:
        version = dvc_versions.add(folder, Path.cwd(), bar)
    console.print(f"corpus version {version}")
    console.print("next: git add data.dvc .gitignore && git commit, and dvc push if there is a remote")


def version(json: JsonOption = False) -> None:
    """Print the corpus version of the last commit, and whether the data are just that. Exit codes: 0 yes, 3 no."""
    from labram.cli.progress import console
    from labram.corpus import dvc_versions

    committed, state = dvc_versions.committed_version(Path.cwd()), dvc_versions.status(Path.cwd())
    if json:
        typer.echo(text.dumps({"version": committed, "state": state, "clean": state == "clean"}))
    else:
        console.print(committed)
        console.print(_WORDS[state], style="green" if state == "clean" else "yellow")
    raise typer.Exit(0 if state == "clean" else 3)


def diff(
    old: Annotated[str, typer.Argument(metavar="REV1", help="Commit, tag or branch.")],
    new: Annotated[str, typer.Argument(metavar="REV2", help="Commit, tag or branch.")] = "HEAD",
    json: JsonOption = False,
) -> None:
    """Name the recordings that were added, removed and changed between two commits."""
    from labram.cli.progress import console
    from labram.corpus.dvc_versions import file_hashes
    from labram.corpus.version_diff import diff_versions

    found = diff_versions(file_hashes(Path.cwd(), old), file_hashes(Path.cwd(), new))
    if json:
        typer.echo(text.dumps(asdict(found)))
        return
    for sign, style, names in (
        ("+", "green", found.added),
        ("-", "red", found.removed),
        ("~", "yellow", found.changed),
    ):
        for name in names:
            console.print(f"{sign} {name}", style=style, soft_wrap=True)
    console.print(
        f"{len(found.added)} recordings added, {len(found.removed)} removed, {len(found.changed)} changed; "
        f"{len(found.others)} other files differ"
    )


def pull(
    rev: Annotated[str | None, typer.Option("--rev", help="Commit, tag or branch; default: what is here.")] = None,
    repo: Annotated[
        str | None, typer.Option("--repo", help="URL of the git repository; no working copy is needed then.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the recordings.")] = Path("data"),
) -> None:
    """Bring the corpus of a commit here: exactly its files, compared with its version.

    Without --rev and --repo it is the corpus that ./data.dvc records. Files that no version has are never replaced.
    """
    from labram.cli.progress import Bar, console
    from labram.corpus import dvc_versions

    with Bar("obtaining data") as bar:
        if rev is None and repo is None and out == Path(dvc_versions.DATA):
            pointer = Path(dvc_versions.POINTER).absolute()
            if not pointer.is_file():
                raise CorpusError("there is no data.dvc here", file=Path.cwd(), remedy="Name a repository with --repo")
            dvc_versions.checkout(pointer, bar)
            version = dvc_versions.recorded_version(pointer)
        else:
            version = dvc_versions.pull(out.absolute(), repository=repo or str(Path.cwd()), rev=rev)
    console.print(f"corpus version {version}")
