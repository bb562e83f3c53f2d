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
_EARS = frozenset({"A1", "A2", "M1", "M2"})
_BOTH_EARS = frozenset({"A1A2", "A1+A2", "M1M2", "M1+M2", "LE", "LINKED"})
_REFERENCES = _EARS | _BOTH_EARS | {"REF", "AR", "AVG", "AV", "G2", "G19", "AVERAGE"}
_PREFIX = re.compile(r"^EEG[\s.:_-]+")
_GRID_NAME = re.compile(r"[A-H](\d{1,2})")


def canonical_name(label: str) -> str | None:
    """Return the canonical name of a channel label, or None if it is no electrode of the table.

    Accepts the spellings of common recorders: ``EEG FP1-REF``, ``Fp1.``, ``fz``, ``EEG Fp1``, ``EEG.AF3``, ``F4-A1``. A
    suffix after the hyphen must be a reference; otherwise the label is a bipolar derivation, valid only if the table
    contains it. Ear-to-ear derivations (``A2-A1``) return None, as do electrode numbers of a net (``E22``), whose
    positions differ between nets.
    """
    name = _bare(label)
    if name in _BY_CAPITALS:
        return _BY_CAPITALS[name]
    electrode, hyphen, reference = name.partition("-")
    if not hyphen or reference not in _REFERENCES or (electrode in _EARS and reference in _EARS | _BOTH_EARS):
        return None
    return _BY_CAPITALS.get(electrode)


def canonical_names(labels: Sequence[str]) -> tuple[str | None, ...]:
    """Return the canonical name of each label of one recording, with `canonical_name`.

    Repeated names are None after the first. If labels number a grid (``A3``, ``A17`` beside ``A1``), as for BioSemi
    caps and implanted electrodes, ``A1`` and ``C3`` are contacts and not positions.
    """
    contacts = [_GRID_NAME.fullmatch(_bare(label).partition("-")[0]) for label in labels]
    grid = any(contact and contact[0][0] == "A" and int(contact[1]) > 2 for contact in contacts)
    seen: set[str] = set()
    names: list[str | None] = []
    for label, contact in zip(labels, contacts, strict=True):
        name = None if grid and contact else canonical_name(label)
        names.append(None if name in seen else name)
        if name:
            seen.add(name)
    return tuple(names)


def _bare(label: str) -> str:
    """Return the label in capitals, without the prefix ``EEG`` and padding dots."""
    return _PREFIX.sub("", label.upper().strip(" .")).strip(".")


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
