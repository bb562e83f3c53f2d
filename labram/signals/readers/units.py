"""Units of voltage, in the spellings of recorders."""

from collections.abc import Sequence

from labram.signals.electrodes import canonical_names
from labram.signals.recording import UNITS

_VOLTS = ("volts", "volt", "v")
_MICRO = (
    "u", "micro", "µ", "μ",
    "Âµ", "Î¼",  # UTF-8
    "æ", "\x83Ê", "ƒÊ", "¦Ì",  # code page 437 or 850, Shift-JIS, GBK or EUC
    ".", "?", "\ufffd",  # a sign that the recorder could not write; of the prefixes, only micro is not ASCII
)  # fmt: skip
_PREFIXES = {
    "": 1e6,
    "m": 1e3,
    "milli": 1e3,
    **dict.fromkeys((prefix.casefold() for prefix in _MICRO), 1.0),
    "n": 1e-3,
    "nano": 1e-3,
}


def microvolts(unit: str) -> float | None:
    """Return the factor from a unit to µV; None if it is none of voltage.

    Args:
        unit: The text in the file. Bytes beyond ASCII may be decoded as UTF-8 or, whatever they are, as
            Windows-1252 or Latin-1.
    """
    text = unit.partition("\0")[0].strip(" \t\"'[]()")
    ending = next((ending for ending in _VOLTS if text.casefold().endswith(ending)), None)
    if ending is None or text == "MV":  # capitals do not tell milli from mega
        return None
    return _PREFIXES.get(text[: -len(ending)].strip().casefold())


def of_electrodes(labels: Sequence[str], factors: Sequence[float | None]) -> tuple[str, tuple[str, ...]]:
    """Return `Recording.unit`, and the note ``unit_not_stated`` if an electrode has no unit of voltage.

    Args:
        labels: Labels of the channels; if none is an electrode's, all count as electrodes.
        factors: Factor of each channel's unit to µV; None if it is none of voltage.
    """
    pairs = list(zip(factors, canonical_names(labels), strict=True))
    electrodes = [factor for factor, name in pairs if name] or list(factors)
    unit = UNITS[next(filter(None, electrodes))] if any(electrodes) else ""
    return unit, () if all(electrodes) else ("unit_not_stated",)
