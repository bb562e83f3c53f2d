"""Facts in BIDS sidecars: each is used, or named by a warning code of the recording (docs/quality.md).

A sidecar that breaks JSON or BIDS in a way that leaves its meaning clear is used, with the code ``sidecar_repaired``:
Latin-1 text, a trailing comma, a number as text, a key in other capitals.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labram.datasets.base import RecordingFile
from labram.datasets.containment import lies_inside
from labram.errors import ReadError, Reason
from labram.signals.filters import LINE_FREQUENCIES_HZ
from labram.signals.readers.limits import MOST_TEXT_BYTES, read_bytes
from labram.signals.readers.units import microvolts

ENTITIES = re.compile(r"(?P<subject>sub-[^_]+)_(?:(?P<session>.+)_)?eeg")
"""Names of recordings without suffix."""
_RATE = "rate_contradicts_sidecar"
_FIELDS, _TABLE, _EVENTS = "_eeg.json", "_channels.tsv", "_events.tsv"
_MAX_BYTES = 1 << 20
_MAX_NUMBER = 1e6
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:\s*hz)?", re.IGNORECASE)
_STRING_OR_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')
_NOT_STATED = frozenset({"", "n/a", "na", "nan", "none", "null", "unknown"})
_TYPES = "AUDIO DBS ECG ECOG EMG EOG EYEGAZE GSR HEOG MISC OTHER PPG PUPIL REF RESP SEEG SYSCLOCK TEMP TRIG VEOG"
_OTHER_TYPES = frozenset(_TYPES.split())
"""Channel types of BIDS (EEG, iEEG) besides EEG."""


@dataclass(frozen=True)
class Facts:
    """What the sidecars of one recording state.

    Attributes:
        line_freq_hz: 50 or 60; None: not stated or not understood, which `notes` tells.
        reference: Recording reference; empty: not stated.
        excluded_channels: Names of the channels that are bad or not EEG.
        notes: Warning codes.
        epoched: Whether the recording is cut into epochs.
        rate_hz: Sampling rate; None: not stated or not understood, which `notes` tells.
        duration_seconds: Duration of the recording; None: not stated or not understood.
        bad_spans: Start and stop in seconds of the events that mark the recording as bad.
    """

    line_freq_hz: float | None
    reference: str
    excluded_channels: frozenset[str]
    notes: tuple[str, ...]
    epoched: bool = False
    rate_hz: float | None = None
    duration_seconds: float | None = None
    bad_spans: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class _Contradiction:
    """The value of a field that a sidecar states twice, differently: it is none that a field may have."""


@dataclass
class _Reading:
    """Reads sidecars inside a corpus folder and collects warning codes, each once."""

    corpus: Path
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, code: str) -> None:
        self.notes[code] = None

    def fields(self, path: Path) -> dict[str, tuple[str, Any]]:
        """Return the fields of a JSON sidecar, name and value by the name in lower case.

        None, with a note, if it cannot be understood.
        """
        text = self.text(path)
        if text is None:
            return {}
        try:
            content = json.loads(text, object_pairs_hook=self._object)
        except (ValueError, RecursionError):
            content = self._without_trailing_commas(text)
        if not isinstance(content, dict):
            self.note("sidecar_unreadable")
            return {}
        spelled: dict[str, tuple[str, Any]] = {}
        for name, value in content.items():
            key = name.strip().lower()
            spelled[key] = (name, self._once(value, [spelled[key][1]] if key in spelled else []))
        return spelled

    def _without_trailing_commas(self, text: str) -> Any:
        repaired = _STRING_OR_COMMA.sub(lambda match: match[1] or "", text)
        try:
            content = json.loads(repaired, object_pairs_hook=self._object)
        except (ValueError, RecursionError):
            return None
        self.note("sidecar_repaired")
        return content

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object of JSON; a name that it has twice has no value if the two differ."""
        content: dict[str, Any] = {}
        for name, value in pairs:
            content[name] = self._once(value, [content[name]] if name in content else [])
        return content

    def _once(self, value: Any, before: list[Any]) -> Any:
        if before:
            self.note("sidecar_repaired")
        return value if all(each == value for each in before) else _Contradiction()

    def rows(self, path: Path) -> list[dict[str, str]]:
        """Return the rows of a table with its column names in lower case; none, with a note, if it names no channel."""
        text = self.text(path)
        if text is None:
            return []
        lines = [line.split("\t") for line in text.splitlines()]
        columns = [name.strip().lower() for name in lines[0]] if lines else []
        if "name" not in columns:
            self.note("sidecar_unreadable")
            return []
        lines = [line for line in lines[1:] if any(map(str.strip, line))]
        return [self._row(columns, [cell.strip() for cell in line]) for line in lines]

    def _row(self, columns: list[str], cells: list[str]) -> dict[str, str]:
        """Return a row by column; one that lacks cells is bad if any of its cells says so."""
        row = dict(zip(columns, cells, strict=False))
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            self.note("channels_not_understood")
            return row | ({"status": "bad"} if "bad" in map(str.lower, cells[1:]) else {})
        return row

    def text(self, path: Path, most: int = _MAX_BYTES) -> str | None:
        """Return the text of a file; None, with a note, if it is no regular file, too large, or outside the corpus."""
        try:
            content = read_bytes(path, most) if lies_inside(path, self.corpus) else None
        except (OSError, ReadError):
            content = None
        if content is None:
            self.note("sidecar_unreadable")
            return None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            self.note("sidecar_repaired")
            return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin1", "replace")

    def value(self, fields: dict[str, Any], name: str) -> Any:
        """Return a field by its name, in any capitals; `fields` has names and values by name in lower case."""
        key, value = fields.get(name.lower(), (name, None))
        if key != name:
            self.note("sidecar_repaired")
        return value


