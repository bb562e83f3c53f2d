"""One promotion at a time per tracking server, wherever the promotions run.

With a database file, the lock is a file beside it. Behind a server the only place where all pods meet is the server
itself: the lock is a registered model without versions, because the creation of a name that exists fails there, in one
transaction of its database. A lock that was left behind by a killed process is broken after `LEASE_SECONDS`.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from labram.errors import PlatformError
from labram.registry import model_registry

if TYPE_CHECKING:
    from mlflow.entities.model_registry import RegisteredModel

SECONDS_TO_WAIT = 180
LEASE_SECONDS = 120
"""A promotion takes seconds."""
SECONDS_BETWEEN_TRIES = 0.5
NAME = "promotion-lock"
"""Registered name of the lock; it does not begin like the models'."""
HOLDER = "holder"


@contextmanager
def promotion_lock() -> Iterator[None]:
    """Hold the lock of the tracking server in use.

    Raises:
        PlatformError: If another promotion still holds it after `SECONDS_TO_WAIT`.
    """
    import mlflow

    uri = mlflow.get_tracking_uri()
    if uri.startswith("sqlite:///"):
        with _file(Path(uri.removeprefix("sqlite:///")).with_name("promotion.lock")):
            yield
    else:
        with _registered():
            yield


@contextmanager
def _file(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        with FileLock(path, timeout=SECONDS_TO_WAIT):
            yield
    except Timeout as error:
        raise _still_held(f"delete the file {path.name}") from error


@contextmanager
def _registered() -> Iterator[None]:
    holder, deadline = uuid.uuid4().hex, time.monotonic() + SECONDS_TO_WAIT
    while not _create(NAME, holder):
        if time.monotonic() > deadline:
            raise _still_held(f"delete the registered model {NAME}")
        _break_if_stale()
        time.sleep(SECONDS_BETWEEN_TRIES)
    try:
        yield
    finally:
        _delete_if(holder)


def _create(name: str, holder: str) -> bool:
    """Create a registered model; return False if its name exists, or did a moment ago."""
    from mlflow.exceptions import MlflowException

    try:
        model_registry.client().create_registered_model(name, tags={HOLDER: holder})
    except MlflowException as error:
        # The server looks up a name that exists to describe it, and may find it deleted by then.
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"):
            raise
        return False
    return True


def _find() -> "RegisteredModel | None":
    from mlflow.exceptions import MlflowException

    try:
        return model_registry.client().get_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _delete_if(holder: str) -> None:
    from mlflow.exceptions import MlflowException

    found = _find()
    if found is not None and found.tags.get(HOLDER) == holder:
        with suppress(MlflowException):
            model_registry.client().delete_registered_model(NAME)


def _break_if_stale() -> None:
    """Delete a lock that is older than its lease.

    Only the process that creates the name with this lock's holder may delete it: of several that see a stale lock, a
    slow one would otherwise delete the next holder's.
    """
    from mlflow.exceptions import MlflowException

    found = _find()
    if found is None or time.time() - found.creation_timestamp / 1000 < LEASE_SECONDS:
        return
    holder = found.tags.get(HOLDER, "")
    breaking = f"{NAME}-{holder}"
    if _create(breaking, holder):
        _delete_if(holder)
        with suppress(MlflowException):
            model_registry.client().delete_registered_model(breaking)


def _still_held(how_to_free: str) -> PlatformError:
    return PlatformError(
        f"another promotion holds the lock, still after {SECONDS_TO_WAIT} s",
        field="promotion",
        remedy=f"Run the same command again later; if no other promotion is running, {how_to_free}",
    )
