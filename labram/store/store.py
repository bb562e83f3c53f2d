"""The patch store: preprocessed recordings, content-addressed and memory-mapped.

One Arrow IPC file per recording (`labram.store.patch_file`). A file's name is the hash of everything that determines
its content. Existing entries therefore need no second computation, and concurrent writers of a key write equal bytes.

Shape letters: C channels, S seconds of a recording, A seconds of a window; a patch has 200 samples.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labram import checksums
from labram.atomic import TEMPORARY_FILES, atomic_folder, atomic_path
from labram.errors import DamagedFileError, StoreError
from labram.input_spec import SAMPLE_RATE_HZ
from labram.store import patch_file
from labram.store.patch_file import PatchFile, PatchWriter, wrap_write_errors
from labram.store.s3 import SCHEME, Bucket

LIMIT_UV = 32_767.0
"""Clipping limit: float16 overflows at 65504, and no amplifier outputs EEG of 33 mV."""
OPEN_FILES = 256
CORPORA = "corpora"
INGEST_AGAIN = "Run `labram corpus ingest FOLDER`, with the recipe of the run, to ingest again"
_VERIFIED: set[tuple[str, int, int, int]] = set()
"""Path, size, modification time and inode of the files that this process has compared with their checksums."""
_MTIME_SETTLED_NS = 2_000_000_000
_ABANDONED_SECONDS = 3600
_CHECKED = re.compile(rf"[^/]{{2}}/[^/.][^/]*\.(arrow|json|npy)|{CORPORA}/[^/]+/[^/.][^/]*\.parquet")


def to_patches(signal: NDArray[np.float32]) -> NDArray[np.float16]:
    """Cut a signal into one-second patches, clipped at ±`LIMIT_UV`.

    Args:
        signal: float [C, S·200] in µV, finite.

    Returns:
        float16 [S, C, 200] in µV.
    """
    channels, samples = signal.shape
    clipped = np.clip(signal, -LIMIT_UV, LIMIT_UV).astype(np.float16)
    patches = clipped.reshape(channels, samples // SAMPLE_RATE_HZ, SAMPLE_RATE_HZ).transpose(1, 0, 2)
    return np.ascontiguousarray(patches)


class Store:
    """Preprocessed recordings by key, with metadata and arrays beside them.

    If the store is a bucket, every method may raise StoreError because the service is unreachable.

    Args:
        location: A folder, created on the first write, or ``s3://bucket/prefix``.

    Raises:
        StoreError: If the location is a URI of another scheme.

    Attributes:
        location: The location as passed.
        root: The folder. For a bucket, its local cache in the user's cache folder (``XDG_CACHE_HOME``), which may be
            deleted at any time.
    """

    def __init__(self, location: Path | str) -> None:
        _require_supported(str(location))
        self.location = location
        self._bucket = Bucket(str(location)) if str(location).startswith(SCHEME) else None
        self.root = _cache_folder(self._bucket) if self._bucket else Path(location)
        self._open = lru_cache(maxsize=OPEN_FILES)(self._open_mapped)

    def __reduce__(self) -> tuple[type["Store"], tuple[Path | str]]:
        """Pickle the location only: a worker process opens its own files."""
        return Store, (self.location,)

    @property
    def is_bucket(self) -> bool:
        """Whether the store is an S3 bucket."""
        return self._bucket is not None

    @staticmethod
    def key(content_hash: str, **determinants: object) -> str:
        """Return the key of what is computed from some content.

        Args:
            content_hash: Hash of the raw bytes.
            **determinants: Everything else that the result depends on (recipe digest, code version, montage, line
                frequency, unit scale …), as JSON-serialisable values.
        """
        text = json.dumps({"content": content_hash, **determinants}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def path(self, key: str) -> Path:
        """Return the local path of an entry, whether or not it exists."""
        return self.root / key[:2] / f"{key}.arrow"

    def __contains__(self, key: str) -> bool:
        path = self.path(key)
        return path.is_file() or (self._bucket is not None and self._bucket.exists(self._object_name(path)))

    def write(self, key: str, patches: NDArray[np.float16], montage: tuple[str, ...]) -> None:
        """Write an entry from one block; see `writer`."""
        with self.writer(key, montage) as writer:
            writer.append(patches)

    @contextmanager
    def writer(self, key: str, montage: tuple[str, ...]) -> Iterator[PatchWriter]:
        """Write an entry block by block, atomically.

        If the body raises or the process is killed, no entry appears.

        Args:
            key: See `key`.
            montage: C canonical channel names.

        Yields:
            The writer; ``writer.append(patches)`` takes float16 [S, C, 200] in µV, in order.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        with self._replacing(self.path(key)) as temporary, PatchWriter(temporary, montage) as writer:
            yield writer
            writer.finish()
        self._open.cache_clear()

    def put_metadata(self, key: str, metadata: Mapping[str, object]) -> None:
        """Store JSON metadata, with their checksum, under a key.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        with self._replacing(self._metadata_path(key)) as temporary:
            _write_json(temporary, metadata)

    def get_metadata(self, key: str) -> dict[str, Any] | None:
        """Return the metadata stored under a key; None if absent or damaged."""
        path = self._metadata_path(key)
        self._fetch_if_missing(path)
        return _read_json(path)

    def put_array(self, key: str, name: str, values: NDArray[np.uint16]) -> None:
        """Store a named array beside an entry.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        path = self._array_path(key, name)
        with self._replacing(path) as temporary, wrap_write_errors(self.location), temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
            file.write(checksums.PLACEHOLDER.encode())
            file.flush()
            checksums.seal(temporary)

    def get_array(self, key: str, name: str) -> NDArray[np.uint16] | None:
        """Return a stored array, memory-mapped; None if absent or damaged.

        Its first use in a process compares it with its checksum; arrays of earlier versions have none.
        """
        path = self._array_path(key, name)
        self._fetch_if_missing(path)
        try:
            _verify_once(path, lambda: checksums.read_checked(path))
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError, EOFError, DamagedFileError):
            return None

    def cached_by_stat(self, files: Sequence[Path], compute: Callable[[], Mapping[str, object]]) -> Mapping[str, Any]:
        """Return the result of `compute` for files, cached until the stat of one of them changes.

        The cache is local to this machine. Its key is a hash of paths, sizes, modification times and inodes, so it
        reveals no path. Files modified within the last two seconds are not cached: they could change again within one
        tick of the clock.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        before = _stats(files)
        if before is None:
            return compute()
        path = self.root / "files" / f"{self.key('files', states=before)}.json"
        cached = _read_json(path)
        if cached is not None:
            return cached
        result = compute()
        if _stats(files) == before and time.time_ns() - max(stat[2] for stat in before) > _MTIME_SETTLED_NS:
            with self._replacing(path, upload=False) as temporary:
                _write_json(temporary, result)
        return result

    def gc(self) -> None:
        """Delete temporary files and folders of killed writers, last modified more than an hour ago."""
        for path in self.root.rglob(TEMPORARY_FILES):
            with suppress(OSError):  # another process deleted it first, or it belongs to another user
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def publish(self, folder: Path, name: str) -> None:
        """Store the files of a corpus under a name; they replace those of its previous version at once.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        target = self.root / CORPORA / name
        with wrap_write_errors(self.location):
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_folder(target) as temporary:
                shutil.copytree(folder, temporary)
        if self._bucket is not None:
            for path in sorted(path for path in target.rglob("*") if path.is_file()):
                self._bucket.upload(path, self._object_name(path))

    def corpora(self) -> list[Path]:
        """Return the local folders of all published corpora.

        Raises:
            StoreError: If the folder is not readable.
        """
        if self._bucket is not None:
            for name in self._bucket.list_names(CORPORA):
                self._fetch(self._bucket, self.root / name)
        try:
            return sorted(
                folder for folder in (self.root / CORPORA).iterdir() if folder.is_dir() and folder.name[0] != "."
            )
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(
                f"the patch store cannot be read ({error.strerror})",
                file=self.location,
                remedy="Make it readable, or choose another store",
            ) from error

    def patches(self, key: str) -> NDArray[np.float16]:
        """Return all patches of an entry: a read-only float16 [S, C, 200] view of the mapped file, in µV.

        The first use of an entry in a process compares it with its checksums.

        Raises:
            StoreError: If the entry is absent or damaged.
        """
        return self._open(key).patches

    def montage(self, key: str) -> tuple[str, ...]:
        """Return the C canonical channel names of an entry."""
        return self._open(key).montage

    def seconds(self, key: str) -> int:
        """Return the duration of an entry in seconds."""
        return int(self.patches(key).shape[0])

    def read(self, key: str, start_sample: int, seconds: int) -> NDArray[np.float32]:
        """Read a window that begins at any sample.

        Args:
            key: See `key`.
            start_sample: First sample at 200 Hz, counted from 0.
            seconds: Length A.

        Returns:
            float32 [C, A, 200] in µV, a copy.

        Raises:
            StoreError: If the entry is absent or damaged.
            IndexError: If the window is not within the recording.
        """
        patches = self.patches(key)
        first, shift = divmod(start_sample, SAMPLE_RATE_HZ)
        rows = seconds + bool(shift)
        if start_sample < 0 or seconds < 1 or first + rows > len(patches):
            raise IndexError(f"no {seconds} s window at sample {start_sample} of {len(patches)} s")
        window = np.empty((patches.shape[1], seconds, SAMPLE_RATE_HZ), np.float32)
        window[:, :, : SAMPLE_RATE_HZ - shift] = patches[first : first + seconds, :, shift:].transpose(1, 0, 2)
        if shift:
            window[:, :, SAMPLE_RATE_HZ - shift :] = patches[first + 1 : first + rows, :, :shift].transpose(1, 0, 2)
        return window

    def verify(self, key: str) -> bool:
        """Return whether an entry exists and its header and patches match their checksums.

        A local file is read once and again after each change. An object that is in the bucket but not in the local
        cache counts as valid: it is verified when it is fetched.

        Raises:
            StoreError: If the store cannot be written.
        """
        path = self.path(key)
        if self._bucket is not None:
            if not self._bucket.exists(self._object_name(path)):
                return False
            if not path.exists():
                return True
        return bool(self.cached_by_stat((path,), lambda: {"intact": self._matches_checksum(key)})["intact"])

    def names(self) -> list[str]:
        """Return the names of all files with a checksum: entries, metadata, arrays and tables of corpora.

        What has such a name and is no file, such as a pipe, a folder or a link to nothing, is among them: as damaged.

        Raises:
            StoreError: If the bucket is unreachable.
        """
        if self._bucket is not None:
            names = self._bucket.list_names("")
        else:
            names = [path.relative_to(self.root).as_posix() for path in self.root.rglob("*")]
        return sorted(name for name in names if _CHECKED.fullmatch(name))

    def is_intact(self, name: str) -> bool:
        """Read a whole file of the store and return whether it matches its checksum; nothing is cached.

        Args:
            name: See `names`.

        Raises:
            StoreError: If the bucket is unreachable.
        """
        path = self.root / name
        with (
            suppress(OSError, pa.ArrowException, LookupError, TypeError, ValueError, DamagedFileError),
            ExitStack() as s,
        ):
            if self._bucket is not None:
                path = Path(s.enter_context(TemporaryDirectory()), path.name)
                self._bucket.download(name, path)
            if path.suffix == ".arrow":
                patch_file.require_intact(path, patch_file.open_mapped(path))
            else:
                content = checksums.read_checked(path)
                if path.suffix == ".json":
                    json.loads(content)
            return True
        return False

    def remove(self, name: str) -> None:
        """Delete a file of the store (see `names`).

        Raises:
            StoreError: If it cannot be deleted.
        """
        if self._bucket is not None:
            self._bucket.delete(name)
        path = self.root / name
        with wrap_write_errors(self.location):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self._open.cache_clear()

    def remove_entries(self, keys: Collection[str]) -> list[str]:
        """Delete the patches and arrays of some entries, and return the names of the files; metadata stay.

        Raises:
            StoreError: If the bucket is unreachable, or a file cannot be deleted.
        """
        names = [name for name in self.names() if name.rpartition("/")[2].partition(".")[0] in keys]
        deleted = [name for name in names if not name.endswith(".json")]
        for name in deleted:
            self.remove(name)
        return deleted

    def _matches_checksum(self, key: str) -> bool:
        try:
            path = self.path(key)
            patch_file.require_intact(path, patch_file.open_mapped(path))
        except (OSError, pa.ArrowException, LookupError, TypeError, ValueError):
            return False
        return True

    def _open_mapped(self, key: str) -> PatchFile:
        """Open an entry; on its first use in this process, compare its patches with their checksum."""
        path = self.path(key)
        try:
            if self._bucket is not None and not path.exists():
                self._fetch(self._bucket, path)
            return _open_verified(path)
        except FileNotFoundError as error:
            raise StoreError("the patch store has no such entry", file=path.name, remedy=INGEST_AGAIN) from error
        except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
            raise StoreError(
                "this entry of the patch store is damaged",
                file=path.name,
                remedy="Run `labram store verify --remove`, then `labram corpus ingest FOLDER` with the run's recipe",
            ) from error

    def _metadata_path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.json"

    def _array_path(self, key: str, name: str) -> Path:
        return self.root / key[:2] / f"{key}.{name}.npy"

    def _object_name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    @contextmanager
    def _replacing(self, path: Path, *, upload: bool = True) -> Iterator[Path]:
        """Yield a temporary path that replaces `path` atomically if the body succeeds, and is deleted otherwise.

        Args:
            path: The file's final path.
            upload: Whether to upload the file if the store is a bucket.
        """
        with wrap_write_errors(self.location):
            path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as replacement:
            temporary = replacement.enter_context(atomic_path(path))
            yield temporary
            if self._bucket is not None and upload:
                self._bucket.upload(temporary, self._object_name(path))
            with wrap_write_errors(self.location):
                replacement.close()

    def _fetch_if_missing(self, path: Path) -> None:
        if self._bucket is not None and not path.exists():
            with suppress(FileNotFoundError):
                self._fetch(self._bucket, path)

    def _fetch(self, bucket: Bucket, path: Path) -> None:
        """Download an object into the local cache, unless its patches are damaged."""
        with self._replacing(path, upload=False) as temporary:
            if not bucket.download(self._object_name(path), temporary):
                raise FileNotFoundError(path.name)
            if path.suffix == ".arrow":
                patch_file.require_intact(temporary, patch_file.open_mapped(temporary))


