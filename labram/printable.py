"""Texts of others on the terminal and in logs: names of files, of channels, in recipes and in errors.

A control character could clear the screen, change its title or feign a line. It is shown as an escape of JSON.
"""

import unicodedata

_SPECIAL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of control and format characters (escapes, bidirectional overrides), surrogates and line separators."""
_HARMLESS = "\n\t\u00ad\u200c\u200d"
"""Line end, tab, soft hyphen, and joiners of words and emoji."""


def printable(text: str) -> str:
    """Return a text of one or more lines without control characters; they become escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def one_line(text: str) -> str:
    """Return a name, such as that of a file, without control characters and on one line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(character: str) -> str:
    if character in _HARMLESS or unicodedata.category(character) not in _SPECIAL:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
