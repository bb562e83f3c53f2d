"""`labram reproduce`: run an earlier run again and compare every artifact."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.exit_codes import DONE, ERROR, of_result
from labram.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from labram.cli.terminal import echo

if TYPE_CHECKING:
    from labram.platform.doctor.finding import Finding
    from labram.platform.reproduce.original import Original
    from labram.platform.reproduce.rerun import Rerun
    from labram.platform.reproduce.verdict import ArtifactVerdict


def reproduce(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Run, models:/NAME@ALIAS, models:/NAME/VERSION, or a commit.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Folder of the corpus. Default: the commit's data.dvc.")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Of a commit: name of the run's recipe.")] = "",
    into: Annotated[Path, typer.Option("--into", help="Folder for source, workspace and verdict.")] = Path(
        ".reproduce"
    ),
    repository: Annotated[Path, typer.Option("--repository", help="Clone that has the commit.")] = Path(),
    upto: Annotated[str, typer.Option("--upto", help="Stop after this step, such as pretrain.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check whether everything needed is here.")] = False,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Run an earlier run again, at its commit and from its lock file, and compare every artifact with the original.

    `--workspace` (or MLFLOW_TRACKING_URI) names the original's registry. The rerun has its own workspace in --into.
    Each artifact is *bit-equal*, *within tolerance* or *different*. A tolerance is granted only to another processor,
    platform or PyTorch, and the table says which; with the original's hardware, only equal bits are equal.

    Exit codes: 0 all artifacts are bit-equal, or, with --dry-run, nothing is missing; 1 error; 4 within tolerance;
    5 different.
    """
    from labram.platform.registry_connection import connect
    from labram.platform.reproduce import requirements
    from labram.platform.reproduce.original import copy_artifacts, find_original
    from labram.platform.reproduce.rerun import Rerun

    _require_step(upto)
    connect(workspace)
    original = find_original(source, workspace, recipe=recipe)
    findings = list(requirements.check(original, repository, data, ask_index=dry_run))
    _show_requirements(findings, quiet=json)
    if any(finding.state == "error" for finding in findings):
        raise typer.Exit(ERROR)
    if dry_run:
        raise typer.Exit(DONE)
    rerun = Rerun((into / original.run.name).absolute(), repository.absolute())
    copies = copy_artifacts(original, rerun.originals)
    _run_again(rerun, original, data, upto, quiet=json)
    verdicts = _verdicts(rerun, original, copies, partly=bool(upto))
    raise typer.Exit(_conclude(rerun, verdicts, requirements.reasons_for_tolerance(original), json=json))


def _require_step(upto: str) -> None:
    from labram.errors import PlatformError
    from labram.steps.table import STEPS

    if upto and upto not in STEPS:
        raise PlatformError(f"there is no step {upto!r}", field="--upto", remedy=f"Choose one of: {', '.join(STEPS)}")


def _show_requirements(findings: "list[Finding]", *, quiet: bool) -> None:
    from labram.cli.doctor import SIGNS
    from labram.cli.progress import console

    for finding in findings:
        if quiet and finding.state != "error":
            continue
        sign, style = SIGNS[finding.state]
        text = f"{sign} {finding.subject}: {finding.detail}"
        echo(f"{text}. {finding.remedy}", err=True) if quiet else console.print(text, style=style, soft_wrap=True)
        if finding.remedy and not quiet:
            console.print(f"      {finding.remedy}", soft_wrap=True)


def _run_again(rerun: "Rerun", original: "Original", data: Path | None, upto: str, *, quiet: bool) -> None:
    from labram.cli.progress import StepDisplay, console
    from labram.platform.reproduce import requirements

    rerun.check_out(original)
    python = rerun.python(reuse=requirements.same_environment(original, rerun.repository))
    if quiet:
        rerun.run(original, python, data=data, upto=upto, show=lambda _: None)
        return
    console.print(f"rerun of {original.run.name} in {rerun.folder}", soft_wrap=True)
    with StepDisplay() as display:
        rerun.run(original, python, data=data, upto=upto, show=display.show)


def _verdicts(
    rerun: "Rerun", original: "Original", copies: dict[str, Path], *, partly: bool
) -> "list[ArtifactVerdict]":
    from labram.platform.reproduce.verdict import compare_folders, merged

    found: list[ArtifactVerdict] = []
    again = rerun.models()
    for name, folder in copies.items():
        if partly and name not in again:
            continue
        with merged(again.get(name, [])) as files:
            found += compare_folders(name, folder, files, same_key=original.subject_key is not None, partly=partly)
    return found


def _conclude(rerun: "Rerun", verdicts: "list[ArtifactVerdict]", reasons: list[str], *, json: bool) -> int:
    """Write and show the verdict; return the exit code."""
    from json import dumps

    from labram.cli.progress import console
    from labram.cli.tables import new_table
    from labram.platform.reproduce.verdict import summary

    content = summary(verdicts, reasons)
    (rerun.folder / "verdict.json").write_text(dumps(content, indent=1), encoding="utf-8")
    if json:
        echo(dumps(content))
    else:
        table = new_table("artifact", "verdict", "first difference", whole=("verdict",))
        for row in content["artifacts"]:
            table.add_row(row["artifact"], row["equality"], row["detail"])
        console.print(table)
        because = f" ({'; '.join(reasons)})" if reasons else ""
        console.print(f"verdict: {content['verdict']}{because}", soft_wrap=True)
    return of_result(content["verdict"])
