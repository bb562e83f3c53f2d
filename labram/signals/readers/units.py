"""Units of voltage, in the spellings of recorders."""

_VOLTS = ("volts", "volt", "v")
_MICRO = (
    "u", "micro", "µ", "μ",
    "Âµ", "Î¼",  # UTF-8
    "æ", "\x83Ê", "¦Ì",  # code page 437 or 850, Shift-JIS, GBK or EUC
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
        unit: The text in the file. Bytes beyond ASCII may be decoded as UTF-8 or, whatever they are, as Latin-1.
    """
    text = unit.partition("\0")[0].strip(" \t\"'[]()")
    ending = next((ending for ending in _VOLTS if text.casefold().endswith(ending)), None)
    if ending is None or text == "MV":  # capitals do not tell milli from mega
        return None
    return _PREFIXES.get(text[: -len(ending)].strip().casefold())
