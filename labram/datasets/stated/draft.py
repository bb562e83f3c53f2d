"""Draft a `dataset.yaml` from a survey: the best reading of a folder, and every doubt as a comment."""

import re
from collections.abc import Iterator, Sequence
from statistics import median

from labram.datasets.registry import ADAPTERS
from labram.datasets.stated.survey import Survey, TableFinding
from labram.datasets.stated.trial_survey import TrialFinding

_DOUBT = "# ?"
_SHOWN = 6
_EEG_UV = (3.0, 300.0)


def draft(found: Survey) -> str:
    """Return the text of a commented dataset file."""
    amounts = [] if found.arrays or found.epochs else _amounts()
    return "\n".join([*_head(found), *_subjects(found), *_trials(found), *amounts, *_tasks(found)]) + "\n"


def doubts(text: str) -> list[str]:
    """Return the doubts of a draft."""
    return [line.strip().removeprefix(_DOUBT).strip() for line in text.splitlines() if line.strip().startswith(_DOUBT)]


def _head(found: Survey) -> Iterator[str]:
    formats = ", ".join(f"{count} {name}" for name, count in found.formats.most_common())
    yield "# What these recordings are. Drafted by `labram datasets init`: lines with `# ?` are doubts."
    yield "# Correct them, then run `labram datasets check`. docs/your-own-data.md explains all keys."
    yield f"# Found: {formats}."
    if found.seconds:
        yield f"# Channels: {_counted(found.channels)}. Sampling rates: {_counted(found.rates, ' Hz')}."
        low, high = min(found.seconds), max(found.seconds)
        yield f"# Durations: {low:.0f} to {high:.0f} s, median {median(found.seconds):.0f} s."
    for place, problem in found.unreadable[:_SHOWN]:
        yield f"{_DOUBT} {place} cannot be read: {problem}"
    for place in found.others[:_SHOWN]:
        yield f"{_DOUBT} {place} is not used: no array of signals; export spreadsheets as CSV"
    yield f"name: {_name(found)}"
    yield f"title: {quoted(found.folder.name)}"
    if found.line_freq_hz:
        yield f"line_freq_hz: {found.line_freq_hz:g}  # by the peak in the spectra"
    else:
        yield f"{_DOUBT} the spectra have no clear peak at 50 or 60 Hz: state the line frequency of the place"
        yield "line_freq_hz: 50"
    yield "reference: not stated  # such as Cz, average, linked ears"
    yield "licence: not stated"
    if found.lost:
        names = ", ".join(name for name, _ in found.lost.most_common(_SHOWN))
        yield f"{_DOUBT} {len(found.lost)} channels are no electrodes of the model and are left out: {names}"


def _counted(counter: "object", unit: str = "") -> str:
    assert hasattr(counter, "most_common")
    return ", ".join(f"{value:g}{unit}" for value, _ in counter.most_common(_SHOWN))


def _name(found: Survey) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", found.folder.resolve().name.lower()).strip("_")
    name = name if re.match(r"[a-z]", name) else f"study_{name}".rstrip("_")
    return f"my_{name}" if name in ADAPTERS else name


def quoted(text: str) -> str:
    """Return a text as a YAML string."""
    return "'" + text.replace("'", "''") + "'"


def _subjects(found: Survey) -> Iterator[str]:
    yield ""
    if found.bids:
        yield "# Subjects, line frequency, reference and bad channels are those that BIDS states:"
        yield f"# {len(found.subjects)} subjects."
        yield "bids: true"
        return
    if found.arrays and found.arrays.subject:
        yield f"# Subjects: column {found.arrays.subject} of {found.arrays.table}, see trials."
        return
    per_subject = sorted(set(found.subjects.values()))
    counts = f"{len(found.subjects)} subjects with {' or '.join(map(str, per_subject[:4]))} recordings each"
    names = ", ".join(sorted(found.subjects)[:_SHOWN])
    yield f"# Searched in each path: {counts}: {names}{' …' if len(found.subjects) > _SHOWN else ''}"
    if 1 < len(found.subjects) == len(found.places):
        yield f"{_DOUBT} every recording is another subject by this pattern: is that true?"
    if "subject>[^/]+)" in found.pattern:
        yield f"{_DOUBT} the names do not look like subjects: check the pattern"
    yield f"subject: {quoted(found.pattern)}"
    if found.group:
        yield f"{_DOUBT} are these groups, such as couples? They stay in one split:"
        yield f"group: {quoted(found.group)}"
    for table in found.tables:
        if table.group:
            key = f"file: {table.file}" if table.file else f"subject: {table.subject}"
            yield f"{_DOUBT} must those with one value of {table.group} ({table.place}) stay in one split? Then:"
            yield f"# group: {{table: {table.place}, {key}, group: {table.group}}}"


