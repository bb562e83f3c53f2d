"""Text of headers, whose encoding no format of EEG but BrainVision states."""


def decode(text: bytes) -> str:
    """Return text as UTF-8 if it is, also if its field ends within a character, else as Windows-1252 or Latin-1."""
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return text[: error.start].decode("utf-8-sig")
    try:
        return text.decode("cp1252")
    except UnicodeDecodeError:
        return text.decode("latin1")


def redecode(text: str) -> str:
    """Return text that a library decoded as Latin-1, whatever it is."""
    return decode(text.encode("latin1")) if max(text, default="") <= "\xff" else text


def field(content: bytes) -> str:
    """Return the text of a field that is padded with NUL or spaces."""
    return decode(content.partition(b"\0")[0]).strip()
