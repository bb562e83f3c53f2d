"""A SHA-256 in the file that it belongs to, so that damage and edits are noticed whenever the file is read.

Formats allow for it: a key in JSON, metadata of a Parquet table, bytes behind a NumPy array. The file is written with
`PLACEHOLDER` in that place; `seal` replaces it by the digest of the whole file with `PLACEHOLDER`. Equal content thus
has equal bytes. It is no signature: anyone can compute a digest and write a file that passes.
"""

import errno
import hashlib
import json
import logging
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labram.errors import DamagedFileError

log = logging.getLogger(__name__)

KEY = "sha256"
"""Key of the digest in JSON and in the metadata of tables."""
_MARK = "labram-sha256:"
PLACEHOLDER = _MARK + "0" * 64
_REMEDY = "Restore it, or run the step that writes it again (`labram run --force`)"
_SEAL = re.compile(rb"labram-sha256:(.{64})", re.DOTALL)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(path: Path) -> None:
    """Replace the only `PLACEHOLDER` in a file by the file's digest."""
    content = path.read_bytes()
    assert content.count(PLACEHOLDER.encode()) == 1, "a file is sealed once"
    path.write_bytes(content.replace(PLACEHOLDER.encode(), _seal_of(content)))


def is_sealed(content: bytes, file: Path | str) -> bool:
    """Compare the content of a file with its digest; return False if it has none.

    Raises:
        DamagedFileError: If they differ.
    """
    seals = list(_SEAL.finditer(content))
    if not seals:
        return False
    start, end = seals[-1].span()
    if _seal_of(content[:start] + PLACEHOLDER.encode() + content[end:]) != seals[-1][0]:
        raise DamagedFileError(
            "checksum mismatch: the file was damaged or edited after it was written",
            file=Path(file).name,
            remedy=_REMEDY,
        )
    return True


def read_checked(path: Path) -> bytes:
    """Return the content of a file after comparing it with its digest; a log notes a file without one.

    Raises:
        OSError: If the file cannot be read.
        DamagedFileError: If the digests differ.
    """
    require_regular(path)
    content = path.read_bytes()
    if not is_sealed(content, path):
        log.info("%s has no checksum: an earlier version of labram wrote it", path.name)
    return content


def require_regular(path: Path) -> None:
    """Check that a path is a file, or a link to one: a pipe in its place would be waited for without end.

    Raises:
        OSError: If it is absent, or a pipe, a device or a folder.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path.name)


def require_sealed(path: Path) -> bytes:
    """Return the content of a file that must have a digest, because a decision rests on it.

    Raises:
        DamagedFileError: If it is absent, or has no digest, or another one.
    """
    content = path.read_bytes() if path.is_file() else None
    if content is None or not is_sealed(content, path):
        problem = "no such file" if content is None else "no checksum: an earlier version, or another program, wrote it"
        raise DamagedFileError(problem, file=path.name, remedy=_REMEDY)
    return content


def write_json(path: Path, values: Mapping[str, Any], *, indent: int | None = None, sort_keys: bool = False) -> None:
    """Write a JSON object with its digest under `KEY`."""
    assert KEY not in values, "the key is that of the digest"
    text = json.dumps({**values, KEY: PLACEHOLDER}, indent=indent, sort_keys=sort_keys)
    path.write_bytes(text.replace(PLACEHOLDER, _seal_of(text.encode()).decode()).encode())


def loads(content: bytes) -> Any:
    """Return the value that `write_json` wrote, without the digest, from content that was compared with it."""
    values = json.loads(content)
    if isinstance(values, dict) and str(values.get(KEY, "")).startswith(_MARK):
        del values[KEY]
    return values


def _seal_of(content: bytes) -> bytes:
    return _MARK.encode() + hashlib.sha256(content).hexdigest().encode()
