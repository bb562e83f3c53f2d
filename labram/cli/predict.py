"""`labram predict`: predictions of recordings in a table."""

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
    from labram.evaluation.operating_point import OperatingPoint
    from labram.inference.find_recordings import Source


class By(StrEnum):
    """What a row of predictions is."""

    WINDOW = "window"
    RECORDING = "recording"
    SUBJECT = "subject"


def predict(
    model: ModelArgument,
    files: FilesArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Table to write: .csv or .parquet.")] = Path(
        "predictions.csv"
    ),
    by: Annotated[
        By, typer.Option(help="A row per window, or the mean over the windows of a recording or subject.")
    ] = By.WINDOW,
    operating_point: Annotated[
        Path | None,
        typer.Option(
            help="Write decisions, too, by a file of `labram operating-point`, and where the model abstains. Default: "
            "the model's own operating point, if it is for the rows of --by."
        ),
    ] = None,
    dataset: DatasetOption = "",
    subject: SubjectOption = "",
    line_freq: LineFrequencyOption = None,
    workers: WorkersOption = None,
    allow_missing: AllowMissingOption = False,
    device: DeviceOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Predict from recordings, without labels, in any format that `labram corpus ingest` reads.

    Recordings are filtered, checked and cut as the model's training recordings were. A row has the probability of each
    class, or each value, with file, start, duration, channels, alignment, and name and version of the model
    (docs/predictions.md). A file that cannot be predicted has a row with a reason code; the reasons and the labels of
    dropped channels are printed. Files are read one after the other, so that a folder of any size needs little memory.
    Interrupted? The same command resumes.

    A model that was trained with an alignment is applied to all recordings of a subject together.

    Exit codes: 0 done; 1 error; 6 some files were not predicted.
    """
    from labram.cli.progress import Bar
    from labram.cores import available_cores
    from labram.inference.partial_table import PartialTable
    from labram.inference.predict_recordings import TaskModel, columns, predict_recordings
    from labram.inference.predictor import Predictor
    from labram.inference.prepare import group_sources
    from labram.inference.table_file import FORMATS, check_format, table_file
    from labram.scratch_folder import scratch_folder
    from labram.store.store import Store

    check_format(out, FORMATS)
    served, folder = resolve(model, workspace)
    point = _chosen(operating_point, folder, by)
    task_model = TaskModel.of(Predictor(folder, device=device), served, point)
    sources = sources_of(files, dataset, subject, line_freq)
    if by is By.SUBJECT:
        _require_subjects(sources)
    groups = list(group_sources(sources, by_subject=by is By.SUBJECT or task_model.needs_subjects).values())
    depends = [served.version, by.value, line_freq, dataset, subject, point.model_dump_json() if point else None]
    partial = PartialTable(out, {"depends": depends}, [[each.name for each in group] for group in groups])
    outcome = RecordingCounts()
    with (
        table_file(out, columns(task_model.task, decided=point is not None)) as table,
        scratch_folder() as scratch,
        Bar("predict") as bar,
    ):
        for finished in partial.groups:
            table.write(finished["rows"])
            outcome.add_finished(len(finished["files"]), finished["reasons"])
        if partial.groups:
            bar.note(f"{outcome.done + len(outcome.unused)} recordings were predicted before the interruption")
        for group in predict_recordings(
            task_model,
            [source for rest in groups[len(partial.groups) :] for source in rest],
            store=Store(scratch / "store"),
            by=by.value,
            workers=workers or available_cores(),
            monitor=bar,
        ):
            table.write(group.rows)
            outcome.add(group.recordings, group.reasons)
            partial.add([each.name for each in group.recordings], group.rows, dict(group.reasons))
    partial.remove()
    outcome.end(out, allow_missing=allow_missing)


def _chosen(file: Path | None, folder: Path, by: By) -> "OperatingPoint | None":
    """Return the operating point of a file, or the one that was registered with the model if it is for these rows.

    Raises:
        DamagedFileError: If the file is no operating point.
        RecipeError: If it was chosen for another model, or for other rows.
    """
    from labram.cli.progress import console
    from labram.errors import RecipeError
    from labram.evaluation.operating_point import OperatingPoint
    from labram.registry.model_registry import weights_digest

    own = folder / OperatingPoint.NAME
    if file is None and not own.is_file():
        return None
    point = OperatingPoint.read(file or own)
    if point.weights != weights_digest(folder):
        raise RecipeError(
            f"the operating point was chosen for other weights, of {point.model}",
            file=(file or own).name,
            field="operating-point",
            remedy="Choose one for this model with `labram operating-point`",
        )
    if point.by == by.value:
        return point
    if file is not None:
        raise RecipeError(
            f"the operating point decides by {point.by}, not by {by.value}",
            file=file.name,
            field="by",
            remedy=f"Pass --by {point.by}",
        )
    console.print(f"no decisions: the model's operating point decides by {point.by} (--by {point.by})", style="yellow")
    return None


def _require_subjects(sources: "list[Source]") -> None:
    """Check that the subject of every recording is stated.

    Raises:
        CorpusError: If some are only guessed from names.
    """
    from labram.errors import CorpusError

    unknown = [source.name for source in sources if not source.subject]
    if unknown:
        raise CorpusError(
            f"nothing states the subjects of {len(unknown)} of {len(sources)} recordings",
            file=unknown[0],
            field="by",
            remedy="Pass a pattern such as --subject '(?P<subject>P[0-9]+)', or --by recording",
        )