def read_facts(path: Path, folder: Path, corpus: Path | None = None) -> Facts:
    """Return what the sidecars of a recording state, by the BIDS inheritance principle.

    Args:
        path: The recording.
        folder: Root of the BIDS dataset.
        corpus: The corpus folder, which links must not leave; None: `folder`.
    """
    reading = _Reading(corpus or folder)
    fields: dict[str, Any] = {}
    for sidecar in _applicable(path, folder, _FIELDS):
        fields |= reading.fields(sidecar)
    line_freq = _line_freq(reading, reading.value(fields, "PowerLineFrequency"))
    reference = reading.value(fields, "EEGReference")
    if isinstance(reference, list) and all(isinstance(part, str) for part in reference):
        reading.note("sidecar_repaired")
        reference = ", ".join(reference)
    recording_type = reading.value(fields, "RecordingType")
    kind = "" if _absent(recording_type) else str(recording_type).strip().lower()
    if kind not in ("", "continuous", "epoched"):
        reading.note("gaps_unknown")
    if not kind and _number(reading.value(fields, "EpochLength")):
        reading.note("gaps_unknown")
    duration = _positive(reading, fields, "RecordingDuration", "duration_contradicts_sidecar")
    tables = list(_applicable(path, folder, _TABLE))
    rows = reading.rows(tables[-1]) if tables else []
    excluded = frozenset(row["name"] for row in rows if row.get("name") and _is_excluded(reading, row))
    rate_hz = _rate(reading, fields, rows)
    tables = list(_applicable(path, folder, _EVENTS))
    bad_spans = _bad_spans(reading, tables[-1]) if tables else ()
    reference = "" if _absent(reference) else str(reference)
    epoched = kind == "epoched"
    return Facts(line_freq, reference, excluded, tuple(reading.notes), epoched, rate_hz, duration, bad_spans)


def with_facts(file: RecordingFile, folder: Path, corpus: Path | None = None) -> RecordingFile:
    """Return a recording with what its sidecars state (see `read_facts`)."""
    facts = read_facts(file.path, folder, corpus)
    return replace(
        file,
        line_freq_hz=facts.line_freq_hz,
        reference=facts.reference,
        rate_hz=facts.rate_hz,
        duration_seconds=facts.duration_seconds,
        bad_spans=facts.bad_spans,
        excluded_channels=facts.excluded_channels,
        notes=facts.notes,
        quarantined=(Reason.EPOCHED, "its sidecar states that it is cut into epochs") if facts.epoched else None,
    )


def has_sidecars(path: Path, folder: Path) -> bool:
    """Return whether a recording outside a BIDS dataset is named as in one and has sidecars up to `folder`."""
    return ENTITIES.fullmatch(path.stem) is not None and any(
        next(_applicable(path, folder, suffix), None) for suffix in (_FIELDS, _TABLE, _EVENTS)
    )


