"""`labram doctor`: what is missing, and how to mend it."""

from pathlib import Path
from typing import Annotated

import typer

from labram.cli.pipeline import HOST, LOCALHOST

_SIGNS = {"ok": ("ok   ", "green"), "warning": ("?    ", "yellow"), "error": ("WRONG", "red")}


def doctor(
    cluster: Annotated[bool, typer.Option("--cluster", help="Look at a cluster instead of this machine.")] = False,
    host: HOST = LOCALHOST,
    namespace: Annotated[str, typer.Option("--namespace", help="Of the manifests.")] = "labram",
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="That one training task asks for.")] = 0,
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", envvar="LABRAM_WORKSPACE", help="Folder for everything written.")
    ] = Path(".labram"),
) -> None:
    """Check what a run needs before it starts: on this machine, or with --cluster on the one that kubectl talks to.

    Exit codes: 0 nothing is wrong; 1 something is, and what to do is beside it.
    """
    from labram.cli.progress import console
    from labram.platform import doctor
    from labram.platform.kfp_client import KfpClient

    findings = (
        doctor.check_cluster(KfpClient(host, patience=0), namespace, gpus)
        if cluster
        else doctor.check_machine(workspace.absolute())
    )
    wrong = False
    for finding in findings:
        sign, style = _SIGNS[finding.state]
        wrong = wrong or finding.state == "error"
        console.print(f"{sign} {finding.subject}: {finding.detail}", style=style, soft_wrap=True)
        if finding.remedy:
            console.print(f"      {finding.remedy}", soft_wrap=True)
    raise typer.Exit(1 if wrong else 0)
