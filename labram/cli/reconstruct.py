"""`labram reconstruct`: what the codes of a tokenizer hold of a recording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.embed import SecondsOption
from labram.cli.model_argument import DeviceOption, ModelArgument, resolve
from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.recording_files import DatasetOption, LineFrequencyOption, sources_of

if TYPE_CHECKING:
    from labram.inference.reconstruct import Reconstructed


def reconstruct(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Picture: .png, .svg or .pdf; the errors are beside it as .csv."),
    ] = Path("reconstruction.png"),
    to: Annotated[
        Path | None, typer.Option(help="Write the reconstructed signals, too: .fif, .edf, or .npz with the originals.")
    ] = None,
    seconds: SecondsOption = None,
    dataset: DatasetOption = "",
    line_freq: LineFrequencyOption = None,
    device: DeviceOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Reconstruct a recording from the codes of a tokenizer; draw signals and spectra, print the error by channel.

    A tokenizer predicts amplitude and phase of each patch relative to its window; level and scale of the window's true
    spectra are added. The error is relative to the amplitude: 0 is perfect, 1 as good as no signal.

    Exit codes: 0 done; 1 error.
    """
    from labram.errors import CorpusError
    from labram.inference.predictor import Predictor
    from labram.inference.prepare import Settings, prepare
    from labram.inference.reasons import NO_WINDOW
    from labram.inference.reconstruct import reconstruct as compute
    from labram.inference.reconstruct import require_usable, write_errors, write_signals
    from labram.inference.table_file import check_format
    from labram.inference.unlabelled import cut
    from labram.recipe import AlignmentRecipe
    from labram.reporting.reconstruction import draw
    from labram.scratch_folder import scratch_folder
    from labram.store.store import Store

    check_format(out, (".png", ".svg", ".pdf"))
    served, folder = resolve(model, workspace)
    predictor = Predictor(folder, device=device)
    sources = sources_of([file], dataset, "", line_freq)
    if len(sources) > 1:
        raise CorpusError(f"{len(sources)} recordings in this folder", file=file, remedy="Name one recording")
    with scratch_folder() as scratch:
        store = Store(scratch / "store")
        recording = prepare(sources[0], store=store, settings=Settings(predictor.preprocessing, predictor.quality))
        require_usable(recording)
        windows = cut([recording], store, seconds, AlignmentRecipe())
        require_usable(recording, "" if len(windows) else NO_WINDOW)
        result = compute(predictor, windows)
    if to is not None:
        write_signals(result, to)
    write_errors(result, out.with_suffix(".csv"))
    draw(result, f"{served.model} version {served.version}").savefig(out)
    _show(result, out, to)


def _show(result: "Reconstructed", out: Path, to: Path | None) -> None:
    from rich.table import Table

    from labram.cli.progress import console
    from labram.linear.features import BANDS

    table = Table("channel", "correlation", *(f"error {band}" for band in BANDS))
    for channel, correlation, errors in zip(result.channels, result.correlation, result.errors, strict=True):
        table.add_row(channel, f"{correlation:.2f}", *(f"{error:.2f}" for error in errors))
    console.print(table)
    written = ", ".join(str(path) for path in (out, out.with_suffix(".csv"), to) if path)
    console.print(f"{len(result.starts)} windows → {written}", soft_wrap=True)
