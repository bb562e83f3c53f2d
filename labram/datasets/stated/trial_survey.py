"""Look at files of trials and arrays, for a draft of the key `trials`: shapes, likely axes, channel names, labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from labram.datasets.stated.column_names import GROUP, MOST_CLASSES, PERSONAL, SESSION, few_values
from labram.datasets.stated.label_table import TableError, read_table
from labram.datasets.walk import visible_files
from labram.errors import ReadError
from labram.signals.readers.limits import read_text
from labram.signals.readers.trials import ARRAYS, read_array, require_proportionate

_RATE = re.compile(r"(?i)^(fs|srate|sfreq|fsample|sampling_?(rate|freq(uency)?)|sample_?rate)$")
_CHANNEL_FILE = re.compile(r"(?i)(ch|chan|channels?|channel_?names|electrodes?|montage)s?\.(txt|csv)$")
_LABEL_NAME = re.compile(r"(?i)^(y|labels?|class(es)?|targets?|conditions?)$")
_SUBJECT = re.compile(r"(?i)subj|particip|proband|patient|person|^(vp|who|id)")
_LEAST_SAMPLES = 16

_MOST_CHANNELS = 512
_MOST_MEASURED = 20


@dataclass(frozen=True)
class TrialFinding:
    """Array files of one layout, and what their parts seem to be.

    Attributes:
        glob: Pattern of the files.
        places: Their paths.
        variable: Variable with the signals; empty for `.npy`.
        shape: Its shape in the first file.
        axes: Likely meaning of its axes; empty: undecided.
        rate: Sampling rate that the file states; None: it does not.
        channels: Text file with as many names as channels; empty: none.
        labels: File or variable with one label per trial; empty: none.
        values: Its distinct values.
        table: Table with a row per trial; empty: none.
        subject: Its column with subjects; empty: none.
        session: Its column with sessions; empty: none.
        group: Its column with what belongs together; empty: none.
        columns: Its other columns with few values, with these values.
        amplitude: Median standard deviation of the signals, in the file's unit; None: it cannot be read.
    """

    glob: str
    places: tuple[str, ...]
    variable: str
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    rate: float | None
    channels: str
    labels: str
    values: tuple[str, ...]
    table: str
    subject: str
    session: str = ""
    group: str = ""
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    amplitude: float | None = None


def find_trials(folder: Path) -> TrialFinding | None:
    """Return the array files of a folder that hold signals; None if there are none."""
    arrays = {path: variables for path in visible_files(folder, ARRAYS) if (variables := _variables(path))}
    signals = {path: name for path, variables in arrays.items() if (name := _signals(variables)) is not None}
    if not signals:
        return None
    first = next(iter(signals))
    variable = signals[first]
    shape = arrays[first][variable]
    same = [path for path, name in signals.items() if name == variable and path.suffix == first.suffix]
    channels, count = _channel_file(folder, shape)
    axes = _axes(shape, count)
    trials = shape[axes.index("trials")] if "trials" in axes else 0
    labels, values = _labels(folder, first, arrays, trials)
    finding = TrialFinding(
        glob=first.relative_to(folder).as_posix() if len(same) == 1 else f"**/*{first.suffix}",
        places=tuple(path.relative_to(folder).as_posix() for path in same),
        variable=variable,
        shape=shape,
        axes=axes,
        rate=_rate(first, arrays[first]),
        channels=channels,
        labels=labels,
        values=values,
        table="",
        subject="",
        amplitude=_amplitude(first, variable, axes),
    )
    return _with_table(finding, folder, trials)


def _variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the variables of a file; none if it cannot be read."""
    try:
        match path.suffix.lower():
            case ".npy":
                return {"": np.load(path, mmap_mode="r", allow_pickle=False).shape}
            case ".npz":
                require_proportionate(path)
                with np.load(path, allow_pickle=False) as archive:
                    return {name: archive[name].shape for name in archive.files}
            case ".mat":
                return {name: tuple(shape) for name, shape, _ in scipy.io.whosmat(path)}
    except Exception:  # SciPy's and NumPy's parsers raise arbitrary exceptions for damaged files
        return _hdf5(path)
    return _hdf5(path)