def _require_supported(location: str) -> None:
    scheme, separator, bucket = location.partition("://")
    if separator and (scheme != "s3" or not bucket.partition("/")[0]):
        raise StoreError(
            "not a patch store location: expected a folder or s3://bucket/prefix",
            file=location,
            remedy="Pass a folder or s3://bucket/prefix",
        )


def _cache_folder(bucket: Bucket) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "labram" / "stores" / hashlib.sha256(bucket.uri.encode()).hexdigest()[:16]


def _open_verified(path: Path) -> PatchFile:
    """Map an entry whose patches match their checksum; they are compared once per process."""
    mapped = patch_file.open_mapped(path)
    _verify_once(path, lambda: patch_file.require_intact(path, mapped))
    return mapped


def _verify_once(path: Path, verify: Callable[[], object]) -> None:
    """Call `verify` unless this process has done so for the file as it is now."""
    states = set(_stats((path,)) or ())
    if not states or states - _VERIFIED:
        verify()
        _VERIFIED.update(states)


def _stats(files: Sequence[Path]) -> list[tuple[str, int, int, int]] | None:
    """Return path, size, mtime in ns and inode of each file; None if there are no files or a stat fails."""
    try:
        stats = [(path, path.stat()) for path in files]
    except OSError:
        return None
    return [(str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats] or None


def _write_json(path: Path, values: Mapping[str, object]) -> None:
    with wrap_write_errors(path.parent):
        checksums.write_json(path, values, sort_keys=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = checksums.loads(checksums.read_checked(path))
    except (OSError, ValueError, DamagedFileError):
        return None
    return values if isinstance(values, dict) else None
