"""Electrode names: the 128 positions of the model, and their spellings in files.

The table is the model's spatial vocabulary (LaBraM paper, appendix; rows of its spatial embedding). Old and new names
of one position (T3 and T7) are different rows, as in the released weights, so names are not converted.
"""

import difflib
import re
from collections.abc import Sequence

from labram.errors import RecipeError

_TABLE = """
FP1 FPZ FP2 AF9 AF7 AF5 AF3 AF1 AFZ AF2 AF4 AF6 AF8 AF10 F9 F7 F5 F3 F1 FZ F2 F4 F6 F8 F10
FT9 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 FT10 T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10
TP9 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 TP10 P9 P7 P5 P3 P1 PZ P2 P4 P6 P8 P10
PO9 PO7 PO5 PO3 PO1 POZ PO2 PO4 PO6 PO8 PO10 O1 OZ O2 O9 CB1 CB2 IZ O10
T3 T5 T4 T6 M1 M2 A1 A2 CFC1 CFC2 CFC3 CFC4 CFC5 CFC6 CFC7 CFC8
CCP1 CCP2 CCP3 CCP4 CCP5 CCP6 CCP7 CCP8 T1 T2 FTT9h TTP7h TPP9h FTT10h TPP8h TPP10h
FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2
"""

CANONICAL: tuple[str, ...] = tuple(_TABLE.split())
"""The 128 names; the row of a name in the spatial embedding is its index plus one (row 0 is the CLS token)."""

_ROW = {name: row for row, name in enumerate(CANONICAL, start=1)}
_BY_CAPITALS = {name.upper(): name for name in CANONICAL}
_SCALP_BIPOLAR = frozenset(name for name in _BY_CAPITALS if "-" in name)
_EARS = frozenset({"A1", "A2", "M1", "M2"})
_EARS_TABLE = """
A1A2 A1A22 A12 A2A1 M1M2 M1M22 M12 M2M1 LE CLE LER LM EAR EARS LINK LINKED LINKEDEAR LINKEDEARS
MASTOID MASTOIDS LINKEDMASTOIDS
"""
_OTHER_TABLE = """
REF REF0 REF1 REF2 REFERENCE COM COMMON CMS ORG ORIGINAL G1 G2 G19 VREF VERTEX NOSE NZ NASION
AR AV AA CAR AVG AVE AVR AVERAGE AVGREF AVERAGEREF COMAVG COMMONAVERAGE REST INF
"""
_BOTH_EARS = frozenset(_EARS_TABLE.split())
_REFERENCES = _EARS | _BOTH_EARS | frozenset(_OTHER_TABLE.split())
"""References as letters and digits only, in capitals: ``A1+A2`` and ``A1/A2`` are A1A2. The electrode that they follow
keeps its name, because every channel of such a recording has the same reference."""
_PREFIX = re.compile(r"^(?:EEG|POL)[\s.:_/-]*(?=\S)")
_TAIL = re.compile(r"\s+EEG$|\s*[\[(]\s*[\u00b5\u03bc\u039cUM]?V\s*[\])]$")
_COPY_NUMBER = re.compile(r"-[01]$")
"""MNE appends ``-0`` and ``-1`` to the labels of a file that repeats one."""
_SEPARATOR = re.compile(r"\s*[-/:_\u2010-\u2015\u2212]\s*|\s*(?=[(\[])|\s+")
_QUOTES = "'\"`\u2018\u2019\u201c\u201d"
_GRID_NAME = re.compile(r"[A-H](\d{1,2})")
_LAST_EAR, _LAST_POSITION = 2, 10
_COMMON_LEAST = 4
"""Derivations against one scalp electrode, from which it is the reference of the recording and not of a pair."""


def canonical_name(label: str) -> str | None:
    """Return the canonical name of a channel label, or None if it is no electrode of the table.

    Accepts the spellings of common recorders: ``EEG FP1-REF``, ``Fp1.``, ``fz``, ``POL Fp1``, ``EEG.AF3``, ``F4-A1``,
    ``Fp1:M1``, ``EEG_Fp1_Ref``, ``Fp1 (Ref)``. What follows the separator must be a reference; otherwise the label is a
    bipolar derivation, valid only if the table contains it. Ear-to-ear derivations (``A2-A1``) return None, as do
    electrode numbers of a net (``E22``), whose positions differ between nets, and displaced positions (``C3'``).
    """
    electrode, reference = split_label(label)
    if not reference:
        return _BY_CAPITALS.get(electrode)
    if (pair := f"{electrode}-{reference}") in _SCALP_BIPOLAR:
        return _BY_CAPITALS[pair]
    if reference not in _REFERENCES or (electrode in _EARS and reference in _EARS | _BOTH_EARS):
        return None
    return _BY_CAPITALS.get(electrode)


