"""`labram serve`: serve a model over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.terminal import echo

if TYPE_CHECKING:
    import socket


def serve(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="models:/labram-workload@champion, models:/NAME/VERSION, or a folder."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all networks.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 8080,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N. Default: LABRAM_DEVICE, else auto.")
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", envvar="LABRAM_PUBLIC_KEY", help="Serve a registered version only if this key signed it."
        ),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Serve a model over HTTP, with the routes of `mlflow models serve`: /invocations, /ping, /health, /version.

    POST /invocations takes windows of filtered EEG with channel names in any common spelling:

    `{"inputs": {"signals": [[[…]]]}, "params": {"channels": ["FP1", "O2"], "sfreq": 250, "unit": "uV"}}`

    An unfiltered recording [channels, samples] is filtered as in training and cut into windows, with the params
    `"preprocess": true, "line_freq_hz": 50`. The answer has one prediction per window, the channels used, and the
    model's name, version and commit. Signals that are not EEG, as the model was trained on, are answered with status
    422 and a remedy. An alias is resolved once, at the start: restart the server after a promotion.

    Exit codes: 0 stopped; 1 error, such as a port in use or a version that --public-key did not sign.
    """
    from labram import logs
    from labram.cli.model_argument import resolve
    from labram.inference import server
    from labram.inference.predictor import Predictor

    logs.configure()
    served, folder = resolve(model, workspace, public_key)
    with _listen(host, port) as listening:
        app = server.application(Predictor(folder, device=device), served)
        address, bound = listening.getsockname()[:2]
        echo(f"{served.model} version {served.version}, commit {served.commit}: http://{address}:{bound}/invocations")
        server.run(app, listening)


def _listen(host: str, port: int) -> "socket.socket":
    import socket

    from labram.errors import PlatformError

    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PlatformError(
            f"cannot listen on {host}:{port} ({error.strerror or error})",
            field="port",
            remedy="Pass another --port or --host, or stop the program that uses the port",
        ) from error
