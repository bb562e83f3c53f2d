"""The patch store: preprocessed recordings, content-addressed, memory-mapped.

One Arrow IPC file a recording (see `labram.corpus.entry`). The name of a file is the hash of all that determines its
content, so what exists need not be made again and two writers of one name write the same bytes.

Shape letters: C channels, S seconds of a recording, A seconds of a window; a patch has 200 samples.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labram.corpus import entry
from labram.corpus.entry import RATE_HZ, Entry, Writer, writes_to
from labram.errors import StoreError

__all__ = ["LIMIT_UV", "RATE_HZ", "Store", "to_patches"]

LIMIT_UV = 32_767.0
"""Values are clipped here: float16 ends at 65504, and no amplifier gives EEG of 33 mV."""
OPEN_FILES = 256


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
    """Preprocessed recordings by key, below one folder.

    Args:
        root: The folder; it is made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open = lru_cache(maxsize=OPEN_FILES)(self._map)

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
        return self.path(key).is_file()

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
            StoreError: If the folder cannot be written, or the disk is full.
        """
        self._write_whole(self._note_path(key), json.dumps(facts, sort_keys=True).encode())

    def noted(self, key: str) -> dict[str, Any] | None:
        """What `note` kept under a key; None if there is nothing, or it is damaged."""
        try:
            facts = json.loads(self._note_path(key).read_bytes())
        except (OSError, ValueError):
            return None
        return facts if isinstance(facts, dict) else None

    def _note_path(self, key: str) -> Path:
        return self.root / key[:2] / f"{key}.json"

    def _write_whole(self, path: Path, content: bytes) -> None:
        with self._replacing(path) as temporary, writes_to(self.root), temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[Path]:
        """A name for a file that takes the place of `path` when it is written, and disappears when it is not."""
        temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.tmp")
        try:
            with writes_to(self.root):
                path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with writes_to(self.root):
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

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
        window = patches[first : first + rows].transpose(1, 0, 2).astype(np.float32)
        if not shift:
            return window
        channels = window.shape[0]
        flat = window.reshape(channels, -1)[:, shift : shift + seconds * RATE_HZ]
        return np.ascontiguousarray(flat).reshape(channels, seconds, RATE_HZ)

    def intact(self, key: str) -> bool:
        """Whether an entry is there and its values are those that were written (checksum)."""
        try:
            found = self._open(key)
            return entry.checksum(self.path(key), found) == found.checksum
        except (StoreError, OSError):
            return False

    def _map(self, key: str) -> Entry:
        path = self.path(key)
        try:
            return entry.read(path)
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
