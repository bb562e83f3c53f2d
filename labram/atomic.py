"""Atomic replacement of files and folders: readers see the old content or the new, never a part of it.

The new content is written under a hidden name beside the old one (``.NAME.<random>.tmp``), flushed to the disk, and
renamed; two folders exchange their names at once where the file system can (ext4, XFS, Btrfs, tmpfs). It survives a
power failure from the moment that the context manager returns.
"""

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_FILES = ".*.tmp"
"""Glob pattern of the files and folders that killed writers leave behind."""
_HERE, _EXCHANGE = -100, 2
"""`AT_FDCWD` and `RENAME_EXCHANGE` of Linux."""


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
    temporary = _sibling(path)
    try:
        yield temporary
        for content in temporary.rglob("*"):
            if content.is_file() or content.is_dir():
                _flush(content)
        _flush(temporary)
        if not path.exists():
            temporary.rename(path)
        elif not _exchange(temporary, path):
            _replace(temporary, path)
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders at once; return False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.EXDEV, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _replace(new: Path, path: Path) -> None:
    """Replace a folder by two renames; a process that is killed between them leaves the old one under a hidden name."""
    replaced = _sibling(path)
    path.rename(replaced)
    try:
        new.rename(path)
    except OSError:
        replaced.rename(path)
        raise
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
