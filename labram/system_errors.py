"""Errors of the machine and of libraries, as sentences for the user instead of tracebacks."""

import errno

from labram.errors import LabramError, PlatformError

ROOM = "Free some space, or choose another disk"
ACCESS = "Give this user access to it, or choose another folder"
REMEDIES = {
    errno.EACCES: ACCESS,
    errno.EPERM: ACCESS,
    errno.EROFS: "Choose a folder that can be written",
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: ROOM,
    errno.EIO: "Check the disk or the network share",
    errno.ESTALE: "Check the disk or the network share",
    errno.ENAMETOOLONG: "Choose shorter names",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`)",
    errno.ENOMEM: "Free some memory, or use a machine with more",
    errno.ENOENT: "Check the path",
    errno.ENOTDIR: "Check the path: one of its folders is a file",
    errno.EISDIR: "Name a file, not a folder",
    errno.EEXIST: "Choose a path that does not exist yet",
    errno.ELOOP: "Check the links on the path",
}
"""Remedies by error number. Other errors of the operating system are defects, which need a traceback."""
DATABASE = ("mlflow", "sqlalchemy", "sqlite3")


def as_sentence(error: BaseException) -> LabramError | None:
    """Return an error that states what the user can do about an error of the machine; None for a defect.

    Args:
        error: Error of the operating system, of MLflow or of its database.
    """
    if isinstance(error, LabramError):
        return error
    if isinstance(error, OSError) and error.errno in REMEDIES and (error.filename or error.errno != errno.ENOENT):
        problem = error.strerror or type(error).__name__
        return PlatformError(problem[:1].lower() + problem[1:], file=error.filename, remedy=REMEDIES[error.errno])
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return PlatformError("this user has no home folder", field="HOME", remedy="Set it to a writable folder")
    if isinstance(error, MemoryError):
        return PlatformError("out of memory", remedy=REMEDIES[errno.ENOMEM])
    library = type(error).__module__.partition(".")[0]
    if library in DATABASE or (library == "requests" and "mlflow-artifacts" in str(error)):
        return _of_database(str(error).partition("\n")[0])
    return None


def _of_database(text: str) -> PlatformError:
    lowered = text.lower()
    remedy = "Check the server with `labram doctor`, then run the same command again: it resumes"
    if "not a database" in lowered or "malformed" in lowered or "no such table" in lowered:
        remedy = "Restore MLflow's database from a backup, or move its folder away to start with an empty registry"
    elif "full" in lowered or "disk i/o" in lowered:
        remedy = ROOM
    elif any(word in lowered for word in ("permission", "not authorized", "forbidden")):
        remedy = "Use an account that may do this, or ask whoever runs MLflow for the permission (READ, EDIT or MANAGE)"
    elif "readonly" in lowered or "read-only" in lowered or "unable to open" in lowered:
        remedy = ACCESS
    return PlatformError(f"MLflow reports: {text.rstrip('.')}", field="MLFLOW_TRACKING_URI", remedy=remedy)