def _trials(found: Survey) -> Iterator[str]:
    if found.epochs:
        yield ""
        yield "# Epochs state channels, sampling rate and unit themselves."
        yield f"trials: {{files: {quoted(found.epochs)}}}"
        yield ""
    elif found.arrays:
        yield ""
        yield from _array(found.arrays)
        yield ""


def _array(array: TrialFinding) -> Iterator[str]:
    shape = " x ".join(map(str, array.shape))
    yield f"# {len(array.places)} files with an array of {shape}; what they do not state:"
    yield "trials:"
    yield f"  files: {quoted(array.glob)}"
    if array.variable:
        yield f"  variable: {array.variable}"
    if not (array.axes and array.channels):
        yield f"  {_DOUBT} which axis of {shape} is which: trials, channels or samples?"
    yield f"  axes: [{', '.join(array.axes or ('trials', 'channels', 'samples')[-len(array.shape) :])}]"
    if array.rate is None:
        yield f"  {_DOUBT} the sampling rate in Hz:"
        yield "  sampling_rate_hz: 250"
    else:
        yield f"  sampling_rate_hz: {array.rate:g}"
    unit, reason = _unit(array.amplitude)
    yield f"  {_DOUBT} the unit: V, mV, µV, or a multiple such as 100 µV if amplitudes were divided by 100"
    if reason:
        yield f"  # {reason}"
    yield f"  unit: {unit}"
    if array.channels:
        yield f"  channels: {array.channels}"
    else:
        yield f"  {_DOUBT} the channel names in order, or a text file with one name a line:"
        yield "  channels: channels.txt"
    yield f"  {_DOUBT} were the signals filtered before? Then true: they are resampled only"
    yield "  filtered: false"
    if array.table and array.subject:
        yield f"  # {array.table} has a row per trial; session and group may be columns too."
        yield f"  table: {array.table}"
        yield f"  subject: {_label(array.subject)}"
        if array.session:
            yield f"  session: {_label(array.session)}"
        if array.group:
            yield f"  {_DOUBT} must those with one value of {array.group} stay in one split? Then:"
            yield f"  # group: {_label(array.group)}"
    elif array.table:
        yield f"  {_DOUBT} {array.table} has a row per trial: which of its columns is the subject?"
        yield f"  # table: {array.table}"
        yield "  # subject: subject"


def _unit(amplitude: float | None) -> tuple[str, str]:
    """Return the likely unit of signals by their standard deviation, and why; EEG has some 5 to 100 µV."""
    if amplitude is None:
        return "µV", ""
    for unit, microvolts in (("µV", 1.0), ("100 µV", 100.0), ("V", 1e6)):
        if _EEG_UV[0] <= amplitude * microvolts <= _EEG_UV[1]:
            return unit, f"Their standard deviation is {amplitude:.2g}, as of EEG in {unit}."
    return "µV", f"Their standard deviation is {amplitude:.2g}, which is that of EEG in none of them."


def _amounts() -> list[str]:
    return [
        "",
        "# What to use of each recording, in seconds:",
        "# skip_start: 0",
        "# skip_end: 0",
        "# at_most: 600",
        "",
    ]


def _tasks(found: Survey) -> Iterator[str]:
    sources = list(_sources(found))
    if not sources:
        yield f"{_DOUBT} no labels found: the recordings can be used for pre-training. A task would look like this:"
        yield "# tasks:"
        yield "#   condition:"
        yield "#     classes: [rest, task]"
        yield "#     labels: {table: labels.csv, file: file, label: condition}"
        return
    yield "tasks:"
    for number, lines in enumerate(sources):
        if number == 1:
            yield "  # Other possible tasks; remove the # of those you want:"
        yield from (f"  {'# ' if number else ''}{line}" for line in lines)


def _sources(found: Survey) -> Iterator[list[str]]:
    if found.arrays:
        yield from _trial_tasks(found.arrays)
    if found.events and found.epochs:
        yield list(_event_task(found))
    for table in found.tables:
        for column, values in table.labels.items():
            yield list(_table_task(table, column, values))
    pattern, words = found.words
    if words:
        yield [
            "word:",
            f"  classes: [{', '.join(map(_label, words))}]  # words of the file names",
            f"  labels: {{path: {quoted(pattern)}}}",
        ]
    if found.events and not found.bids and not found.epochs:
        yield list(_event_task(found))
    if found.trial_types:
        yield list(_bids_task(found))


