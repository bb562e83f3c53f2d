"""Recordings of files with trials, and of arrays: which trials are whose, and the label of each trial."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.datasets.base import RecordingFile
from labram.datasets.containment import lies_inside
from labram.datasets.stated.dataset_file import Labels, Trials
from labram.datasets.stated.label_table import SUFFIXES, Row, Table, TableError, read_table
from labram.datasets.stated.yaml_values import microvolts
from labram.errors import LabelError, ReadError
from labram.signals.readers.limits import read_bytes
from labram.signals.readers.trials import ArrayLayout, read_array

_WHOLE = "trials"
"""Part of a recording with all trials of a file."""
_COPY = "Copy it into the folder of the dataset file"


def trial_recordings(
    dataset: str, stated: Trials, folder: Path, paths: Sequence[Path]
) -> Iterator[tuple[RecordingFile, str]]:
    """Yield the recordings of files with trials, and their subjects by the table; empty: the path states them.

    A file with trials of several subjects or sessions is several recordings.

    Args:
        dataset: Name of the dataset.
        stated: What the dataset file states.
        folder: Its folder.
        paths: The files.

    Raises:
        TableError: If a table is unusable.
    """
    for path in paths:
        place = path.relative_to(folder).as_posix()
        whole = RecordingFile(dataset, path, "", place=place, part=_WHOLE)
        if not stated.table or not (stated.subject or stated.session):
            yield whole, ""
            continue
        table = table_of(stated.table, path, folder)
        table.require(stated.subject, stated.session, stated.group)
        for key, trials in _by_key(table, stated).items():
            subject, session, group = key
            yield replace(whole, session=session, group=group, trials=trials, part="/".join(key)), subject


def table_of(name: str, path: Path, folder: Path) -> Table:
    """Return the table of a file with trials; `{stem}` in its name stands for the file's name without suffix."""
    return read_table(folder / name.replace("{stem}", path.stem), folder)


def _by_key(table: Table, stated: Trials) -> dict[tuple[str, str, str], tuple[int, ...]]:
    keys: dict[tuple[str, str, str], list[int]] = {}
    for index, row in enumerate(table.rows):
        columns = (stated.subject, stated.session, stated.group)
        subject, session, group = (row.stated(column) if column else "" for column in columns)
        if stated.subject and not subject:
            raise TableError(
                f"row {row.number}: no subject",
                kind=f"row {row.number}: no subject",
                file=table.name,
                field=stated.subject,
                remedy="State the subject of each trial",
            )
        keys.setdefault((subject, session, group), []).append(index)
    return {key: tuple(trials) for key, trials in keys.items()}


def layout_of(stated: Trials, folder: Path) -> ArrayLayout | None:
    """Return the layout of an array; None for epochs of MNE and EEGLAB.

    Raises:
        LabelError: If the file of channel names cannot be read, or lies outside.
    """
    if not stated.axes or stated.sampling_rate_hz is None:
        return None
    names = channel_names(stated.channels, folder) if isinstance(stated.channels, str) else stated.channels
    return ArrayLayout(
        variable=stated.variable,
        axes=stated.axes,
        sfreq=stated.sampling_rate_hz,
        microvolts=microvolts(stated.unit),
        channels=names,
        filtered=stated.filtered,
        pad=stated.pad,
    )


def channel_names(name: str, folder: Path) -> tuple[str, ...]:
    """Return the channel names in a text file, one a line or separated by commas.

    Raises:
        LabelError: If the file cannot be read, or lies outside.
    """
    if not lies_inside(folder / name, folder):
        raise LabelError("the file lies outside the folder", file=name, field="trials.channels", remedy=_COPY)
    try:
        text = read_bytes(folder / name).decode("utf-8-sig")
    except (OSError, ReadError, UnicodeDecodeError):
        raise LabelError(
            "the file of channel names is missing or not UTF-8 text",
            file=name,
            field="trials.channels",
            remedy="Write one channel name a line",
        ) from None
    return tuple(name.strip() for name in text.replace(",", "\n").splitlines() if name.strip())


def label_values(
    labels: Labels, file: RecordingFile, folder: Path, known: Collection[str] = (), *, numbers: bool = False
) -> list[tuple[str, ...]]:
    """Return the values of the labels of each trial of a recording, as text; empty: no label.

    Args:
        labels: Where they are.
        file: The recording.
        folder: Folder of the dataset file.
        known: Values that stand for something, even if they look like "no value".
        numbers: Whether the values are numbers.

    Raises:
        TableError: If they come from an unusable table.
        LabelError: If they come from an array that cannot be read or has another number of values.
    """
    if Path(labels.trials).suffix.lower() in SUFFIXES:
        table = table_of(labels.trials, file.path, folder)
        table.require(*labels.label)
        rows = [tuple(_cell(table, row, column, known, numbers) for column in labels.label) for row in table.rows]
    else:
        rows = [tuple(map(_as_text, np.atleast_1d(value))) for value in _array(labels, file, folder)]
    if file.trials is not None and max(file.trials, default=-1) >= len(rows):
        raise LabelError(
            f"{len(rows)} labels for {max(file.trials) + 1} trials or more",
            file=Path(labels.trials).name,
            remedy="State one label per trial, in the order of the file",
        )
    return rows if file.trials is None else [rows[index] for index in file.trials]


def _cell(table: Table, row: Row, column: str, known: Collection[str], numbers: bool) -> str:  # noqa: FBT001
    text = row.stated(column, known)
    return str(table.number(row, column)) if numbers and text else text


def array_path(labels: Labels, file: RecordingFile, folder: Path) -> Path:
    """Return the file with the labels of trials: a table, an array, or that of the signals."""
    name = labels.trials.replace("{stem}", file.path.stem)
    return folder / name if Path(name).suffix else file.path


def _array(labels: Labels, file: RecordingFile, folder: Path) -> NDArray[Any]:
    path = array_path(labels, file, folder)
    if not lies_inside(path, folder):
        raise LabelError("the labels lie outside the folder", file=path.name, remedy=_COPY)
    variable = "" if path != file.path else labels.trials
    try:
        values = read_array(path, variable)
    except ReadError as error:
        raise LabelError(
            error.problem, file=path.name, field="labels.trials", remedy="Check trials, the array of labels"
        ) from None
    values = np.atleast_1d(values)
    return values.reshape(-1) if max(values.shape) == values.size else values


def _as_text(value: Any) -> str:
    """Return a label as a table would have it: 1.0 is 1."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    number = value.item() if isinstance(value, np.generic) else value
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number).strip()
