"""Errors that several readers raise. Their text must not quote the file."""

from pathlib import Path

from labram.errors import ReadError, Reason


def unreadable(path: Path, cause: str) -> ReadError:
    """Return the error for a file whose structure is malformed, or whose library ran out of its memory."""
    if cause == "MemoryError":
        return too_large(path, "reading it takes far more memory than its size")
    return ReadError(
        f"cannot be read as {path.suffix.lstrip('.').upper() or 'a recording'} ({cause})",
        reason=Reason.UNREADABLE,
        file=path.name,
        remedy="Download or export the file again",
    )


def truncated(path: Path, problem: str) -> ReadError:
    """Return the error for a file with missing samples."""
    return ReadError(problem, reason=Reason.TRUNCATED, file=path.name, remedy="Download the whole file again")


def empty(path: Path) -> ReadError:
    """Return the error for a file without samples."""
    return ReadError(
        "the file has no samples", reason=Reason.TOO_SHORT, file=path.name, remedy="Remove the file from the corpus"
    )


def epoched(path: Path) -> ReadError:
    """Return the error for a file of epochs or averages: filters need the continuous signal between them."""
    return ReadError(
        "contains epochs or averages instead of a continuous recording",
        reason=Reason.EPOCHED,
        file=path.name,
        remedy="Export the continuous recording, or describe the trials in a dataset.yaml (`labram datasets init`)",
    )


def outside(path: Path, reference: str) -> ReadError:
    """Return the error for a file that refers to another folder: its hash would not cover what is read."""
    return ReadError(
        f"{reference} lies outside the recording's folder",
        reason=Reason.OUTSIDE,
        file=path.name,
        remedy="Put all files of the recording into one folder, and correct the reference",
    )


def too_large(path: Path, problem: str) -> ReadError:
    """Return the error for a file that takes more memory, time or disk than a recording of its size."""
    return ReadError(
        problem,
        reason=Reason.DAMAGED,
        file=path.name,
        remedy="Export the recording again: the file is damaged, or made to exhaust the machine",
    )