def _hdf5(path: Path) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def add(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and not name.startswith("#"):
            # MATLAB writes the axes of version 7.3 in reverse
            found[name] = node.shape[::-1] if path.suffix.lower() == ".mat" else node.shape

    try:
        with h5py.File(path, "r") as file:
            file.visititems(add)
    except Exception:  # h5py's parser raises arbitrary exceptions for damaged files
        return {}
    return found


def _signals(variables: Mapping[str, Sequence[int]]) -> str | None:
    """Return the variable that looks like signals: the largest with two or three axes."""
    sizes = {
        name: int(np.prod(shape))
        for name, shape in variables.items()
        if len(shape) in (2, 3) and max(shape) >= _LEAST_SAMPLES and min(shape) > 1
    }
    return max(sizes, key=lambda name: sizes[name]) if sizes else None


def _channel_file(folder: Path, shape: Sequence[int]) -> tuple[str, int]:
    """Return a text file whose number of names is the length of an axis, and that number."""
    for path in visible_files(folder, frozenset({".txt", ".csv"})):
        if _CHANNEL_FILE.search(path.name):
            try:
                text = read_text(path)
            except (OSError, ReadError):
                continue
            count = sum(bool(name.strip()) for name in text.replace(",", "\n").splitlines())
            if count in shape:
                return path.relative_to(folder).as_posix(), count
    return "", 0


def _axes(shape: Sequence[int], channels: int) -> tuple[str, ...]:
    """Return the likely axes: channels have the known number, else the smallest; samples the largest of the rest."""
    known = [axis for axis, size in enumerate(shape) if size == channels]
    if len(known) > 1 or (not known and sorted(shape)[0] > _MOST_CHANNELS):
        return ()
    of_channels = known[0] if known else int(np.argmin(shape))
    rest = [axis for axis in range(len(shape)) if axis != of_channels]
    names = {of_channels: "channels", rest[-1]: "samples"}
    if len(rest) == 2:
        # the usual order: trials come first or last
        trials = 0 if of_channels != 0 else rest[-1]
        samples = next(axis for axis in rest if axis != trials)
        names = {of_channels: "channels", trials: "trials", samples: "samples"}
    return tuple(names[axis] for axis in range(len(shape)))


def _rate(path: Path, variables: Mapping[str, Sequence[int]]) -> float | None:
    for name in variables:
        if _RATE.match(name.rsplit("/", 1)[-1]):
            try:
                value = float(np.ravel(read_array(path, name))[0])
            except (ReadError, ValueError, IndexError, TypeError):
                continue
            return value if value > 0 else None
    return None


def _labels(
    folder: Path, path: Path, arrays: Mapping[Path, Mapping[str, Sequence[int]]], trials: int
) -> tuple[str, tuple[str, ...]]:
    """Return the array with one label per trial, in the file itself or beside it, and its distinct values."""
    for other in (path, *(one for one in arrays if one != path)):
        for name, shape in arrays[other].items():
            named = _LABEL_NAME.match((name or other.stem).rsplit("/", 1)[-1])
            if not (named and trials and int(np.prod(shape)) == trials):
                continue
            try:
                values = np.ravel(read_array(other, name))
            except ReadError:
                continue
            distinct = tuple(dict.fromkeys(_text(value) for value in values))
            place = name if other == path else other.relative_to(folder).as_posix()
            return place, distinct if len(distinct) <= MOST_CLASSES else ()
    return "", ()


def _text(value: Any) -> str:
    number = value.item() if isinstance(value, np.generic) else value
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _with_table(found: TrialFinding, folder: Path, trials: int) -> TrialFinding:
    """Return the finding with a table that has a row per trial, and what its columns seem to be."""
    for path in visible_files(folder, frozenset({".csv", ".tsv"})):
        try:
            table = read_table(path)
        except TableError:
            continue
        if not trials or len(table.rows) != trials:
            continue
        subject, session, group = (
            next((column for column in table.columns if rule.search(column)), "") for rule in (_SUBJECT, SESSION, GROUP)
        )
        rest = [c for c in table.columns if c not in {subject, session, group} and not PERSONAL.search(c)]
        columns = {column: values for column in rest if (values := few_values(table, column))}
        place = path.relative_to(folder).as_posix()
        return replace(found, table=place, subject=subject, session=session, group=group, columns=columns)
    return found


def _amplitude(path: Path, variable: str, axes: Sequence[str]) -> float | None:
    """Return the median standard deviation along the samples of an array in its own unit."""
    if "samples" not in axes:
        return None
    try:
        data = read_array(path, variable)
        data = data[: min(len(data), _MOST_MEASURED)] if axes[0] == "trials" else data
        deviation = float(np.median(np.std(np.asarray(data, np.float64), axis=axes.index("samples"))))
    except (ReadError, ValueError, TypeError, IndexError):
        return None
    return deviation if np.isfinite(deviation) and deviation > 0 else None
