"""Files whose content is elsewhere: git-annex links and pointers, Git LFS pointers, and empty files."""

import errno
from pathlib import Path

from labram.errors import ReadError, Reason

_ANNEX, _LFS = b"/annex/objects/", b"version https://git-lfs.github.com/spec/"
_MOST_BYTES = 32768
"""git-annex takes no larger file for a pointer."""
_SAMPLES = frozenset({".eeg", ".dat", ".fdt"})


def require_content(path: Path, *files: Path) -> None:
    """Raise unless the content of a recording's files is there.

    Args:
        path: The recording.
        files: All its files. Samples must not be empty; markers may.

    Raises:
        ReadError: NOT_DOWNLOADED for a link or pointer of git-annex or Git LFS, DAMAGED for an empty file.
        OSError: If a file cannot be read, or is a pipe or a device, which might never end.
    """
    for file in files or (path,):
        if file.exists() and not (file.is_file() or file.is_dir()):
            raise OSError(errno.EINVAL, "a pipe or a device")
        remedy = _remedy(file)
        if remedy:
            raise ReadError(
                "its content was not downloaded", reason=Reason.NOT_DOWNLOADED, file=path.name, remedy=remedy
            )
        if (file == path or file.suffix.lower() in _SAMPLES) and file.is_file() and not file.stat().st_size:
            raise ReadError(
                "the file is empty",
                reason=Reason.DAMAGED,
                file=path.name,
                remedy="Copy it again; in a clone of a dataset, run `datalad get`",
            )


def _remedy(file: Path) -> str:
    annex = "Run `datalad get` (or `git annex get`) in the dataset"
    if file.is_symlink() and not file.exists():
        return annex if "annex/objects/" in str(file.readlink()).replace("\\", "/") else ""
    if not file.is_file() or not 0 < file.stat().st_size <= _MOST_BYTES:
        return ""
    with file.open("rb") as stream:
        head = stream.read(len(_LFS))
    if head.startswith(_LFS):
        return "Run `git lfs pull` in the dataset"
    return annex if head.startswith(_ANNEX) else ""
