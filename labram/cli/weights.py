"""`labram weights`: import published checkpoints, export trained models."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.model_argument import folder_of
from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.terminal import echo

if TYPE_CHECKING:
    from labram.errors import MisfitWeightsError
    from labram.models.loading import LoadReport
    from labram.models.official_layout import LabramModel

app = typer.Typer(help="Import published checkpoints; export trained models.", no_args_is_help=True)


class Kind(StrEnum):
    """Model kind of a checkpoint."""

    TOKENIZER = "tokenizer"
    BACKBONE = "backbone"


class Layout(StrEnum):
    """Checkpoint layout: the published code's, or that of braindecode's `Labram`."""

    OFFICIAL = "official"
    BRAINDECODE = "braindecode"


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Checkpoint (.pth) of the published code or of braindecode.")
    ],
    kind: Annotated[Kind, typer.Option("--as", help="Expected model kind.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output folder.")],
    average: Annotated[
        bool, typer.Option("--ema", help="Import the exponential moving average of the weights (model_ema).")
    ] = False,
) -> None:
    """Convert a published checkpoint to a model folder (safetensors and configuration).

    No code in the file is executed. Model size and kind are inferred from the tensors. The load report lists each
    tensor that is not loaded, with the reason; an unexpected or missing tensor is an error, and nothing is written.

    Exit codes: 0 done; 1 error.
    """
    from labram.errors import MisfitWeightsError
    from labram.models import weights
    from labram.models.official import import_checkpoint

    try:
        report = import_checkpoint(file, kind=kind.value, out=out, average=average)
    except MisfitWeightsError as error:
        _show_unmatched(error)
        raise
    _show(report)
    echo(f"{_described(weights.load(out))}, digest {weights.digest(out)[:12]}, written to {out}")


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, or models:/labram-backbone@champion.")],
    layout: Annotated[
        Layout,
        typer.Option(
            "--layout", "-l", help="Checkpoint layout: that of the published code, or of braindecode's Labram."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Output file.")],
    seconds: Annotated[
        int, typer.Option(min=1, max=16, help="Window length in seconds of the braindecode model.")
    ] = 16,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Export a model to a checkpoint that the published code, or braindecode's Labram, loads with strict=True.

    Exit codes: 0 done; 1 error.
    """
    from labram.models import weights
    from labram.models.official import export_checkpoint

    folder = folder_of(model, workspace)
    export_checkpoint(folder, out, layout=layout.value, seconds=seconds)
    if layout is Layout.BRAINDECODE:
        _show_call(weights.load(folder), out, seconds)
    echo(f"written to {out}")


def _show(report: "LoadReport") -> None:
    rows = [("loaded", f"{len(report.matched)} tensors", "matched by name and shape")]
    rows += [("not loaded", name, why) for name, why in sorted(report.excused.items())]
    _table(rows + [("assumed", what, value) for what, value in sorted(report.assumed.items())])


def _show_unmatched(error: "MisfitWeightsError") -> None:
    """Print all unmatched tensors; the error message names one of each kind."""
    _table([(kind, name, "") for kind, names in error.unmatched.items() for name in names], err=True)


def _table(rows: list[tuple[str, str, str]], *, err: bool = False) -> None:
    """Print aligned columns without a frame, because tensor names are long."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for outcome, tensor, reason in rows:
        echo(f"{outcome:{widths[0]}}  {tensor:{widths[1]}}  {reason}".rstrip(), err=err)


def _described(model: "LabramModel") -> str:
    config = model.config
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return f"{type(model).__name__}: width {config.width}, depth {config.depth}, {millions:.1f} M parameters"


def _show_call(model: "LabramModel", out: Path, seconds: int) -> None:
    """Print the Python code that loads the file."""
    from labram.models.braindecode_layout import constructor

    arguments = constructor(model, seconds=seconds)
    norm = "torch.nn.LayerNorm" if arguments.pop("qk_norm") else "None"
    keywords = ", ".join([*(f"{name}={value!r}" for name, value in arguments.items()), f"qk_norm={norm}"])
    echo(f"model = braindecode.models.Labram({keywords})")
    echo(f"model.load_state_dict(torch.load({out.name!r}, weights_only=True))")
    if not arguments["n_outputs"]:
        echo("a pre-trained backbone is exported without head; importing the file again sets the head to zero")
