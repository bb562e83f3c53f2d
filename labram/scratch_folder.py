"""Temporary files of a run or an ingest: one folder, which its processes use as TMPDIR, deleted at its end.

KFP's runner leaves a folder for each task, and one for the run; a killed process leaves all its folders.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "labram-run-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder, and delete it at the end; those of killed runs are deleted at the start."""
    _delete_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=prefix()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prefix() -> str:
    """Return a prefix for temporary folders of this process: if it is killed, the next run or ingest deletes them."""
    return f"{PREFIX}{os.getpid()}-"


def shared_folder() -> Path:
    """Return the folder of temporary files that all runs on this machine share."""
    folder = Path(tempfile.gettempdir())
    return folder.parent if folder.name.startswith(PREFIX) else folder


def _delete_abandoned() -> None:
    """Delete this user's folders of processes that have ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        process = folder.name.removeprefix(PREFIX).partition("-")[0]
        with suppress(OSError):  # another run deleted it first
            if process.isdigit() and not _is_running(int(process)) and folder.lstat().st_uid == os.getuid():
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
