"""What may leave the process that reads recordings.

Subjects, sessions and recordings are known by keyed hashes: who a recording is of cannot be told, that two are of the
same subject can. Text that a file or a sidecar holds passes by allow-lists alone.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from labram.errors import PlatformError
from labram.signals.electrodes import canonical_name
from labram.signals.recording import Recording

KEY_VARIABLE = "LABRAM_SUBJECT_KEY"
KEY_FILE = "subject.key"
_KEY_BYTES = 32
WITHHELD = "withheld"
"""Stands for the code of an event that its dataset's adapter does not know."""
_TERMS = """
and average common cms drl ear earlobe earlobes ears known left linked mastoid mastoids nose not of or recorded ref
reference right stated the tip to unknown without
"""
_REFERENCE_TERMS = frozenset(_TERMS.split())


def subject_key(key: bytes, dataset: str, subject: str) -> str:
    """The name under which catalogues know a subject: the dataset and 10 hexadecimal digits of a keyed hash."""
    return f"{dataset}-{pseudonym(key, dataset, subject)}"


def pseudonym(key: bytes, *parts: str, digits: int = 10) -> str:
    """Hexadecimal digits of HMAC-SHA-256 over the parts."""
    return hmac.new(key, "\0".join(parts).encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:digits]


def withhold_unknown_events(recording: Recording, codes: Collection[str]) -> Recording:
    """The recording with the codes of all other events withheld; when they were stays."""
    events = (event if event.code in codes else replace(event, code=WITHHELD) for event in recording.events)
    return replace(recording, events=tuple(events))


def allowed_reference(text: str) -> str:
    """The recording reference as a sidecar states it; empty where a word of it is no electrode and no common term."""
    words = re.findall(r"[^\W_]+", text.lower())
    return text if all(word in _REFERENCE_TERMS or canonical_name(word) for word in words) else ""


def load_key(workspace: Path, *, shared: bool = False) -> bytes:
    """The key of the environment variable `LABRAM_SUBJECT_KEY`, else the workspace's own, made at random when absent.

    Whoever has the key and a list of names can tell subjects, so it is never logged and its file is its owner's alone.

    Args:
        workspace: Folder of its own key.
        shared: What the key stands for subjects in is a bucket, where each machine's own key would split a subject.

    Raises:
        PlatformError: If the workspace's key cannot be read or written, or is empty, or a shared one is not given.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given:
        return given.encode()
    if shared:
        raise PlatformError(
            "a store in a bucket is shared, and so must be the key that stands for subjects in it",
            field=KEY_VARIABLE,
            remedy=f"Set {KEY_VARIABLE} to the same secret on every machine that ingests",
        )
    path = workspace / KEY_FILE
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        _create(path)
        key = path.read_bytes().strip()
    except OSError as error:
        raise PlatformError(
            f"the key for subject names cannot be read or made ({error.strerror})",
            file=path.name,
            remedy=f"Set {KEY_VARIABLE}, or make its folder writable",
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
