"""Look at a folder of recordings, for a draft of its dataset file: formats, channels, durations, names, tables, events.

What is found has text of files: it goes into the owner's dataset file and to the terminal, nowhere else.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np

from labram.datasets import subjects
from labram.datasets.bids import Bids
from labram.datasets.finder import FOLDER
from labram.datasets.stated import label_table
from labram.datasets.stated.column_names import (
    DURATION,
    GROUP,
    GROUP_WORDS,
    MOST_CLASSES,
    PERSONAL,
    SESSION,
    START,
    STOP,
    few_values,
    first_named,
)
from labram.datasets.stated.label_table import Table, TableError, read_table
from labram.datasets.stated.labels import events_table
from labram.datasets.stated.row_matching import names_of
from labram.datasets.stated.trial_survey import TrialFinding, find_trials
from labram.datasets.walk import visible_files
from labram.errors import CorpusError, ReadError, Reason
from labram.signals.filters import LINE_FREQUENCIES_HZ
from labram.signals.lost_channels import lost_channels
from labram.signals.readers import format_of, read
from labram.signals.readers.isolated_reader import ReaderFailed
from labram.signals.readers.trials import ARRAYS, EPOCHS, read_trials
from labram.signals.recording import Recording

_OPENED = 24
"""Recordings whose headers are read, spread over the folder."""
_SPECTRA, _SPECTRUM_SECONDS = 4, 30.0
_LINE_RATIO = 2.0


@dataclass(frozen=True)
class TableFinding:
    """A table, and what its columns seem to be.

    Attributes:
        place: Path relative to the folder.
        table: The table.
        file: Column that names recordings; empty: none.
        subject: Column that names subjects; empty: none.
        start: Column with a start in seconds; empty: none.
        duration: Column with a duration; empty: none.
        stop: Column with an end; empty: none.
        group: Column with what belongs together; empty: none.
        session: Column with sessions; empty: none.
        labels: Columns with few distinct values, with these values.
        matched: Rows that name a recording or subject.
    """

    place: str
    table: Table
    file: str
    subject: str
    start: str
    duration: str
    stop: str
    group: str
    session: str
    labels: dict[str, tuple[str, ...]]
    matched: int


@dataclass(frozen=True)
class Survey:
    """What was found in a folder.

    Attributes:
        folder: The folder.
        places: Paths of all recordings, relative to it.
        formats: Recordings by format.
        bids: Whether it is a BIDS dataset.
        pattern: Proposed pattern of subjects.
        trial_types: Values of `trial_type` in the tables of events of BIDS, with their number.
        span: Median duration of these events; 0: they are points in time.
        group: Proposed pattern of groups; empty: the names do not look like groups.
        subjects: Recordings by subject, by the pattern.
        rates: Opened recordings by sampling rate.
        channels: Opened recordings by number of channels.
        seconds: Durations of the opened recordings.
        lost: Channels that the model does not know, with the recordings that have them.
        events: Recordings by event code, and the number of events.
        no_duration: Event codes without a duration.
        line_freq_hz: Line frequency by the spectrum; None: no clear peak.
        tables: Tables.
        words: Words of file names that could be labels: pattern and values.
        unreadable: Recordings that cannot be read, with the reason.
        others: Files that are not used: spreadsheets, and arrays that are not understood.
        arrays: Array files with signals; None: none.
        epochs: Glob of the files with epochs of MNE or EEGLAB; empty: none.
    """

    folder: Path
    places: tuple[str, ...]
    formats: Counter[str]
    bids: bool
    pattern: str
    subjects: Counter[str]
    rates: Counter[float] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    events: dict[str, tuple[int, int]] = field(default_factory=dict)
    no_duration: frozenset[str] = frozenset()
    line_freq_hz: float | None = None
    tables: tuple[TableFinding, ...] = ()
    words: tuple[str, tuple[str, ...]] = ("", ())
    unreadable: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()
    arrays: TrialFinding | None = None
    epochs: str = ""
    group: str = ""
    trial_types: Counter[str] = field(default_factory=Counter)
    span: float = 0.0


def survey(folder: Path) -> Survey:
    """Look at a folder.

    Raises:
        CorpusError: If it has no recording.
    """
    paths = FOLDER.eeg_files(folder)
    arrays = find_trials(folder)
    used = set(arrays.places) if arrays else set()
    paths = [path for path in paths if path.relative_to(folder).as_posix() not in used]
    places = tuple(path.relative_to(folder).as_posix() for path in paths) or (arrays.places if arrays else ())
    if not places:
        raise CorpusError(
            "no EEG file and no array of signals in this folder",
            file=folder,
            remedy=f"Choose a folder with recordings ({', '.join(sorted(FOLDER.suffixes))}) or arrays "
            f"({', '.join(sorted(ARRAYS))})",
        )
    bids = Bids().recognises(folder)
    group = "" if bids else _group(places)
    pattern = r"(?P<subject>sub-[^_/]+)" if bids else _within(group, places) or subjects.propose(places).pattern
    found = Counter(match["subject"] for place in places if (match := re.search(pattern, place)))
    opened = [paths[round(i)] for i in np.linspace(0, len(paths) - 1, min(_OPENED, len(paths)))] if paths else []
    recordings, unreadable, epochs = _open(opened, folder)
    trial_types, span = _trial_types(opened, folder) if bids else (Counter(), 0.0)
    found_arrays = Counter({f"array ({Path(arrays.places[0]).suffix})": len(arrays.places)} if arrays else {})
    seen = Survey(
        folder=folder,
        places=places,
        formats=Counter(format_of(path) or path.suffix for path in paths) + found_arrays,
        bids=bids,
        pattern=pattern,
        subjects=found,
        tables=tuple(_tables(folder, set(places), places, set(found))),
        words=_words(places, pattern),
        unreadable=tuple(unreadable),
        others=tuple(_others(folder, {*places, *used, arrays.labels if arrays else ""})),
        arrays=arrays,
        epochs=epochs,
        group=group,
        trial_types=trial_types,
        span=span,
    )
    return _with_headers(seen, recordings)


def _with_headers(found: Survey, recordings: Sequence[Recording]) -> Survey:
    """Return the survey with what the headers of the opened recordings state."""
    codes = Counter(event.code for recording in recordings for event in recording.events)
    return replace(
        found,
        rates=Counter(recording.sfreq for recording in recordings),
        channels=Counter(len(recording.channels) for recording in recordings),
        seconds=[recording.seconds for recording in recordings],
        lost=Counter(label for recording in recordings for label in lost_channels(recording.channels)),
        events={
            code: (sum(any(event.code == code for event in one.events) for one in recordings), count)
            for code, count in codes.most_common(MOST_CLASSES)
        },
        no_duration=frozenset(event.code for one in recordings for event in one.events if event.duration <= 0),
        line_freq_hz=_line_freq(recordings),
    )


def _trial_types(paths: Sequence[Path], folder: Path) -> tuple[Counter[str], float]:
    """Return the values of `trial_type` in tables of events, with their number, and the median duration."""
    types: Counter[str] = Counter()
    durations: list[float] = []
    for path in filter(Path.is_file, map(events_table, paths)):
        try:
            table = read_table(path, folder)
            table.require("trial_type", "duration")
            types.update(value for row in table.rows if (value := row.stated("trial_type")))
            durations += [table.number(row, "duration") for row in table.rows if row.stated("duration")]
        except TableError:
            continue
    return types, float(np.median(durations)) if durations else 0.0


def _group(places: Sequence[str]) -> str:
    """Return a pattern of groups, if the paths of all recordings name one, such as a dyad."""
    pattern = rf"(?i)(?P<group>(?:{GROUP_WORDS})[-_ ]?\d+)"
    return pattern if all(re.search(pattern, place) for place in places) else ""


def _within(group: str, places: Sequence[str]) -> str:
    """Return a pattern of the subjects of groups, numbered or lettered within each; empty if they are not."""
    member = r")[-_ /]*(?:[a-z]*\d+|[a-z])(?![a-z0-9]))"
    pattern = group.replace("(?P<group>", "(?P<subject>(?:").removesuffix(")") + member
    return pattern if group and all(re.search(pattern, place) for place in places) else ""


def _open(paths: Sequence[Path], folder: Path) -> tuple[list[Recording], list[tuple[str, str]], str]:
    """Return the opened recordings, those that cannot be read, and a glob of the files with epochs."""
    recordings, unreadable, epochs = [], [], ""
    for path in paths:
        try:
            try:
                recordings.append(read(path))
            except ReadError as error:
                if error.reason is not Reason.EPOCHED or path.suffix.lower() not in EPOCHS:
                    raise
                recordings.append(read_trials(path, None, None))
                epochs = (
                    f"**/*{match[0]}" if (match := re.search(r"[-_]epo\.fif$", path.name)) else f"**/*{path.suffix}"
                )
        except (ReadError, ReaderFailed, OSError) as error:
            problem = error.problem if isinstance(error, ReadError) else "cannot be read"
            unreadable.append((path.relative_to(folder).as_posix(), problem))
    return recordings, unreadable, epochs


def _line_freq(recordings: Sequence[Recording]) -> float | None:
    """Return 50 or 60 if the spectrum of the recordings has a clear peak there and not at the other."""
    ratios = [ratio for recording in recordings[:: max(1, len(recordings) // _SPECTRA)] if (ratio := _peaks(recording))]
    if not ratios:
        return None
    at_50, at_60 = np.median(np.array(ratios), axis=0)
    if max(at_50, at_60) < _LINE_RATIO or min(at_50, at_60) > max(at_50, at_60) / _LINE_RATIO:
        return None
    return 50.0 if at_50 > at_60 else 60.0


def _peaks(recording: Recording) -> tuple[float, float] | None:
    """Return the power at 50 and 60 Hz relative to that of the neighbouring frequencies, median over channels."""
    from scipy.signal import welch

    samples = int(min(recording.seconds, _SPECTRUM_SECONDS) * recording.sfreq)
    if recording.sfreq < 2 * 65 or samples < 4 * recording.sfreq:
        return None
    try:
        data = recording.read(range(min(8, len(recording.channels))), 0, samples)
    except (ReadError, ReaderFailed, OSError):
        return None
    freqs, power = welch(data, recording.sfreq, nperseg=int(4 * recording.sfreq))
    ratios = []
    for line in LINE_FREQUENCIES_HZ:
        distance = np.abs(freqs - line)
        around = np.median(power[:, (distance > 1) & (distance < 4)], axis=1)
        peak = power[:, distance <= 0.5].max(axis=1)
        ratios.append(float(np.median(peak / np.maximum(around, 1e-12))))
    return ratios[0], ratios[1]


def _tables(folder: Path, recordings: set[str], places: Sequence[str], names: set[str]) -> Iterator[TableFinding]:
    for path in visible_files(folder, label_table.SUFFIXES - {".txt"}):
        place = path.relative_to(folder).as_posix()
        if place in recordings or place.endswith(("_events.tsv", "_channels.tsv", "_electrodes.tsv", "_scans.tsv")):
            continue
        try:
            table = read_table(path)
        except TableError:
            continue
        if finding := _finding(place, table, places, names):
            yield finding


def _finding(place: str, table: Table, places: Sequence[str], names: set[str]) -> TableFinding | None:
    ends = {name for recording in places for name in names_of(recording, "")}
    matches = {
        column: (
            sum(row.cells[column].replace("\\", "/") in ends for row in table.rows),
            sum(row.cells[column] in names for row in table.rows),
        )
        for column in table.columns
    }
    file = max(table.columns, key=lambda column: matches[column][0])
    subject = max(table.columns, key=lambda column: matches[column][1])
    file, subject = (file if matches[file][0] else ""), (subject if matches[subject][1] else "")
    if not (file or subject):
        return None
    keys = {file, subject}
    times = {kind: first_named(table, rule, keys) for kind, rule in (("s", START), ("d", DURATION), ("e", STOP))}
    group, session = first_named(table, GROUP, keys, numbers=False), first_named(table, SESSION, keys, numbers=False)
    rest = [c for c in table.columns if c not in {*keys, *times.values(), group, session} and not PERSONAL.search(c)]
    labels = {column: values for column in rest if (values := few_values(table, column))}
    matched = matches[file][0] if file else matches[subject][1]
    start = times["s"]
    return TableFinding(
        place, table, file, subject, start, times["d"] if start else "", times["e"] if start else "", group, session,
        labels, matched,
    )  # fmt: skip


def _words(places: Sequence[str], pattern: str) -> tuple[str, tuple[str, ...]]:
    """Return a pattern and its values, if one part of the names varies within subjects and recurs between them."""
    parts = [re.split(r"[-_. /]+", str(PurePosixPath(place).with_suffix(""))) for place in places]
    length = min(map(len, parts), default=0)
    for position in range(1, length + 1):
        by_word: dict[str, set[str]] = {}
        for place, split in zip(places, parts, strict=True):
            match = re.search(pattern, place)
            by_word.setdefault(split[-position], set()).add(match["subject"] if match else "")
        words = tuple(by_word)
        letters = all(re.fullmatch(r"[A-Za-z]+\d{0,2}", word) for word in words)
        numbered = len({word.rstrip("0123456789") for word in words}) < len(words)
        telling = any(re.split(r"[-_. /]+", subject)[-1] == word for word in words for subject in by_word[word])
        if telling:  # the subjects apart, such as A and B of a couple
            continue
        if letters and not numbered and 2 <= len(words) <= MOST_CLASSES and min(map(len, by_word.values())) > 1:
            return rf"(?:^|[-_. /])(?P<label>{'|'.join(map(re.escape, sorted(words)))})(?=[-_. /])", tuple(
                sorted(words)
            )
    return "", ()


def _others(folder: Path, recordings: set[str]) -> Iterator[str]:
    suffixes = {".mat", ".npy", ".npz", ".h5", ".hdf5", ".mdb", ".pkl", ".pickle"} | label_table.SPREADSHEETS
    for path in visible_files(folder, frozenset(suffixes)):
        if (place := path.relative_to(folder).as_posix()) not in recordings:
            yield place
