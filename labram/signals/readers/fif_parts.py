"""Parts of a split FIF recording: MNE and MEGIN's software begin a new file at 2 GB, and each file names the next.

Tags and blocks are those of the "FIFF file format" specification; all numbers are big-endian.
"""

import struct
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from labram.signals.readers.errors import outside, truncated, unreadable

_TAG = struct.Struct(">4i")
"""Kind, type, size in bytes, position of the next tag (0: directly behind, -1: none)."""
_FILE_ID, _REF_ROLE, _REF_FILE_NUM, _REF_FILE_NAME = 100, 115, 117, 118
_PREVIOUS, _NEXT = 1, 2
_MAX_NAME_BYTES = 4096
_MAX_TAGS = 1_000_000


class Links(NamedTuple):
    """References of one file.

    Attributes:
        continues: Whether it continues another file.
        following: Name of the next part as the file states it; empty: it is the last.
    """

    continues: bool
    following: str


def content_files(path: Path) -> tuple[Path, ...]:
    """Return all parts of a recording in order, `path` first.

    Raises:
        ReadError: TRUNCATED if a part is missing, or `path` is not the first one; OUTSIDE if a part is in another
            folder; UNREADABLE if parts name each other in a circle.
    """
    if _links(path).continues:
        raise truncated(path, "it continues a split recording, and the part before it is not beside it")
    parts = [path]
    while following := _links(parts[-1]).following:
        part = path.parent / following
        if part.parent != path.parent:
            raise outside(path, "the next part of the split recording")
        if part in parts:
            raise unreadable(path, "its parts name each other in a circle")
        if not part.is_file():
            raise truncated(path, f"part {len(parts) + 1} of the split recording is not beside it")
        parts.append(part)
    return tuple(parts)


def is_later_part(path: Path) -> bool:
    """Return whether another file in the folder names this one as its next part."""
    try:
        if not path.is_file() or not _links(path).continues:
            return False
        others = [other for other in path.parent.iterdir() if other.suffix.lower() == ".fif" and other.is_file()]
        return any(_links(other).following == path.name for other in others if other != path)
    except OSError:
        return False


def _links(path: Path) -> Links:
    state = path.stat()
    return _read_links(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _read_links(path: Path, modified: int, size: int) -> Links:
    """Walk through the tags of a file; what is no FIF file, or damaged, has no links."""
    del modified
    role, continues, name, number, position = 0, False, "", None, 0
    with path.open("rb") as file:
        for _ in range(_MAX_TAGS):
            file.seek(position)
            head = file.read(_TAG.size)
            kind, _, length, following = _TAG.unpack(head) if len(head) == _TAG.size else (0, 0, -1, 0)
            end = position + _TAG.size + length
            if (position == 0 and kind != _FILE_ID) or length < 0 or end > size:
                break
            if kind == _REF_ROLE and length == 4:
                (role,) = struct.unpack(">i", file.read(4))
                continues = continues or role == _PREVIOUS
            elif kind == _REF_FILE_NAME and role == _NEXT and length <= _MAX_NAME_BYTES:
                name = file.read(length).decode("latin1")
            elif kind == _REF_FILE_NUM and role == _NEXT and length == 4:
                (number,) = struct.unpack(">i", file.read(4))
            after = end if following == 0 else following
            if after <= position:
                break
            position = after
    return Links(continues, name or ("" if number is None else _numbered(path, number)))


def _numbered(path: Path, number: int) -> str:
    """Return the name of a part of which only the number is stated: ``a.fif``, ``a-1.fif``, ``a-2.fif``."""
    base, _, rest = path.name.partition(".")
    stem, hyphen, digits = base.rpartition("-")
    return f"{stem if hyphen and digits.isdigit() else base}-{number}.{rest}"
