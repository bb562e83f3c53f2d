"""Curry: samples (.cdt, .dat), a text header (.cdt.dpa, .cdt.dpo, .dap) and, of Curry 7, labels (.rs3).

MNE's reader is not used: it needs a further package, which loads all samples.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from labram.errors import ReadError, Reason
from labram.signals.readers.companions import find_beside, with_suffix
from labram.signals.readers.errors import empty, epoched, truncated, unreadable
from labram.signals.readers.interleaved import Interleaved
from labram.signals.readers.limits import read_text
from labram.signals.readers.units import microvolts, of_electrodes
from labram.signals.recording import Event, Recording

_HEADERS, _EVENTS = (".dpa", ".dpo"), (".cef", ".ceo")
_MOST_CHANNELS = 10_000
_SAMPLE = re.compile(r"[0-9]{1,18}")
_FIELD = re.compile(r"^\s*(\w+)\s*=[ \t]*(.*?)\s*$", re.MULTILINE)
_LAYOUT = {"dataformat": "FLOAT", "datasamporder": "SAMP", "databyteorder": "INTEL"}
_GROUPS = ("", "_OTHERS")
"""Suffixes of the lists and parameters of electrodes, and of other channels."""


def content_files(path: Path) -> tuple[Path, ...]:
    """Return the given file (``.cdt``, or ``.dap`` of Curry 7) and the files that belong to it.

    Raises:
        ReadError: UNREADABLE if samples or header are not beside it.
    """
    if path.suffix.lower() == ".dap":
        others = (with_suffix(path, ".dat"), with_suffix(path, ".rs3"))
    else:
        others = (next(filter(None, (find_beside(path, path.name + suffix) for suffix in _HEADERS)), None), None)
    if others[0] is None:
        raise ReadError(
            "samples and header are not beside each other",
            reason=Reason.UNREADABLE,
            file=path.name,
            remedy="Put the .cdt and .cdt.dpa (Curry 7: .dap, .dat and .rs3) files of a recording into one folder",
        )
    stem = path.name if path.suffix.lower() == ".cdt" else path.stem
    events = next(filter(None, (find_beside(path, stem + suffix) for suffix in _EVENTS)), None)
    return (path, *(part for part in (*others, events) if part is not None))


def read(path: Path) -> Recording:
    """Read a continuous recording with binary samples; pauses are unknown.

    An electrode without a unit is taken as in µV (note ``unit_not_stated``).

    Raises:
        ReadError: EPOCHED for epochs, UNSUPPORTED for samples of another layout, TRUNCATED if samples are missing,
            TOO_SHORT if there are none, else UNREADABLE.
    """
    _, *others = content_files(path)
    seven = path.suffix.lower() == ".dap"
    samples, text = (others[0], read_text(path)) if seven else (path, read_text(others[0]))
    fields = {name.lower(): value for name, value in reversed(_FIELD.findall(text))}  # the first of each
    try:
        count, width = int(fields["numsamples"]), int(fields["numchannels"])
        rate = float(fields["samplefreqhz"]) or 1e6 / float(fields["sampletimeusec"])
        trials = int(fields.get("numtrials", "1"))
    except (KeyError, ValueError, ZeroDivisionError):
        raise unreadable(path, "missing or malformed entries") from None
    if trials > 1:
        raise epoched(path)
    if any(fields.get(name, value).upper() != value for name, value in _LAYOUT.items()):
        raise ReadError(
            "samples as text, channel by channel, or of another byte order",
            reason=Reason.UNSUPPORTED,
            file=path.name,
            remedy="Save it from Curry as binary samples (SAMP), or export it to EDF+",
        )
    if not 0 < width <= _MOST_CHANNELS:
        raise unreadable(path, "inconsistent entries")
    names = "\n".join([text, *(read_text(part) for part in others if part.suffix.lower() == ".rs3")])
    channels = list(_channels(path, names, width))
    if not (0 < rate < np.inf and count >= 0):
        raise unreadable(path, "inconsistent entries")
    factors = [microvolts(unit) for _, _, unit in channels]
    gains = np.ones(width)
    for (_, place, _), factor in zip(channels, factors, strict=True):
        gains[place] = factor or 1.0
    signal = Interleaved(samples, np.dtype("<f4"), 0, width, gains, tuple(place for _, place, _ in channels))
    if not count or not channels:
        raise empty(path)
    if signal.shape[1] < count:
        raise truncated(path, f"expected {count} samples, got {signal.shape[1]}")
    listed = [part for part in others if part.suffix.lower() in _EVENTS]
    events = tuple(sorted(_events(listed, rate, count), key=lambda event: event.onset))
    labels = tuple(label for label, _, _ in channels)
    unit, notes = of_electrodes(labels, factors)
    return Recording(signal, labels, rate, events, notes=notes, unit=unit)


def _channels(path: Path, text: str, width: int) -> Iterator[tuple[str, int, str]]:
    """Yield label, place in a row and unit of each channel in the file."""
    lists, units = _lists(text), _units(text)
    taken: set[int] = set()
    for group in _GROUPS:
        labels = lists.get(f"LABELS{group}", [])
        try:
            places = [int(place) - 1 for place in lists.get(f"CHAN_IN_FILE{group}", [])]
        except ValueError:
            raise unreadable(path, "malformed list of channels") from None
        places = places or [*range(len(taken), len(taken) + len(labels))]
        unit = units.get(f"DEVICE_PARAMETERS{group}", "")
        for label, place in zip(labels, places, strict=False):
            if place == -1:  # listed, and not recorded
                continue
            if place in taken or not 0 <= place < width:
                raise unreadable(path, "inconsistent list of channels")
            taken.add(place)
            yield label, place, unit


def _events(files: Sequence[Path], rate: float, samples: int) -> Iterator[Event]:
    for file in files:
        for line in _lists(read_text(file)).get("NUMBER_LIST", []):
            words = line.split()
            if len(words) > 2 and _SAMPLE.fullmatch(words[0]) and int(words[0]) < samples:
                yield Event(int(words[0]) / rate, 0.0, words[2])


def _lists(text: str) -> dict[str, list[str]]:
    """Return the lines of each list, by its name."""
    lists: dict[str, list[str]] = {}
    current = None
    for line in text.splitlines():
        words = line.split()
        if words[1:2] == ["START_LIST"]:
            current = lists.setdefault(words[0].upper(), [])
        elif words[1:2] == ["END_LIST"]:
            current = None
        elif words and current is not None:
            current.append(line.strip())
    return lists


def _units(text: str) -> dict[str, str]:
    """Return the unit that each section states, by the name of the section."""
    units: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        words = line.split()
        if words[1:2] == ["START"]:
            section = words[0].upper()
        elif words[:2] == ["DataUnit", "="] and len(words) > 2:
            units.setdefault(section, words[2])
    return units
