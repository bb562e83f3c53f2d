"""Facts in BIDS sidecars: each is used, or named by a warning code of the recording (docs/quality.md).

A sidecar that breaks JSON or BIDS in a way that leaves its meaning clear is used, with the code ``sidecar_repaired``:
Latin-1 text, a trailing comma, a number as text, a key in other capitals.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labram.datasets.containment import lies_inside
from labram.errors import ReadError
from labram.signals.readers.limits import read_bytes
from labram.signals.readers.units import microvolts

_MAX_BYTES = 1 << 20
_LINE_FREQS = (50.0, 60.0)
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
    """

    line_freq_hz: float | None
    reference: str
    excluded_channels: frozenset[str]
    notes: tuple[str, ...]
    epoched: bool = False
    rate_hz: float | None = None


@dataclass
class _Reading:
    """Reads sidecars inside a corpus folder and collects warning codes, each once."""

    corpus: Path
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, code: str) -> None:
        self.notes[code] = None

    def fields(self, path: Path) -> dict[str, Any]:
        """Return the fields of a JSON sidecar; none, with a note, if it cannot be understood."""
        text = self.text(path)
        if text is None:
            return {}
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = self._without_trailing_commas(text)
        if not isinstance(content, dict):
            self.note("sidecar_unreadable")
            return {}
        return content

    def _without_trailing_commas(self, text: str) -> Any:
        repaired = _STRING_OR_COMMA.sub(lambda match: match[1] or "", text)
        try:
            content = json.loads(repaired)
        except (ValueError, RecursionError):
            return None
        self.note("sidecar_repaired")
        return content

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

    def text(self, path: Path) -> str | None:
        """Return the text of a file; None, with a note, if it is no regular file, too large, or outside the corpus."""
        try:
            content = read_bytes(path, _MAX_BYTES) if lies_inside(path, self.corpus) else None
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
    for sidecar in _applicable(path, folder, "_eeg.json"):
        fields |= {key.strip().lower(): (key, value) for key, value in reading.fields(sidecar).items()}
    line_freq = _line_freq(reading, reading.value(fields, "PowerLineFrequency"))
    reference = reading.value(fields, "EEGReference")
    if isinstance(reference, list) and all(isinstance(part, str) for part in reference):
        reading.note("sidecar_repaired")
        reference = ", ".join(reference)
    recording_type = reading.value(fields, "RecordingType")
    kind = "" if _absent(recording_type) else str(recording_type).strip().lower()
    if kind not in ("", "continuous", "epoched"):
        reading.note("gaps_unknown")
    rate = reading.value(fields, "SamplingFrequency")
    rate_hz = None if _absent(rate) else _number(rate)
    if not (_absent(rate) or rate_hz):
        reading.note("rate_contradicts_sidecar")
    tables = list(_applicable(path, folder, "_channels.tsv"))
    rows = reading.rows(tables[-1]) if tables else []
    excluded = frozenset(row["name"] for row in rows if row.get("name") and _is_excluded(reading, row))
    reference = "" if _absent(reference) else str(reference)
    return Facts(line_freq, reference, excluded, tuple(reading.notes), kind == "epoched", rate_hz)


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
    if number not in _LINE_FREQS or any(each is None or each % number for each in harmonics):
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
    if not understood or not (status in _NOT_STATED or status in ("good", "bad")):
        reading.note("channels_not_understood")
    unit = row.get("units", "")
    if kind == "EEG" and not (unit.lower() in _NOT_STATED or microvolts(unit) == 1):
        reading.note("channels_not_understood")
    return kind in _OTHER_TYPES or status == "bad"
