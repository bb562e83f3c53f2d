"""Age and sex in the patient field of EDF and BDF, which MNE does not return. Read only with the owner's consent.

Sources: EDF+ (https://www.edfplus.info/specs/edfplus.html): ``CODE SEX DD-MMM-YYYY NAME``, and a date of recording; the
corpora of Temple University Hospital add ``Age:50``.
"""

import re
from datetime import date
from pathlib import Path

from labram.signals.readers.header_text import decode
from labram.signals.readers.limits import first_bytes

_HEADER = 256
_VERSIONS = (b"0", b"\xffBIOSEMI")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_AGE = re.compile(r"\bage\s*[:=]\s*(\d{1,3}(?:\.\d+)?)\b", re.IGNORECASE)
_DAY = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})")
_START = re.compile(r"(\d\d).(\d\d).(\d\d)")
_FIRST_YEAR = 85
"""Two digits of the first year that EDF's date of recording can state: 1985."""


def age(path: Path) -> float | None:
    """Return the age in years: as stated, else by dates of birth and recording; None if the header does not tell."""
    fixed = _fixed(path)
    patient = decode(fixed[8:88])
    if stated := _AGE.search(patient):
        return float(stated[1])
    born, recorded = _day(patient), _day(decode(fixed[88:168])) or _start(decode(fixed[168:176]))
    if born is None or recorded is None or recorded < born:
        return None
    before_birthday = (recorded.month, recorded.day) < (born.month, born.day)
    return float(recorded.year - born.year - before_birthday)


def sex(path: Path) -> str:
    """Return F or M; empty if the header does not tell."""
    words = decode(_fixed(path)[8:88]).split()
    if len(words) < 3 or not (words[2].upper() == "X" or _DAY.fullmatch(words[2])):
        return ""  # a name, whose second word may be an initial
    return words[1].upper() if words[1].upper() in ("F", "M") else ""


def _fixed(path: Path) -> bytes:
    """Return the fixed header; empty for another format."""
    try:
        fixed = first_bytes(path, _HEADER)
    except OSError:
        return b""
    return fixed if fixed[:8].rstrip(b" \0") in _VERSIONS else b""


def _day(text: str) -> date | None:
    match = _DAY.search(text)
    if match is None or match[2].upper() not in _MONTHS:
        return None
    return _date(int(match[3]), _MONTHS.index(match[2].upper()) + 1, int(match[1]))


def _start(text: str) -> date | None:
    match = _START.fullmatch(text.strip())
    if match is None:
        return None
    day, month, year = map(int, match.groups())
    return _date(year + (1900 if year >= _FIRST_YEAR else 2000), month, day)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
