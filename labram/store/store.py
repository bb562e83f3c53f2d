"""The patch store: preprocessed recordings, content-addressed, memory-mapped.

One Arrow IPC file per recording (`labram.store.patch_file`). The name of a file is the hash of all that determines its
content, so what exists need not be made again and two writers of one name write the same bytes.

Shape letters: C channels, S seconds of a recording, A seconds of a window; a patch has 200 samples.
"""

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labram.errors import StoreError
from labram.store import patch_file
from labram.store.patch_file import RATE_HZ, Entry, Writer, writes_to
from labram.store.s3 import SCHEME, Bucket

__all__ = ["LIMIT_UV", "RATE_HZ", "Store", "to_patches"]

LIMIT_UV = 32_767.0
"""Values are clipped here: float16 ends at 65504, and no amplifier gives EEG of 33 mV."""
OPEN_FILES = 256
CORPORA = "corpora"
_SETTLED_NS = 2_000_000_000
_ABANDONED_SECONDS = 3600


def to_patches(signal: NDArray[np.float32]) -> NDArray[np.float16]:
    """Cut a signal into patches, and clip it at ±`LIMIT_UV`.

    Args:
        signal: float [C, S·200] in µV, finite.

    Returns:
        float16 [S, C, 200] in µV.
    """
    channels, samples = signal.shape
    bounded = np.clip(signal, -LIMIT_UV, LIMIT_UV).astype(np.float16)
    patches = bounded.reshape(channels, samples // RATE_HZ, RATE_HZ).transpose(1, 0, 2)
    return np.ascontiguousarray(patches)


class Store:
    """Preprocessed recordings by key.

    Args:
        location: A folder, which is made when something is written, or ``s3://bucket/prefix``.

    Raises:
        StoreError: If the location is an address of another kind.

    Attributes:
        location: As it was given.
        root: The folder; for a bucket, the one before it, in the user's cache folder (``XDG_CACHE_HOME``). It may be
            deleted at any time.
    """

    def __init__(self, location: Path | str) -> None:
        _require_known(str(location))
        self.location = location
        self._bucket = Bucket(str(location)) if str(location).startswith(SCHEME) else None
        self.root = _cache(self._bucket) if self._bucket else Path(location)
        self._open = lru_cache(maxsize=OPEN_FILES)(self._map)

    def __reduce__(self) -> tuple[type["Store"], tuple[Path | str]]:
        """The way to a worker process: it opens its own files."""
        return Store, (self.location,)

    @property
    def shared(self) -> bool:
        """Whether the store is a bucket."""
        return self._bucket is not None

    @staticmethod
    def key(content_hash: str, **determinants: object) -> str:
        """Key of the patches that are made from some content.

        Args:
            content_hash: Hash of the raw bytes.
            **determinants: All else that the patches depend on (recipe digest, code version, montage, mains frequency,
                unit scale …), as values that JSON can write.
        """
        text = json.dumps({"content": content_hash, **determinants}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def path(self, key: str) -> Path:
        """Where the entry `key` is, or would be."""
        return self.root / key[:2] / f"{key}.arrow"

    def __contains__(self, key: str) -> bool:
        path = self.path(key)
        return path.is_file() or (self._bucket is not None and self._bucket.holds(self._name(path)))

    def write(self, key: str, patches: NDArray[np.float16], montage: tuple[str, ...]) -> None:
        """Write an entry at once: `writing` with one block."""
        with self.writing(key, montage) as file:
            file.append(patches)

    @contextmanager
    def writing(self, key: str, montage: tuple[str, ...]) -> Iterator[Writer]:
        """Write an entry block by block: whole or not at all, also when the process dies or others write the same.

        What the body raises goes on upwards, and nothing of the entry stays.

        Args:
            key: See `key`.
            montage: C canonical channel names.

        Yields:
            What takes the blocks, float16 [S, C, 200] in µV in their order: ``entry.append(patches)``.

        Raises:
            StoreError: If the folder cannot be written, or the disk is full.
        """
        with self._replacing(self.path(key)) as temporary, Writer(temporary, montage) as file:
            yield file
            file.finish()
        self._open.cache_clear()

    def note(self, key: str, facts: Mapping[str, object]) -> None:
        """Keep what was found out at some cost under a key, as JSON.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        with self._replacing(self._note_path(key)) as temporary:
            _write_json(temporary, facts)

    def noted(self, key: str) -> dict[str, Any] | None:
        """What `note` kept under a key; None if there is nothing, or it is damaged.

        Raises:
            StoreError: If the store is a bucket that does not answer.
        """
        path = self._note_path(key)
        if self._bucket is not None and not path.exists():
            with suppress(FileNotFoundError):
                self._fetch(self._bucket, path)
        return _read_json(path)

    def keep(self, key: str, name: str, values: NDArray[np.uint16]) -> None:
        """Keep numbers beside an entry, under a name of their own.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        place = self._beside(key, name)
        with self._replacing(place) as temporary, writes_to(self.location), temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def kept(self, key: str, name: str) -> NDArray[np.uint16] | None:
        """What `keep` kept, memory-mapped; None if there is nothing, or only a part of it.

        Raises:
            StoreError: If the store is a bucket that does not answer.
        """
        path = self._beside(key, name)
        if self._bucket is not None and not path.exists():
            with suppress(FileNotFoundError):
                self._fetch(self._bucket, path)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        except (OSError, ValueError, EOFError):
            return None

    def remembered(self, files: Sequence[Path], find_out: Callable[[], Mapping[str, object]]) -> Mapping[str, Any]:
        """What `find_out` says of files, asked again only when one of them has changed.

        Kept on this machine under a hash of paths, sizes, times and inodes together, from which no path can be told.
        Files that changed a moment ago are not trusted: they could change again within a tick of the clock.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        before = _states(files)
        if before is None:
            return find_out()
        path = self.root / "files" / f"{self.key('files', states=before)}.json"
        facts = _read_json(path)
        if facts is not None:
            return facts
        found = find_out()
        if _states(files) == before and time.time_ns() - max(state[2] for state in before) > _SETTLED_NS:
            with self._replacing(path, here=True) as temporary:
                _write_json(temporary, found)
        return found

    def sweep(self) -> None:
        """Remove what writers that were killed have left: unfinished files that nobody has touched for an hour."""
        for left in self.root.rglob(".*.tmp"):
            with suppress(OSError):  # another sweep was faster, or the file is of another user
                if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                    left.unlink()

    def publish(self, folder: Path, name: str) -> None:
        """Keep the files of a judged corpus under a name, in place of those that were there; each is replaced whole.

        Raises:
            StoreError: If the store cannot be written, or the disk is full.
        """
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            place = self.root / CORPORA / name / path.relative_to(folder)
            with self._replacing(place) as temporary, writes_to(self.location):
                shutil.copyfile(path, temporary)

    def corpora(self) -> list[Path]:
        """Folders of the judged corpora that were published, on this machine.

        Raises:
            StoreError: If the store is a bucket that does not answer, or a folder that may not be read.
        """
        if self._bucket is not None:
            for name in self._bucket.names(CORPORA):
                self._fetch(self._bucket, self.root / name)
        try:
            return sorted(folder for folder in (self.root / CORPORA).iterdir() if folder.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(
                f"the patch store cannot be read ({error.strerror})",
                file=self.location,
                remedy="Make it readable, or name another one",
            ) from error

    def _note_path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.json"

    def _beside(self, key: str, name: str) -> Path:
        return self.root / key[:2] / f"{key}.{name}.npy"

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    @contextmanager
    def _replacing(self, path: Path, *, here: bool = False) -> Iterator[Path]:
        """A name for a file that takes the place of `path` when it is written, and disappears when it is not.

        Args:
            path: The file's final name.
            here: On this machine only, if the store is a bucket.
        """
        temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp")
        try:
            with writes_to(self.location):
                path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with writes_to(self.location), temporary.open("rb") as file:
                os.fsync(file.fileno())
            if self._bucket is not None and not here:
                self._bucket.put(temporary, self._name(path))
            with writes_to(self.location):
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _fetch(self, bucket: Bucket, path: Path) -> None:
        """Bring an object here; damaged patches do not arrive."""
        with self._replacing(path, here=True) as temporary:
            if not bucket.get(self._name(path), temporary):
                raise FileNotFoundError(path.name)
            if path.suffix == ".arrow":
                found = patch_file.read(temporary)
                if patch_file.checksum(temporary, found) != found.checksum:
                    raise ValueError("the checksum is another")

    def patches(self, key: str) -> NDArray[np.float16]:
        """All patches of an entry: a read-only float16 [S, C, 200] view of the mapped file, in µV.

        Raises:
            StoreError: If the entry is absent or damaged.
        """
        return self._open(key).patches

    def montage(self, key: str) -> tuple[str, ...]:
        """The C canonical channel names of an entry."""
        return self._open(key).montage

    def seconds(self, key: str) -> int:
        """Length of an entry in seconds."""
        return int(self.patches(key).shape[0])

    def read(self, key: str, start_sample: int, seconds: int) -> NDArray[np.float32]:
        """A window that begins at any sample.

        Args:
            key: See `key`.
            start_sample: First sample at 200 Hz, counted from 0.
            seconds: Length A.

        Returns:
            float32 [C, A, 200] in µV, a copy.

        Raises:
            StoreError: If the entry is absent or damaged.
            IndexError: If the window does not lie in the recording.
        """
        patches = self.patches(key)
        first, shift = divmod(start_sample, RATE_HZ)
        rows = seconds + bool(shift)
        if start_sample < 0 or seconds < 1 or first + rows > len(patches):
            raise IndexError(f"no {seconds} s window at sample {start_sample} of {len(patches)} s")
        window = np.empty((patches.shape[1], seconds, RATE_HZ), np.float32)
        window[:, :, : RATE_HZ - shift] = patches[first : first + seconds, :, shift:].transpose(1, 0, 2)
        if shift:
            window[:, :, RATE_HZ - shift :] = patches[first + 1 : first + rows, :, :shift].transpose(1, 0, 2)
        return window

    def intact(self, key: str) -> bool:
        """Whether an entry is there and its values are those that were written.

        A file is read and compared with its checksum unless it was, and has not changed since. An object that is in
        the bucket and not here counts as intact: its checksum is compared when it is fetched.

        Raises:
            StoreError: If the store is a bucket that does not answer, or the store cannot be written.
        """
        path = self.path(key)
        if self._bucket is not None:
            if not self._bucket.holds(self._name(path)):
                return False
            if not path.exists():
                return True
        return bool(self.remembered((path,), lambda: {"intact": self._verified(key)})["intact"])

    def _verified(self, key: str) -> bool:
        try:
            found = self._open(key)
            return patch_file.checksum(self.path(key), found) == found.checksum
        except (StoreError, OSError):
            return False

    def _map(self, key: str) -> Entry:
        path = self.path(key)
        try:
            if self._bucket is not None and not path.exists():
                self._fetch(self._bucket, path)
            return patch_file.read(path)
        except FileNotFoundError as error:
            raise StoreError(
                "there is no such entry in the patch store", file=path.name, remedy="Run `labram run` to ingest again"
            ) from error
        except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
            raise StoreError(
                "this entry of the patch store is damaged",
                file=path.name,
                remedy="Delete the file and run `labram run` to ingest again",
            ) from error


def _require_known(location: str) -> None:
    scheme, separator, bucket = location.partition("://")
    if separator and (scheme != "s3" or not bucket.partition("/")[0]):
        raise StoreError(
            "this is no address of a patch store", file=location, remedy="Give a folder or s3://bucket/prefix"
        )


def _cache(bucket: Bucket) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "labram" / "stores" / hashlib.sha256(bucket.uri.encode()).hexdigest()[:16]


def _states(files: Sequence[Path]) -> list[tuple[str, int, int, int]] | None:
    """Path, size, time of the last change in ns, and inode of each; None if there are none or one cannot be seen."""
    try:
        stats = [(path, path.stat()) for path in files]
    except OSError:
        return None
    return [(str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats] or None


def _write_json(path: Path, facts: Mapping[str, object]) -> None:
    with writes_to(path.parent):
        path.write_text(json.dumps(facts, sort_keys=True))


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        facts = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None