def _trial_tasks(array: TrialFinding) -> Iterator[list[str]]:
    """Yield tasks of an array of labels, and of columns of a table with a row per trial."""
    if array.labels:
        named = list(map(_class_name, array.values))
        mapping = ", ".join(f"{_label(value)}: {_label(name)}" for value, name in zip(array.values, named, strict=True))
        yield [
            "label:",
            f"  {_DOUBT} name the classes of {array.labels}, one label per trial:",
            f"  classes: [{', '.join(map(_label, named))}]",
            f"  labels: {{trials: {array.labels}, values: {{{mapping}}}}}",
        ]
    for column, values in array.columns.items():
        yield [
            f"{_task_name(column)}:",
            f"  classes: [{', '.join(map(_label, values))}]  # in the order of {array.table}",
            f"  labels: {{trials: {array.table}, label: {_label(column)}}}",
        ]


def _table_task(table: TableFinding, column: str, values: Sequence[str]) -> Iterator[str]:
    yield f"{_task_name(column)}:"
    folded: dict[str, str] = {}
    for value in values:
        folded.setdefault("".join(value.split()).casefold(), value)
    same = {value: folded["".join(value.split()).casefold()] for value in values}
    mapped = {value: name for value, name in same.items() if value != name}
    yield f"  classes: [{', '.join(map(_label, dict.fromkeys(same.values())))}]  # in the order of {table.place}"
    if table.matched < len(table.table.rows):
        yield f"  {_DOUBT} {len(table.table.rows) - table.matched} of {len(table.table.rows)} rows match no recording"
    if mapped:
        yield f"  {_DOUBT} values that differ in case or blanks only count as one: {', '.join(map(quoted, mapped))}"
    keys = [f"table: {table.place}"]
    keys += [f"file: {_label(table.file)}"] if table.file else [f"subject: {_label(table.subject)}"]
    keys += [f"session: {_label(table.session)}"] if table.session and not table.file else []
    keys += [f"label: {_label(column)}"]
    if table.start and (table.duration or table.stop):
        end = f"duration: {_label(table.duration)}" if table.duration else f"stop: {_label(table.stop)}"
        keys += [f"start: {_label(table.start)}", end]
    if mapped:
        keys += [f"values: {{{', '.join(f'{_label(value)}: {_label(name)}' for value, name in mapped.items())}}}"]
    yield f"  labels: {{{', '.join(keys)}}}"


def _task_name(column: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_") or "label"
    return name if re.match(r"[a-z]", name) else f"label_{name}"


def _bids_task(found: Survey) -> Iterator[str]:
    """Yield the task of `trial_type`; its values are the classes."""
    counts = ", ".join(f"{name} x {count}" for name, count in found.trial_types.most_common(_SHOWN))
    yield "trial_type:"
    yield f"  {_DOUBT} values of trial_type: {counts}. Remove those that are no class:"
    yield f"  classes: [{', '.join(map(_label, sorted(found.trial_types)))}]"
    if found.span > 0:
        yield f"  # The labelled span is the event's duration (median {found.span:.1f} s); tmin and tmax state another."
        yield "  labels: {bids: events, label: trial_type}"
    else:
        yield f"  {_DOUBT} the events have no duration: state the labelled span in seconds after each"
        yield "  labels: {bids: events, label: trial_type, tmin: 0, tmax: 4}"


def _event_task(found: Survey) -> Iterator[str]:
    counts = ", ".join(f"{code} x {count}" for code, (_, count) in found.events.items())
    codes = list(found.events)
    yield "event:"
    yield f"  {_DOUBT} annotations and triggers found: {counts}. Name the classes:"
    yield f"  classes: [{', '.join(_label(_class_name(code)) for code in codes)}]"
    span = "tmin: 0, tmax: 1"
    if found.epochs:
        yield "  # Each epoch is a labelled span."
        span = ""
    elif not set(codes) & found.no_duration:
        yield "  # The labelled span is the event's duration; tmin and tmax state another one, in seconds after it."
        span = ""
    mapping = ", ".join(f"{_label(code)}: {_label(_class_name(code))}" for code in codes)
    yield f"  labels: {{events: {{{mapping}}}{', ' + span if span else ''}}}"


def _class_name(value: str) -> str:
    """Return a name for a value; a number is none."""
    return f"class {value}" if re.fullmatch(r"-?[\d.]+", value) else value


def _label(text: str) -> str:
    """Return a label as YAML, quoted where YAML would read something else than text."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_ .-]*", text) and not re.fullmatch(
        r"(?i)y|n|yes|no|on|off|true|false|null|nan|~", text
    )
    return text if plain else quoted(text)
