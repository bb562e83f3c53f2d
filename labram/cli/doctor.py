"""`labram doctor`: check the prerequisites of a run."""

from typing import Annotated

import typer

from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.pipeline import HOST, LOCALHOST, SIZES

CHECK_SECONDS = 10
"""Seconds that a check waits for Kubeflow Pipelines."""
SIGNS = {"ok": ("ok   ", "green"), "warning": ("?    ", "yellow"), "error": ("WRONG", "red")}


def doctor(
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="Check the cluster of the current kubectl context instead of this machine."),
    ] = False,
    registry: Annotated[
        bool,
        typer.Option("--registry", help="Check the model registry instead, and finish or clean half-way states."),
    ] = False,
    host: HOST = LOCALHOST,
    namespace: Annotated[
        str, typer.Option("--namespace", envvar="LABRAM_NAMESPACE", help="Namespace of the manifests in k8s/.")
    ] = "labram",
    gpus: Annotated[int, typer.Option("--gpus", min=0, help="GPUs of a training whose size states none.")] = 0,
    sizes: SIZES = "",
    image: Annotated[
        str, typer.Option("--image", envvar="LABRAM_IMAGE", help="Image of the tasks, which the registry must have.")
    ] = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Check the prerequisites of a run: folders, services and credentials here, or with --cluster on a cluster.

    With --registry, moves of killed processes are finished, contradicting aliases resolved, approvals applied, runs of
    dead processes ended, and logged models without a version deleted.

    Each line is `ok`, `?` (cannot be checked, or not recommended) or `WRONG`, with a remedy below it.

    Exit codes: 0 nothing is wrong; 1 error: at least one check failed.
    """
    from labram.cli.progress import console
    from labram.platform import doctor
    from labram.platform.kfp_client import KfpClient
    from labram.steps.sizes import load
    from labram.steps.table import STEPS

    if cluster:
        requests = load(sizes).requests(*STEPS.values())
        client = KfpClient(host, retries=0, timeout=CHECK_SECONDS)
        findings = doctor.check_cluster(client, namespace, gpus, requests, image)
    elif registry:
        findings = doctor.check_registry(workspace.absolute())
    else:
        findings = doctor.check_machine(workspace.absolute())
    wrong = False
    for finding in findings:
        sign, style = SIGNS[finding.state]
        wrong = wrong or finding.state == "error"
        console.print(f"{sign} {finding.subject}: {finding.detail}", style=style, soft_wrap=True)
        if finding.remedy:
            console.print(f"      {finding.remedy}", soft_wrap=True)
    raise typer.Exit(1 if wrong else 0)
