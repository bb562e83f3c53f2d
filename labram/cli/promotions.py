"""Commands of `labram models` that move aliases, and the audit log of all moves."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli.exit_codes import DONE, ERROR
from labram.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from labram.cli.terminal import echo

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Registered model, such as labram-workload.")]
SignedArgument = Annotated[str, typer.Argument(metavar="MODEL", help="NAME, NAME@ALIAS or NAME/VERSION.")]
VersionOption = Annotated[str, typer.Option("--to", help="Version, such as 3.")]
WhyOption = Annotated[str, typer.Option("--why", help="Reason, stored with the version and in the audit log.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `labram models`."""
    for command in (promote, approve, reject, rollback, audit, prune, sign, verify):
        app.command()(command)


def promote(
    name: NameArgument,
    to: VersionOption,
    why: WhyOption = "",
    override: Annotated[
        str, typer.Option("--override", help="Reason to promote it although its gates failed or are out of date.")
    ] = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Make a version the champion by hand.

    Without --override, only a version whose gates passed against today's champion is promoted.

    Exit codes: 0 done; 1 error, such as a failed gate without --override.
    """
    from labram.platform.registry_connection import connect
    from labram.registry.promotion import promote_version

    connect(workspace)
    echo(promote_version(name, to, why=why, override=override))


def approve(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Registered model. Default: all with the tag approval: approved.")
    ] = "",
    to: Annotated[str | None, typer.Option("--to", help="Version. Default: the challenger.")] = None,
    why: WhyOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Approve a challenger of a recipe with `gates.approval: required`, and promote it.

    Somebody without this command sets the version's tag `approval` to `approved` in MLflow; `labram models approve`
    without a name then promotes it, as the next pipeline run does.

    Exit codes: 0 done; 1 error, such as a version that does not await approval.
    """
    from labram.platform.registry_connection import connect
    from labram.registry.promotion import apply_approvals
    from labram.registry.promotion import approve as approve_one

    connect(workspace)
    for sentence in [approve_one(name, version=to, why=why)] if name else apply_approvals():
        echo(sentence)


def reject(
    name: NameArgument,
    to: VersionOption,
    why: Annotated[str, typer.Option("--why", help="Reason, stored with the version and in the audit log.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Reject a version: it stops being the challenger.

    Exit codes: 0 done; 1 error, such as the champion.
    """
    from labram.platform.registry_connection import connect
    from labram.registry.promotion import reject as reject_one

    connect(workspace)
    echo(reject_one(name, to, why=why))


def rollback(
    name: NameArgument,
    to: Annotated[str | None, typer.Option("--to", help="Earlier champion. Default: the previous one.")] = None,
    why: WhyOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Make an earlier champion the champion again.

    Exit codes: 0 done; 1 error, such as a model without earlier champion.
    """
    from labram.platform.registry_connection import connect
    from labram.registry.promotion import rollback as roll_back

    connect(workspace)
    echo(roll_back(name, to=to, why=why))


def audit(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Registered model. Default: all.")] = "",
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Show every move of an alias, in order: when, what, by whom and why; check that no entry is missing or edited.

    Exit codes: 0 done; 1 error, such as a missing entry.
    """
    from labram.cli.progress import console
    from labram.cli.tables import new_table
    from labram.platform.registry_connection import connect
    from labram.registry import audit as log

    connect(workspace)
    entries, problems = log.read(name or None), log.check()
    if json:
        from json import dumps

        rows = [logged.entry.model_dump(mode="json") | {"finished": logged.finished} for logged in entries]
        echo(dumps({"entries": rows, "problems": problems}))
    else:
        table = new_table(
            "", "when (UTC)", "what", "model", "version", "before", "by", "gates", "why", whole=("", "what", "model")
        )
        for logged in entries:
            entry = logged.entry
            what = (
                entry.action + (" (override)" if entry.override else "") + ("" if logged.finished else " (unfinished)")
            )
            before = entry.previous or "–"
            when = entry.at[:16].replace("T", " ")
            moved = (when, what, entry.model, entry.version, before, entry.actor, entry.gates, entry.why)
            table.add_row(str(entry.number), *moved)
        console.print(table)
        for problem in problems:
            console.print(f"audit log: {problem}", style="red")
    raise typer.Exit(ERROR if problems else DONE)


def prune(
    keep: Annotated[int, typer.Option("--keep", min=0, help="Newest versions of each model to keep in any case.")] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Delete versions that nothing needs.

    Kept are versions with an alias, versions that await approval, of a run that is running or being reproduced, or with
    the tag `keep`, and everything that a kept version was made from. `mlflow gc` then frees the space.

    Exit codes: 0 done; 1 error.
    """
    from labram.cli.progress import console
    from labram.platform.registry_connection import connect
    from labram.registry import prune as pruning

    connect(workspace)
    found = pruning.plan(keep)
    for uri, reason in sorted(found.kept.items()):
        console.print(f"kept     {uri}: {reason}", soft_wrap=True)
    for version in found.deleted:
        console.print(f"{'would delete' if dry_run else 'deleted'}  {version.uri}", style="yellow", soft_wrap=True)
    if not dry_run:
        pruning.apply(found)


def sign(
    model: SignedArgument,
    key: Annotated[Path, typer.Option("--key", envvar="LABRAM_SIGNING_KEY", help="Private key, PEM.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Sign a version: its files, its code, and a statement of its origin, gates and scores.

    Needs the packages of `pip install 'labram[signing]'`.

    Exit codes: 0 done; 1 error.
    """
    from labram.platform.registry_connection import connect
    from labram.registry import model_registry, signing

    connect(workspace)
    version = model_registry.find_model(model)
    signing.sign(version, key)
    echo(f"{version.uri} is signed")


def verify(
    model: SignedArgument,
    key: Annotated[Path, typer.Option("--key", envvar="LABRAM_PUBLIC_KEY", help="Public key, PEM.")],
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Verify the signature of a version; `--json` prints the signed statement.

    Exit codes: 0 signed with this key, and unchanged; 1 error, such as a changed file or another key.
    """
    from labram.platform.registry_connection import connect
    from labram.registry import model_registry, signing

    connect(workspace)
    version = model_registry.find_model(model)
    stated = signing.verify(version, key)
    if json:
        from json import dumps

        echo(dumps(stated))
    else:
        echo(f"{version.uri} is signed with this key and unchanged; gates: {stated['predicate'].get('gate', 'none')}")
