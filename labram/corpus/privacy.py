"""Subjects behind keyed hashes: who a recording is of cannot be told, that two are of the same subject can."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from labram.errors import PlatformError

KEY_VARIABLE = "LABRAM_SUBJECT_KEY"
KEY_FILE = "subject.key"
_KEY_BYTES = 32


def subject_key(key: bytes, dataset: str, subject: str) -> str:
    """The name under which catalogues know a subject: the dataset and 10 hexadecimal digits of a keyed hash."""
    return f"{dataset}-{pseudonym(key, dataset, subject)}"


def pseudonym(key: bytes, *parts: str) -> str:
    """10 hexadecimal digits of HMAC-SHA-256 over the parts."""
    return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:10]


def load_key(workspace: Path) -> bytes:
    """The key of the environment variable `LABRAM_SUBJECT_KEY`, else the workspace's own, made at random when absent.

    Whoever has the key and a list of names can tell subjects, so it is never logged and its file is its owner's alone.

    Raises:
        PlatformError: If the workspace's key cannot be read or written, or is empty.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return given.encode()
    path = workspace / KEY_FILE
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        _create(path)
        key = path.read_bytes().strip()
    except OSError as error:
        raise PlatformError(
            f"the key for subject names cannot be read or made ({error.strerror})",
            file=path.name,
            remedy=f"Set {KEY_VARIABLE}, or make the workspace writable",
        ) from error
    if not key:
        raise PlatformError("the key for subject names is empty", file=path.name, remedy="Delete the file")
    return key


def _create(path: Path) -> None:
    """Make the file with a random key unless it is there; of several processes at once, one wins."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_hex(_KEY_BYTES).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
