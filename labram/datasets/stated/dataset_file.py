"""Schema of `dataset.yaml`: a dataset stated in a file instead of in code.

The file lies in the folder of the recordings. docs/your-own-data.md is a walk through it; `labram datasets init` drafts
it.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from labram import strict_yaml
from labram.datasets.containment import lies_inside
from labram.datasets.stated.yaml_values import Label, Values, microvolts
from labram.errors import CorpusError
from labram.frozen_model import FrozenModel
from labram.metrics import Kind
from labram.signals.electrodes import canonical_names
from labram.signals.readers.trials import Axis

_NAMES_OF_TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2"
TEN_TWENTY = tuple(_NAMES_OF_TEN_TWENTY.split())
"""Electrodes that `channels.interpolate` makes unless others are stated."""
DATASET_FILE = "dataset.yaml"
"""Name of the file in the folder of a dataset."""
_NAME = r"^[a-z][a-z0-9_]*$"


def _pattern(pattern: str, group: str) -> str:
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    if group not in groups:
        raise ValueError(f"the pattern {pattern!r} has no group named {group!r}; write (?P<{group}>…) around it")
    return pattern


Seconds = Annotated[float, Field(ge=0.0)]


class TableSource(FrozenModel):
    """Columns of a table: CSV or TSV, with a header line. Its rows are matched to recordings by file or by subject."""

    table: str = Field(description="The table, relative to the dataset file.")
    file: str = Field(
        default="", description="Column with the recording: its relative path, file name, or name without suffix."
    )
    match: str = Field(
        default="",
        description="Regular expression with the group `file`, searched in the path of each recording: what it finds "
        "must equal the column `file`. Empty: paths and names are compared.",
    )
    subject: str = Field(default="", description="Column with the subject, as `subject` of the dataset finds it.")
    session: str = Field(default="", description="Column with the session.")

    @field_validator("match")
    @classmethod
    def _has_file(cls, pattern: str) -> str:
        return _pattern(pattern, "file") if pattern else ""

    @model_validator(mode="after")
    def _matched(self) -> Self:
        if not (self.file or self.subject):
            raise ValueError("state the column of the recordings (file) or of the subjects (subject)")
        if self.match and not self.file:
            raise ValueError("match compares with a column: state it as file")
        return self


class SubjectTable(TableSource):
    """Subjects from a table with a row per recording."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not (self.file and self.subject):
            raise ValueError("state both columns: file and subject")
        return self


class GroupTable(TableSource):
    """Groups from a table."""

    group: str = Field(default="group", description="Column with the group.")


class SplitTable(TableSource):
    """Splits from a table."""

    split: str = Field(default="split", description="Column with train, validation or test.")


class Trials(FrozenModel):
    """Files that hold trials, or arrays without a header: `.npy`, `.npz`, `.mat`, `.h5`, `-epo.fif`, EEGLAB epochs."""

    files: tuple[str, ...] = Field(description="Globs of the files, relative to the dataset file.")
    variable: str = Field(default="", description="Variable or HDF5 dataset with the signals; not for .npy and epochs.")
    axes: tuple[Axis, ...] = Field(
        default=(), description="Meaning of each axis in order: trials, channels, samples; without trials: continuous."
    )
    sampling_rate_hz: float | None = Field(default=None, gt=0.0, description="Sampling rate of an array.")
    unit: str = Field(default="", description="Unit of an array: V, mV, µV or nV, or a multiple, such as 100 µV.")
    channels: tuple[str, ...] | str = Field(
        default=(), description="Channel names of an array: a list, or a text file with one name a line."
    )
    table: str = Field(
        default="", description="Table with a row per trial, in the order of the file; {stem} stands for its name."
    )
    subject: str = Field(default="", description="Column of `table` with the subject of each trial.")
    session: str = Field(default="", description="Column of `table` with the session.")
    group: str = Field(default="", description="Column of `table` with the group.")
    filtered: bool = Field(default=False, description="The signals are filtered already: they are resampled only.")
    pad: Literal["zeros", "reflect"] | None = Field(
        default=None, description="How trials of less than a second are extended to one. Null: they are an error."
    )

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        array = {name: getattr(self, name) for name in ("axes", "sampling_rate_hz", "unit", "channels")}
        absent = [name for name, value in array.items() if not value]
        if 0 < len(absent) < len(array):
            raise ValueError(f"an array needs {' and '.join(absent)} too; epochs of MNE and EEGLAB need none of them")
        if self.axes and not {"channels", "samples"} <= set(self.axes):
            raise ValueError("axes must have channels and samples, and trials if there are trials")
        if len(set(self.axes)) != len(self.axes):
            raise ValueError("axes has a name twice")
        if self.unit:
            microvolts(self.unit)
        if (self.subject or self.session or self.group) and not self.table:
            raise ValueError("subject, session and group are columns of table: state it")
        return self


