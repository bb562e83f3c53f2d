"""Why a file is refused, in the words that all readers use. Causes must not hold text of the file."""

from pathlib import Path

from labram.errors import ReadError, Reason


def unreadable(path: Path, cause: str) -> ReadError:
    """Its structure cannot be followed."""
    return ReadError(
        f"cannot be read as {path.suffix.lstrip('.').upper()} ({cause})",
        reason=Reason.UNREADABLE,
        file=path.name,
        remedy="Fetch or export the file again",
    )


def truncated(path: Path, problem: str) -> ReadError:
    """Samples that it promises are not there."""
    return ReadError(problem, reason=Reason.TRUNCATED, file=path.name, remedy="Fetch the whole file again")


def empty(path: Path) -> ReadError:
    """There is a header and nothing else."""
    return ReadError("holds no samples", reason=Reason.TOO_SHORT, file=path.name, remedy="Leave it out")


def epoched(path: Path) -> ReadError:
    """It holds trials or averages: what lies between them is not known, and filters would ring at every seam."""
    return ReadError(
        "is cut into trials or averages, and is no continuous recording",
        reason=Reason.EPOCHED,
        file=path.name,
        remedy="Export the continuous recording that it was made of",
    )