def canonical_names(labels: Sequence[str]) -> tuple[str | None, ...]:
    """Return the canonical name of each label of one recording, with `canonical_name`.

    Repeated names are None after the first (see `repeated_electrodes`). If labels number a grid (``A3``, ``A17`` beside
    ``A1``), as for BioSemi caps and implanted electrodes, ``A1`` and ``C3`` are contacts and not positions. If four or
    more channels are derivations against the same scalp electrode (``Fp1-CPz``), and none is against another one, it is
    the recording's reference.
    """
    seen: set[str] = set()
    names: list[str | None] = []
    for name in electrode_names(labels):
        names.append(None if name in seen else name)
        if name:
            seen.add(name)
    return tuple(names)


def repeated_electrodes(labels: Sequence[str]) -> int:
    """Return how many labels of one recording name an electrode that an earlier label names, in any spelling."""
    names = [name for name in electrode_names(labels) if name]
    return len(names) - len(set(names))


def electrode_names(labels: Sequence[str]) -> list[str | None]:
    """Return the canonical names as `canonical_names` does, but repeated ones too."""
    parts = [split_label(label) for label in labels]
    grid = any(_beyond_positions(electrode) for electrode, _ in parts)
    common = _common_reference(parts)
    names: list[str | None] = []
    for label, (electrode, reference) in zip(labels, parts, strict=True):
        if grid and _GRID_NAME.fullmatch(electrode):
            names.append(None)
        elif common and reference == common:
            names.append(_BY_CAPITALS[electrode])
        else:
            names.append(canonical_name(label))
    return names


def _beyond_positions(electrode: str) -> bool:
    """Return whether a name is a contact's: A3 and on, or a number that no position of the 10-10 system has."""
    contact = _GRID_NAME.fullmatch(electrode)
    if contact is None:
        return False
    return (electrode[0] == "A" and int(contact[1]) > _LAST_EAR) or (
        electrode[0] in "BCDF" and int(contact[1]) > _LAST_POSITION
    )


def _common_reference(parts: Sequence[tuple[str, str]]) -> str:
    """Return the scalp electrode that is the reference of all derivations between electrodes; empty if there is none.

    Pairs of the model's table are bipolar derivations whatever stands beside them.
    """
    pairs = [(one, other) for one, other in parts if one in _BY_CAPITALS and other in _BY_CAPITALS.keys() - _EARS]
    against = {other for _, other in pairs}
    if len(against) != 1 or len({one for one, _ in pairs}) < _COMMON_LEAST:
        return ""
    return against.pop()


def split_label(label: str) -> tuple[str, str]:
    """Return electrode and reference of a label, in capitals and without prefix, separators, quotes and padding dots.

    The reference is empty if there is none, and consists of letters and digits only.
    """
    name = label.upper().strip(" .\t\0")
    if len(name) > 1 and name[0] in _QUOTES and name[-1] in _QUOTES:
        name = name[1:-1].strip(" .")
    name = _TAIL.sub("", _PREFIX.sub("", name)).strip(" .")
    if name not in _BY_CAPITALS:
        name = _COPY_NUMBER.sub("", name)
    joined = re.sub(r"(?<=[A-Z])\s+(?=(?:\d{1,2}|Z)\b)", "", name)
    electrode, *rest = _SEPARATOR.split(joined, maxsplit=1)
    return electrode.strip(" ."), re.sub(r"[^A-Z0-9]", "", rest[0]) if rest else ""


def rows(montage: Sequence[str]) -> tuple[int, ...]:
    """Return the rows (1-based) of the spatial embedding for a montage of canonical names.

    Raises:
        RecipeError: If a name is not in the table; the remedy suggests the closest name.
    """
    return tuple(_row(name) for name in montage)


def _row(name: str) -> int:
    row = _ROW.get(name)
    if row is None:
        close = canonical_name(name) or next(iter(difflib.get_close_matches(name.upper(), CANONICAL, n=1)), None)
        raise RecipeError(
            f"unknown electrode {name!r}: expected one of the model's {len(CANONICAL)} names",
            field="montage",
            remedy=f"Use {close!r}, the closest name" if close else "Use names of the 10-10 system, in capitals",
        )
    return row