def _bad_spans(reading: _Reading, table: Path) -> tuple[tuple[float, float], ...]:
    """Return the events whose type begins with ``bad``, as MNE-BIDS writes them; noted if their times are no numbers.

    The codes of other events are not read.
    """
    text = reading.text(table, MOST_TEXT_BYTES)
    if text is None or "bad" not in text.lower():
        return ()
    header, *lines = (line.split("\t") for line in text.splitlines())
    columns, spans = [name.strip().lower() for name in header], []
    for row in (dict(zip(columns, line, strict=False)) for line in lines):
        if not row.get("trial_type", "").strip().lower().startswith("bad"):
            continue
        try:
            onset, duration = float(row["onset"]), float(row["duration"])
        except (KeyError, ValueError):
            reading.note("events_not_understood")
            continue
        if duration > 0 and math.isfinite(onset + duration):
            spans.append((onset, onset + duration))
    return tuple(spans)


def _positive(reading: _Reading, fields: dict[str, Any], name: str, code: str) -> float | None:
    """Return a number of a sidecar; None, with a note unless it is not stated, if it is no positive one."""
    value = reading.value(fields, name)
    if _absent(value):
        return None
    number = _number(value)
    if number is None or number <= 0:
        reading.note(code)
        return None
    return number


def _rate(reading: _Reading, fields: dict[str, Any], rows: list[dict[str, str]]) -> float | None:
    """Return the sampling rate of sidecar and `channels.tsv`; noted if one is no number, or if they differ."""
    cells = {row.get("sampling_frequency", "") for row in rows if row.get("type", "").upper() in ("", "EEG")}
    rates = [_number(cell) or 0.0 for cell in sorted(cells) if not _absent(cell)]
    stated = _positive(reading, fields, "SamplingFrequency", _RATE)
    if stated:
        rates.insert(0, stated)
    if not all(rate > 0 and math.isclose(rate, rates[0], rel_tol=0.01) for rate in rates):
        reading.note(_RATE)
        return stated
    return rates[0] if rates else None


def _applicable(path: Path, folder: Path, suffix: str) -> Iterator[Path]:
    """Yield the sidecars that apply to a recording, the nearest last."""
    entities = set(path.stem.split("_")[:-1])
    for directory in reversed([parent for parent in path.parents if parent == folder or folder in parent.parents]):
        files = sorted(directory.iterdir(), key=lambda file: (len(file.name), file.name)) if directory.is_dir() else []
        yield from (file for file in files if file.name.lower() == suffix.removeprefix("_"))
        for file in files:
            if file.name.lower().endswith(suffix) and set(file.name[: -len(suffix)].split("_")) <= entities:
                yield file


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NOT_STATED)


def _line_freq(reading: _Reading, value: Any) -> float | None:
    """Return the line frequency; of a list of harmonics, the first."""
    if _absent(value):
        reading.note("line_freq_not_stated")
        return None
    first = value[0] if isinstance(value, list) and value else value
    number = _number(first)
    harmonics = [_number(each) for each in value] if isinstance(value, list) else [number]
    if number not in LINE_FREQUENCIES_HZ or any(each is None or each % number for each in harmonics):
        reading.note("line_freq_not_understood")
        return None
    if first is not value or isinstance(value, str):
        reading.note("sidecar_repaired")
    return number


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.strip())
        return float(match[1]) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _MAX_NUMBER else None


def _is_excluded(reading: _Reading, row: dict[str, str]) -> bool:
    """Whether a channel is bad or not EEG. A type or status that BIDS does not define is noted and excludes nothing.

    So is a unit of EEG other than µV: values are in the unit that the recording states.
    """
    kind, status = row.get("type", "").upper(), row.get("status", "").lower()
    understood = kind.lower() in _NOT_STATED or kind == "EEG" or kind in _OTHER_TYPES
    described = status in _NOT_STATED and not _absent(row.get("status_description"))
    if not understood or described or not (status in _NOT_STATED or status in ("good", "bad")):
        reading.note("channels_not_understood")
    unit = row.get("units", "")
    if kind == "EEG" and not (unit.lower() in _NOT_STATED or microvolts(unit) == 1):
        reading.note("channels_not_understood")
    return kind in _OTHER_TYPES or status == "bad"
