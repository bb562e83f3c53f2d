"""Outputs of earlier tasks that a run on this machine reuses: only while they are as their task wrote them.

KFP's local cache asks whether an output exists. Here its digest is compared as well, and the patch store must hold the
recordings of a catalogue; otherwise the task runs again, so that running the same command again repairs the workspace.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kfp import dsl
from kfp.local import cache
from kfp.local.cache import LocalCache

from labram.atomic import atomic_path
from labram.corpus.catalogue import CATALOGUE_FILE, Corpus
from labram.errors import LabramError
from labram.platform.workspace import Workspace
from labram.store.store import Store

log = logging.getLogger(__name__)


def use_for(workspace: Workspace) -> None:
    """Let KFP's local runner, in this process, reuse only intact outputs.

    Args:
        workspace: The workspace, whose patch store must hold the recordings of reused catalogues.
    """

    class WorkspaceCache(VerifiedCache):
        store = Store(workspace.store)

    cache.LocalCache = WorkspaceCache


class VerifiedCache(LocalCache):  # type: ignore[misc]
    """KFP's cache with a file of digests beside each entry."""

    store: Store

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """See `LocalCache.put`; the digests are written last, so that an entry without them is none."""
        super().put(key, outputs)
        with atomic_path(self._digests(key)) as temporary:
            temporary.write_text(json.dumps(self._current(key, outputs)), encoding="utf-8")

    def get(self, key: str) -> dict[str, Any] | None:
        """See `LocalCache.get`; None, too, if entry or outputs have changed, or the store lacks a recording."""
        try:
            outputs: dict[str, Any] | None = super().get(key)
            if outputs is None:
                return None
            written = json.loads(self._digests(key).read_text(encoding="utf-8"))
            if written == self._current(key, outputs) and all(self._stored(Path(path)) for path in _paths(outputs)):
                return outputs
        except (AttributeError, OSError, LookupError, TypeError, ValueError, LabramError):
            pass
        log.warning("The outputs of an earlier task are damaged; the task runs again")
        return None

    def _current(self, key: str, outputs: Mapping[str, Any]) -> dict[str, str]:
        """Return the digests of the entry and of all outputs, by path."""
        return {path: digest(Path(path)) for path in (self._entry_path(key), *_paths(outputs))}

    def _stored(self, folder: Path) -> bool:
        """Return whether the store holds all recordings of the catalogue in a folder, if it has one."""
        if not (folder / CATALOGUE_FILE).is_file():
            return True
        keys = set(Corpus.load(folder).catalogue["store_key"]) - {""}
        return all(self.store.verify(key) for key in keys)

    def _digests(self, key: str) -> Path:
        return Path(self.cache_root) / f"{key}.digests"


def digest(path: Path) -> str:
    """Return the SHA-256 over a file, or over names and contents of all files in a folder."""
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            total.update(f"{file.relative_to(path)}\0".encode("utf-8", "surrogateescape"))
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def _paths(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the paths of a task's artifacts."""
    for value in outputs.values():
        for artifact in value if isinstance(value, list) else [value]:
            if isinstance(artifact, dsl.Artifact) and artifact.uri:
                yield artifact.uri
