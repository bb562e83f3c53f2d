"""The workspace's own MLflow database: created once, checked before each use, and valid wherever the workspace is.

MLflow stores absolute addresses of artifacts. When the workspace was moved or copied, they are rewritten, in this
workspace's database alone, so that a registered model is found here and new ones are not written to the old place.
"""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from labram.atomic import atomic_path
from labram.errors import PlatformError
from labram.system_errors import as_sentence

ADDRESSES = ("uri", "location", "source")
"""Ends of the names of columns with addresses."""


def prepare(file: Path, experiment: str) -> None:
    """Create the database with an experiment if there is none, check it, and adapt it to where it is.

    Args:
        file: The database.
        experiment: Name of the experiment, whose artifacts lie beside the database.

    Raises:
        PlatformError: If the database is damaged or cannot be opened or written.
    """
    from filelock import FileLock

    folder, marker = file.parent, file.with_name("ready")
    artifacts = (folder / "artifacts").as_uri()
    try:
        if file.is_file():
            _check(file)
            if marker.is_file() and marker.read_text(encoding="utf-8") == artifacts:
                return
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "create.lock"):
            if not (file.is_file() and marker.is_file()):
                _create(file, experiment, artifacts)
            _relocate(file, experiment, artifacts)
            with atomic_path(marker) as temporary:
                temporary.write_text(artifacts, encoding="utf-8")
    except (sqlite3.Error, OSError) as error:
        if (stated := as_sentence(error)) is None:
            raise
        raise PlatformError(stated.problem, file=file, remedy=stated.remedy) from error


def _create(file: Path, experiment: str, artifacts: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{file}", registry_uri=f"sqlite:///{file}")
    if client.get_experiment_by_name(experiment) is None:
        client.create_experiment(experiment, artifact_location=artifacts)


def _check(file: Path) -> None:
    """Read the database and see whether it may be written, because MLflow would retry for minutes.

    Raises:
        sqlite3.Error: If it cannot be read.
        PermissionError: If it cannot be written.
    """
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    for path in (file, file.parent):
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "permission denied", str(path))


def _relocate(file: Path, experiment: str, artifacts: str) -> None:
    """Rewrite the addresses that begin with the experiment's former artifact folder."""
    with closing(sqlite3.connect(file)) as database, database:
        row = database.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchone()
        former = row[0] if row else artifacts
        if former == artifacts:
            return
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, *_ in database.execute(f'PRAGMA table_info("{table}")').fetchall():
                if column.endswith(ADDRESSES):
                    database.execute(
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '  # noqa: S608 - names of columns
                        f'WHERE "{column}" = ? OR substr("{column}", 1, ?) = ?',
                        (artifacts, len(former) + 1, former, len(former) + 1, f"{former}/"),
                    )


def experiment_id(file: Path, experiment: str) -> str | None:
    """Return the id of an experiment without loading MLflow; None if it or the database does not exist."""
    if not file.is_file():
        return None
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
        row = database.execute("SELECT experiment_id FROM experiments WHERE name = ?", (experiment,)).fetchone()
    return str(row[0]) if row else None
