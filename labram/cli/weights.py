"""`labram weights`: published weights in, ours out."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labram.errors import MisfitWeightsError
    from labram.models.loading import LoadReport
    from labram.models.official_layout import LabramModel

app = typer.Typer(help="Import published weights, export labram's own.", no_args_is_help=True)


class Kind(StrEnum):
    """What a checkpoint should hold."""

    TOKENIZER = "tokenizer"
    BACKBONE = "backbone"


class Layout(StrEnum):
    """Whose class should load the file."""

    OFFICIAL = "official"
    BRAINDECODE = "braindecode"


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .pth file of the published code or of braindecode.")],
    kind: Annotated[Kind, typer.Option("--as", help="What the file should hold.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    average: Annotated[bool, typer.Option("--ema", help="Take the averaged copy of the weights (model_ema).")] = False,
) -> None:
    """Turn a checkpoint into a folder that every labram command takes.

    No code in the file is run. Pre-training and fine-tuning checkpoints are told apart and sized by their tensors. The
    load report accounts for each tensor; if one is left over or lacking, nothing is written. Exit codes: 0 imported,
    1 refused.
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
    typer.echo(f"{_described(weights.load(out))}, digest {weights.digest(out)[:12]}, written to {out}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder of a model that labram wrote.")],
    layout: Annotated[Layout, typer.Option("--layout", "-l", help="Whose class should load the file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    seconds: Annotated[
        int, typer.Option(min=1, max=16, help="braindecode: length of the windows that the model is built for.")
    ] = 16,
) -> None:
    """Write a model as a file that the published code, or braindecode's Labram, loads strictly."""
    from labram.models import weights
    from labram.models.official import export_checkpoint

    export_checkpoint(folder, out, layout=layout.value, seconds=seconds)
    if layout is Layout.BRAINDECODE:
        _show_call(weights.load(folder), out, seconds)
    typer.echo(f"written to {out}")


def _show(report: "LoadReport") -> None:
    rows = [("loaded", f"{len(report.matched)} tensors", "into the model, by name and shape")]
    rows += [("left out", name, why) for name, why in sorted(report.excused.items())]
    _table(rows + [("assumed", what, value) for what, value in sorted(report.assumed.items())])


def _show_unmatched(error: "MisfitWeightsError") -> None:
    """Every tensor that has no counterpart; the message names one of each kind."""
    _table([(what, name, "") for what, names in error.unmatched.items() for name in names], err=True)


def _table(rows: list[tuple[str, str, str]], *, err: bool = False) -> None:
    """Aligned columns, also where a program reads them; tensors' names are too long for a framed table."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(2)]
    for what, tensor, why in rows:
        typer.echo(f"{what:{widths[0]}}  {tensor:{widths[1]}}  {why}".rstrip(), err=err)


def _described(model: "LabramModel") -> str:
    config = model.config
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return f"{type(model).__name__}: width {config.width}, depth {config.depth}, {millions:.1f} M parameters"


def _show_call(model: "LabramModel", out: Path, seconds: int) -> None:
    """The Python that loads the file."""
    from labram.models.braindecode_layout import constructor

    arguments = constructor(model, seconds=seconds)
    norm = "torch.nn.LayerNorm" if arguments.pop("qk_norm") else "None"
    given = ", ".join([*(f"{name}={value!r}" for name, value in arguments.items()), f"qk_norm={norm}"])
    typer.echo(f"model = braindecode.models.Labram({given})")
    typer.echo(f"model.load_state_dict(torch.load({out.name!r}, weights_only=True))")
    if not arguments["n_outputs"]:
        typer.echo("no head goes out with a pre-trained backbone: one that comes back has a head of zeros")
