"""Pseudonymisation of everything that leaves the ingest process.

Subjects, sessions and recordings are identified by keyed hashes. These do not reveal the person, but are equal for the
same subject. Text from files and sidecars passes only if an allow-list has it.
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
"""Replaces event codes that the dataset's adapter does not list."""
_TERMS = """
and at average common cms drl ear earlobe earlobes ears electrode electrodes known left linked mastoid mastoids nose not
of on or placed recorded ref reference right stated the tip to unknown without
"""
_REFERENCE_TERMS = frozenset(_TERMS.split())


def subject_key(key: bytes, dataset: str, subject: str) -> str:
    """Return a subject's key in catalogues: the dataset and 16 hexadecimal digits of a keyed hash."""
    return f"{dataset}-{pseudonym(key, dataset, subject)}"


def pseudonym(key: bytes, *parts: str, digits: int = 16) -> str:
    """Return hexadecimal digits of HMAC-SHA-256 over the parts."""
    return hmac.new(key, "\0".join(parts).encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:digits]


def withhold_unknown_events(recording: Recording, codes: Collection[str]) -> Recording:
    """Return the recording with all other event codes replaced by `WITHHELD`; onsets are kept."""
    events = (event if event.code in codes else replace(event, code=WITHHELD) for event in recording.events)
    return replace(recording, events=tuple(events))


def allowed_reference(text: str) -> str:
    """Return a sidecar's recording reference; empty if it has a word that is neither an electrode nor a common term."""
    words = re.findall(r"[^\W_]+", text.lower())
    return text if all(word in _REFERENCE_TERMS or canonical_name(word) for word in words) else ""


def load_key(workspace: Path, *, shared: bool = False) -> bytes:
    """Return the key from `LABRAM_SUBJECT_KEY`, else that of the workspace, which is generated if absent.

    With the key and a list of names, subjects can be re-identified. It is never logged, and only its owner may read
    its file.

    Args:
        workspace: Folder of the key file.
        shared: Whether the store is a bucket, which requires the same key on every machine.

    Raises:
        PlatformError: If the key file cannot be read or written, or is empty, or a shared key is not set.
    """
    key_text = os.environ.get(KEY_VARIABLE)
    if key_text:
        return key_text.encode()
    if shared:
        raise PlatformError(
            "a store in a bucket requires a shared subject key",
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
            f"the subject key cannot be read or created ({error.strerror})",
            file=path.name,
            remedy=f"Set {KEY_VARIABLE}, or make the folder writable",
        ) from error
    if not key:
        raise PlatformError("the subject key is empty", file=path.name, remedy="Delete the file")
    return key


def _create(path: Path) -> None:
    """Create the file with a random key unless it exists; of several processes, one wins."""
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
