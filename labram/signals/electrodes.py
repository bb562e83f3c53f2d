"""Electrode names: the 128 positions that the model knows, and how files spell them.

The table is the model's spatial vocabulary (LaBraM paper, appendix; rows of its spatial embedding). Old and new names
of one place (T3 and T7) are different rows, as they are in the released weights, so nothing is renamed here.
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
"""The 128 names; the row of a name in the model's table is its index here plus one (row 0 is the CLS token)."""

_ROW = {name: row for row, name in enumerate(CANONICAL, start=1)}
_BY_CAPITALS = {name.upper(): name for name in CANONICAL}
_EARS = frozenset({"A1", "A2", "M1", "M2"})
_BOTH_EARS = frozenset({"A1A2", "A1+A2", "M1M2", "M1+M2", "LE", "LINKED"})
_REFERENCES = _EARS | _BOTH_EARS | {"REF", "AR", "AVG", "AV", "G2", "G19", "AVERAGE"}
_PREFIX = re.compile(r"^EEG[\s.:_-]+")
_GRID_NAME = re.compile(r"[A-H](\d{1,2})")


def canonical_name(label: str) -> str | None:
    """The table's name for one channel label of a file, or None where it is no electrode of the table.

    Understands the spellings of common recorders: ``EEG FP1-REF``, ``Fp1.``, ``fz``, ``EEG Fp1``, ``EEG.AF3``,
    ``F4-A1``. What follows the hyphen must be a reference, else the label is a bipolar derivation and counts only if
    the table has it as such. One ear against the other is not a scalp position: ``A2-A1`` gives None. Neither are the
    numbers of a net, ``E22``, whose places differ from net to net.
    """
    name = _bare(label)
    if name in _BY_CAPITALS:
        return _BY_CAPITALS[name]
    electrode, hyphen, reference = name.partition("-")
    if not hyphen or reference not in _REFERENCES or (electrode in _EARS and reference in _EARS | _BOTH_EARS):
        return None
    return _BY_CAPITALS.get(electrode)


def canonical_names(labels: Sequence[str]) -> tuple[str | None, ...]:
    """`canonical_name` for all labels of one recording, which together say more than each alone.

    A name counts once: repeated labels give None after the first. Where labels count through a grid (``A3``, ``A17``
    beside ``A1``), as BioSemi caps and implanted electrodes do, ``A1`` and ``C3`` are contacts and not positions.
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
    """The label in capitals, without what says that it is EEG and without dots that fill it up."""
    return _PREFIX.sub("", label.upper().strip(" .")).strip(".")


def rows(montage: Sequence[str]) -> tuple[int, ...]:
    """Rows (1-based) of the model's spatial table for a montage of canonical names.

    Raises:
        RecipeError: If a name is not in the table; says which is closest.
    """
    return tuple(_row(name) for name in montage)


def _row(name: str) -> int:
    row = _ROW.get(name)
    if row is None:
        close = canonical_name(name) or next(iter(difflib.get_close_matches(name.upper(), CANONICAL, n=1)), None)
        raise RecipeError(
            f"{name!r} is not one of the model's {len(CANONICAL)} electrode names",
            field="montage",
            remedy=f"Did you mean {close!r}" if close else "Use names of the international 10-10 system, in capitals",
        )
    return row