class Nearest(FrozenModel):
    """Montage of a cap whose electrodes do not have the names of the 10-10 system."""

    montage: str = Field(description="Name of the cap's montage in MNE, such as GSN-HydroCel-128.")
    within_mm: float = Field(default=12.0, gt=0.0, description="Largest distance to an electrode of the model, in mm.")


class Interpolated(FrozenModel):
    """Electrodes of the model that are interpolated from the positions of a cap."""

    montage: str = Field(description="Name of the cap's montage in MNE, such as GSN-HydroCel-128.")
    electrodes: tuple[str, ...] = Field(
        default=TEN_TWENTY, min_length=1, description="Electrodes of the model, by spherical splines."
    )

    @field_validator("electrodes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name, known in zip(names, canonical_names(names), strict=True):
            if known is None or "-" in known:
                raise ValueError(f"{name!r} is no electrode of the model with a position")
        return names


class Channels(FrozenModel):
    """What is done with channels whose names the model does not know, in the order of the keys."""

    rename: dict[Label, Label] = Field(default={}, description="Electrode of each label of the files: {EXG1: M1}.")
    nearest: Nearest | None = Field(
        default=None, description="Each label of a cap is the nearest electrode of the model; the others are left out."
    )
    interpolate: Interpolated | None = Field(
        default=None, description="Electrodes of the model by MNE's spherical splines from the positions of a cap."
    )
    drop: tuple[Label, ...] = Field(default=(), description="Labels, or electrodes, that are left out.")
    temporal_names: Literal["recorded", "legacy", "modern"] = Field(
        default="recorded",
        description="Rows of T7, T8, P7 and P8 in the model. legacy: those of T3, T4, T5 and T6; modern: the reverse.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        targets = list(self.rename.values())
        if repeated := sorted({name for name in targets if targets.count(name) > 1}):
            raise ValueError(f"two labels are renamed to {repeated[0]}: an electrode has one signal")
        if self.nearest and self.interpolate:
            raise ValueError("state either nearest or interpolate")
        return self


class Labels(FrozenModel):
    """Where the labels of a task come from: exactly one of `table`, `trials`, `events`, `bids`, `path` and `from`."""

    table: str = Field(default="", description="A CSV or TSV table, relative to the dataset file.")
    file: str = Field(default="", description="Column with the recording: path, file name, or name without suffix.")
    match: str = Field(default="", description="See `subject.match`: a pattern that finds the value of `file`.")
    subject: str = Field(default="", description="Column with the subject, for labels of a person.")
    session: str = Field(default="", description="Column with the session.")
    label: tuple[str, ...] = Field(
        default=(), description="Column of the label; for a regression, one column per target."
    )
    start: str = Field(default="", description="Column with the start in seconds. Empty: the whole recording.")
    duration: str = Field(default="", description="Column with the duration in seconds.")
    stop: str = Field(default="", description="Column with the end in seconds, instead of `duration`.")
    trials: str = Field(
        default="",
        description="One label per trial: a CSV or TSV table (with `label`), a .npy file, or a variable of the file "
        "with the signals.",
    )
    events: Values | None = Field(
        default=None, description="Class of each annotation or trigger code of the recordings, such as {T1: left}."
    )
    bids: Literal["events", "participants", "scans"] | None = Field(
        default=None, description="events: each recording's events.tsv; participants, scans: these tables of BIDS."
    )
    path: str = Field(
        default="",
        description="Regular expression with the group `label`, searched in the path of each recording; a recording "
        "that it does not match has no label.",
    )
    header: Literal["edf.age", "edf.sex"] | None = Field(
        default=None,
        alias="from",
        description="Age in years, or sex (F or M), in the patient field of EDF and BDF; needs keep_personal: true.",
    )
    missing: tuple[float, ...] = Field(default=(), description="Numbers that mean a missing target, such as 0 and 999.")
    valid: tuple[float, float] | None = Field(
        default=None, description="Least and largest valid target; others in a table are an error, in a header unused."
    )
    values: Values = Field(
        default={}, description="Class of each value that is not the class's name, such as {0: rest}; null: not used."
    )
    files: str = Field(
        default="", description="Regular expression: only recordings whose path it matches have these labels."
    )
    tmin: float = Field(default=0.0, description="Start of the labelled span after an event, in seconds.")
    tmax: float | None = Field(
        default=None, description="End of the labelled span after an event, in seconds. Null: the event's duration."
    )

    @field_validator("label", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("files")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression ({error})") from None
        return pattern

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        keys = {"table": "table", "trials": "trials", "events": "events", "bids": "bids", "path": "path"}
        stated = [key for key, name in {**keys, "from": "header"}.items() if getattr(self, name)]
        if len(stated) != 1:
            raise ValueError(
                f"state exactly one of table, trials, events, bids, path and from, not {' and '.join(stated) or 'none'}"
            )
        if self.path:
            _pattern(self.path, "label")
        if self.table:
            if not self.label:
                raise ValueError("state the column of the labels: label")
            if not (self.file or self.subject):
                raise ValueError("state the column of the recordings (file) or of the subjects (subject)")
            if self.match:
                _pattern(self.match, "file")
            if self.start and not (self.duration or self.stop or self.tmax is not None):
                raise ValueError("state where a labelled span ends: duration, stop or tmax")
        if self.bids in ("participants", "scans") and not self.label:
            raise ValueError("state the column of the labels: label")
        if self.tmax is not None and self.tmax <= self.tmin:
            raise ValueError(f"tmax {self.tmax:g} is not after tmin {self.tmin:g}")
        return self


class TaskFile(FrozenModel):
    """One task of a dataset: its classes or targets, and where their labels come from."""

    title: str = Field(default="", description="Title in reports. Default: the task's name.")
    classes: tuple[Label, ...] = Field(default=(), description="Class names, in the order of their indices.")
    targets: tuple[str, ...] = Field(default=(), description="Names of the targets of a regression, with units.")
    labels: tuple[Labels, ...] = Field(description="Where the labels come from: one source, or several.")

    @field_validator("labels", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.classes) == bool(self.targets):
            raise ValueError("state either classes (two or more) or targets of a regression")
        if len(self.classes) == 1:
            raise ValueError("a task needs two classes or more")
        names = self.classes or self.targets
        if len(set(names)) != len(names):
            raise ValueError("two classes or targets have the same name")
        known = {*self.classes, None}
        for source in self.labels:
            mapped = {**source.values, **(source.events or {})}
            if unknown := [str(label) for label in mapped.values() if label not in known] if self.classes else []:
                raise ValueError(f"{unknown[0]!r} is not one of the classes: {', '.join(self.classes)}")
            if self.targets and not (source.table or source.bids or source.trials or source.header):
                raise ValueError("targets of a regression come from a table or a header")
            fits = {"edf.age": len(self.targets) == 1, "edf.sex": not self.targets, None: True}
            if not fits[source.header]:
                raise ValueError("edf.age is one target of a regression, edf.sex a class")
            if self.targets and source.label and len(source.label) != len(self.targets):
                raise ValueError(f"{len(self.targets)} targets need as many columns in label")
            if self.classes and len(source.label) > 1:
                raise ValueError("a class comes from one column")
        return self

    @property
    def kind(self) -> Kind:
        """Kind of the task in recipes."""
        if self.targets:
            return "regression"
        return "binary" if len(self.classes) == 2 else "multiclass"

    @property
    def names(self) -> tuple[str, ...]:
        """Classes, or targets of a regression."""
        return self.classes or self.targets


class DatasetFile(FrozenModel):
    """A dataset: what its files state neither by themselves nor in a way that a program can know."""

    name: str = Field(pattern=_NAME, description="Name in recipes, catalogues and reports.")
    title: str = Field(default="", description="Title in reports. Default: the name.")
    line_freq_hz: float = Field(description="Power line frequency where it was recorded, 50 or 60.", gt=0.0)
    reference: str = Field(default="not stated", description="Recording reference.")
    licence: str = Field(default="not stated", description="Licence of the recordings.")
    citation: str = Field(default="not stated", description="Publication to cite.")
    obtain: str = Field(default="your own recordings", description="How others obtain the recordings.")
    bids: bool = Field(
        default=False,
        description="The folder is a BIDS dataset: subjects and sessions from its entities, line frequency, reference "
        "and bad channels from its sidecars.",
    )
    files: tuple[str, ...] = Field(
        default=(), description="Globs of the recordings that belong, relative to this file. Empty: all recordings."
    )
    subject: str | SubjectTable | None = Field(
        default=None,
        description="Regular expression with the groups subject and, optionally, session, searched in the path of "
        "each recording relative to this file; or a table. Required unless the dataset is BIDS.",
    )
    group: str | GroupTable | None = Field(
        default=None,
        description="What must stay together in one split, such as a couple, a family or a site: a regular expression "
        "with the group `group`, or a table.",
    )
    population: Annotated[str, Field(pattern=_NAME)] | None = Field(
        default=None, description="Name shared by datasets of the same people: who is in several is one subject."
    )
    split: SplitTable | None = Field(default=None, description="Stated splits. Default: drawn by subject and group.")
    trials: Trials | None = Field(default=None, description="Files of trials, and arrays without a header.")
    channels: Channels = Channels()
    unit_scale: float | dict[str, float] = Field(
        default=1.0, description="Factor that corrects the unit of the files, for all or by suffix: {.edf: 1000}."
    )
    skip_start: Seconds = Field(default=0.0, description="Seconds at the start of each recording that are not used.")
    skip_end: Seconds = Field(default=0.0, description="Seconds at the end of each recording that are not used.")
    at_most: float | None = Field(default=None, gt=0.0, description="Most seconds of a recording that are used.")
    max_window_uv: float | None = Field(
        default=None,
        gt=0.0,
        description="Largest amplitude in a window, instead of the recipe's quality.max_window_uv.",
    )
    keep_personal: bool = Field(
        default=False, description="Age or sex may be read from headers, as labels.from states. Only the owner can say."
    )
    tasks: dict[Annotated[str, Field(pattern=_NAME)], TaskFile] = Field(default={}, description="Tasks with labels.")

    @field_validator("files", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("subject", mode="after")
    @classmethod
    def _subject_group(cls, value: object) -> object:
        return _pattern(value, "subject") if isinstance(value, str) else value

    @field_validator("group", mode="after")
    @classmethod
    def _group_group(cls, value: object) -> object:
        return _pattern(value, "group") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.trials and (self.skip_start or self.skip_end or self.at_most):
            raise ValueError("nothing can be skipped of trials: remove skip_start, skip_end and at_most")
        if any(source.trials for task in self.tasks.values() for source in task.labels) and not self.trials:
            raise ValueError("labels of trials need the key trials, which states the files")
        if self.subject is None and not self.bids and not (self.trials and self.trials.subject):
            raise ValueError("state how the subject is found: subject, a pattern or a table")
        if self.subject is not None and self.bids:
            raise ValueError("in a BIDS dataset the subjects are those of its file names: remove subject, or bids")
        if not self.keep_personal and any(source.header for task in self.tasks.values() for source in task.labels):
            raise ValueError("age and sex are read from headers only with keep_personal: true")
        if not self.bids and any(source.bids for task in self.tasks.values() for source in task.labels):
            raise ValueError("labels from BIDS files need bids: true")
        return self

    @field_validator("unit_scale", mode="after")
    @classmethod
    def _factors(cls, value: float | dict[str, float]) -> float | dict[str, float]:
        """Look suffixes up as files have them: EDF and .EDF are .edf."""
        factors = value if isinstance(value, dict) else {"": value}
        if 0.0 in factors.values():
            raise ValueError("a factor of zero leaves no signal")
        if factors is not value:
            return value
        return {f".{suffix.lower().removeprefix('.')}": factor for suffix, factor in factors.items()}

    @model_validator(mode="after")
    def _inside(self) -> Self:
        for name in self.file_names:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"{name!r} lies outside the folder of the dataset file: copy it there")
        return self

    @property
    def table_names(self) -> tuple[str, ...]:
        """All tables that the file names, relative to it."""
        tables = [source.table for source in (self.subject, self.group, self.split) if isinstance(source, TableSource)]
        tables += [source.table or source.trials for task in self.tasks.values() for source in task.labels]
        tables += [self.trials.table] if self.trials else []
        return tuple(dict.fromkeys(filter(None, tables)))

    @property
    def file_names(self) -> tuple[str, ...]:
        """All files that the file names, relative to it: its tables, and that of channel names."""
        names = [self.trials.channels] if self.trials and isinstance(self.trials.channels, str) else []
        return (*self.table_names, *filter(None, names))


def load(path: Path) -> DatasetFile:
    """Read a dataset file.

    Raises:
        CorpusError: If the file, a key or a value is invalid, or it is a link out of its folder.
    """
    if not lies_inside(path, path.parent):
        raise CorpusError("a link out of the folder", file=path.name, remedy="Copy the file into the folder")
    try:
        settings = strict_yaml.parse(strict_yaml.read_text(path))
    except (OSError, UnicodeDecodeError):
        raise CorpusError("not readable as UTF-8 text", file=path.name, remedy="Save the file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}: {getattr(error, 'problem', '')})" if mark else ""
        raise CorpusError(f"not valid YAML{where}", file=path.name, remedy="Correct the YAML at that line") from None
    if not isinstance(settings, dict):
        raise CorpusError(
            "not a dataset: expected a YAML mapping with name, line_freq_hz, subject and tasks",
            file=path.name,
            remedy="Run `labram datasets init FOLDER`, which drafts one",
        )
    return parse(settings, path.name)


def parse(settings: Mapping[str, Any], source: str) -> DatasetFile:
    """Return a dataset file from its YAML values.

    Raises:
        CorpusError: If a key or a value is invalid.
    """
    try:
        return DatasetFile.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        kinds = {"str", "SubjectTable", "GroupTable", "constrained-str"}
        place = ".".join(str(part) for part in first["loc"] if str(part) not in kinds)
        known = first["type"] != "extra_forbidden"
        raise CorpusError(
            first["msg"].removeprefix("Value error, ") if known else "unknown key",
            file=source,
            field=place,
            remedy="docs/your-own-data.md explains all keys; `labram datasets init` drafts the file",
        ) from None
