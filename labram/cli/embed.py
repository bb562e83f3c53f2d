"""`labram embed` and `labram tokens`: embeddings and codes of recordings."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.model_argument import DeviceOption, ModelArgument, resolve
from labram.cli.options import DEFAULT_WORKSPACE, WorkspaceOption
from labram.cli.recording_files import (
    AllowMissingOption,
    DatasetOption,
    FilesArgument,
    LineFrequencyOption,
    RecordingCounts,
    SubjectOption,
    WorkersOption,
    sources_of,
)

if TYPE_CHECKING:
    from labram.inference.embed_recordings import WindowReader
    from labram.inference.find_recordings import Source

SecondsOption = Annotated[
    int | None,
    typer.Option(min=1, max=16, help="Length of the windows. Default: that of the task, else the longest that fit."),
]


class Pooling(StrEnum):
    """Poolings of the tokens of a window."""

    MEAN = "mean"
    CLS = "cls"
    CHANNELS = "channels"
    MEAN_STD = "mean+std"
    MOMENTS = "moments"
    TOKENS = "tokens"


class By(StrEnum):
    """Unit of a row of embeddings."""

    WINDOW = "window"
    RECORDING = "recording"


def embed(
    model: ModelArgument,
    files: FilesArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .parquet or .npz.")] = Path(
        "embeddings.parquet"
    ),
    layers: Annotated[
        str, typer.Option(help="Transformer blocks after which to embed: last, all, or numbers such as 4,8,12.")
    ] = "last",
    pool: Annotated[
        Pooling,
        typer.Option(
            help="Pooling of a window's tokens: mean over patches, cls token, mean over the seconds of each channel, "
            "mean and SD over patches, moments (mean, SD over channels, SD over seconds), or all tokens."
        ),
    ] = Pooling.MEAN,
    by: Annotated[By, typer.Option(help="A row per window, or the mean over the windows of a recording.")] = By.WINDOW,
    seconds: SecondsOption = None,
    dataset: DatasetOption = "",
    subject: SubjectOption = "",
    line_freq: LineFrequencyOption = None,
    workers: WorkersOption = None,
    allow_missing: AllowMissingOption = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Embed recordings with a backbone or a task model, without labels, in any format that ingest reads.

    Each row has one vector, and the columns of `labram predict`, such as file and start (docs/predictions.md).
    With --layers all, or numbers, it has one vector per block: layer_1, layer_2, … A .npz file holds the same columns
    as arrays; writing it needs memory for all vectors.

    Exit codes: 0 done; 1 error; 6 some files were not embedded.
    """
    from labram.inference.embed_recordings import embedding_reader
    from labram.inference.embedder import model_depth, parse_layers
    from labram.inference.predictor import Predictor
    from labram.inference.table_file import VECTOR_FORMATS, check_format

    check_format(out, VECTOR_FORMATS)
    served, folder = resolve(model, workspace)
    predictor = Predictor(folder, device=device)
    blocks = parse_layers(layers, model_depth(predictor.model))
    reader = embedding_reader(predictor, served, pooling=pool.value, layers=blocks, seconds=seconds, by=by.value)
    _write(reader, sources_of(files, dataset, subject, line_freq), out, workers, allow_missing=allow_missing)


def tokens(
    model: ModelArgument,
    files: FilesArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write: .parquet or .csv.")] = Path(
        "tokens.parquet"
    ),
    seconds: SecondsOption = None,
    dataset: DatasetOption = "",
    line_freq: LineFrequencyOption = None,
    workers: WorkersOption = None,
    allow_missing: AllowMissingOption = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Write the codes of recordings by a tokenizer: a row per window and electrode, a code per second.

    The code of a patch depends on its whole window. `labram tokenize` computes the codes of a store for pre-training.

    Exit codes: 0 done; 1 error; 6 some files have no codes.
    """
    from labram.inference.embed_recordings import code_reader
    from labram.inference.predictor import Predictor
    from labram.inference.table_file import FORMATS, check_format

    check_format(out, FORMATS)
    served, folder = resolve(model, workspace)
    reader = code_reader(Predictor(folder, device=device), served, seconds=seconds)
    _write(reader, sources_of(files, dataset, "", line_freq), out, workers, allow_missing=allow_missing)


def _write(
    reader: "WindowReader", sources: "list[Source]", out: Path, workers: int | None, *, allow_missing: bool
) -> None:
    from labram.cli.progress import Bar
    from labram.cores import available_cores
    from labram.inference.embed_recordings import read_recordings
    from labram.inference.table_file import table_file
    from labram.scratch_folder import scratch_folder
    from labram.store.store import Store

    outcome = RecordingCounts()
    with table_file(out, reader.columns) as table, scratch_folder() as scratch, Bar(out.stem) as bar:
        store = Store(scratch / "store")
        for group in read_recordings(reader, sources, store=store, workers=workers or available_cores(), monitor=bar):
            table.write(group.rows)
            outcome.add(group.recordings, group.reasons)
    outcome.end(out, allow_missing=allow_missing)
