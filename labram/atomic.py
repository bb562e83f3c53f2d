"""Atomic replacement of files and folders: readers see the old content or the new, never a part of it.

The new content is written under a hidden name beside the old one (``.NAME.<random>.tmp``), flushed to the disk, and
renamed. It survives a power failure from the moment that the context manager returns.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_FILES = ".*.tmp"
"""Glob pattern of the files and folders that killed writers leave behind."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling path; the file written there replaces `path` at the end, or is removed on error."""
    temporary = _sibling(path)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling path; the folder made there replaces `path` at the end, or is removed on error."""
    temporary, replaced = _sibling(path), _sibling(path)
    try:
        yield temporary
        for content in temporary.rglob("*"):
            if content.is_file() or content.is_dir():
                _flush(content)
        _flush(temporary)
        if path.exists():
            path.rename(replaced)
        temporary.rename(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)


def _sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")


def _flush(path: Path) -> None:
    """Flush a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some network file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)
