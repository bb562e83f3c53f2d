"""One entry of the patch store as a file: an Arrow IPC file of one record batch, patch-major, uncompressed.

Row = one second, column `patches` = fixed size list of C·200 float16 µV. A window is then one contiguous read. What
stands before and after the patches has the same length whatever their number, so they can be written as they come and
the file is finished by going back to its beginning.

Shape letters: C channels, S seconds.
"""

import json
import mmap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from labram.errors import StoreError

RATE_HZ = 200
"""Sampling rate of everything in the store, and so the length of a patch in samples."""
_BYTES = np.dtype(np.float16).itemsize
_CHUNK = 1 << 22


class Entry(NamedTuple):
    """What `read` gives: a view of the mapped file, and what its header says.

    Attributes:
        patches: float16 [S, C, 200] in µV, read-only.
        montage: C canonical channel names.
        checksum: CRC-32 of the patches when they were written.
        offset: Where in the file the patches begin, in bytes.
    """

    patches: NDArray[np.float16]
    montage: tuple[str, ...]
    checksum: int
    offset: int


def read(path: Path) -> Entry:
    """Map a file.

    Raises:
        OSError, pyarrow.ArrowException, LookupError, TypeError, ValueError: If it is absent or not such a file.
    """
    with pa.memory_map(str(path)) as file:
        whole = file.read_buffer()
    reader = pa.ipc.open_file(whole)
    metadata = reader.schema.metadata
    montage = tuple(json.loads(metadata[b"montage"]))
    (column,) = reader.get_batch(0).columns
    values = column.flatten()
    offset = values.buffers()[1].address - whole.address
    patches = values.to_numpy(zero_copy_only=True).reshape(len(column), len(montage), RATE_HZ)
    return Entry(patches, montage, int(metadata[b"crc32"]), offset)


def checksum(path: Path, entry: Entry) -> int:
    """CRC-32 of the patches of a mapped file as they are now, read by pieces so that they do not fill the memory."""
    left, crc = entry.patches.nbytes, 0
    with path.open("rb") as file:
        file.seek(entry.offset)
        while left and (chunk := file.read(min(left, _CHUNK))):
            crc = zlib.crc32(chunk, crc)
            left -= len(chunk)
    return crc


@contextmanager
def writes_to(place: Path | str) -> Iterator[None]:
    """Say of a store that it cannot be written, where the system says so of a file.

    Raises:
        StoreError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the patch store cannot be written ({error.strerror or type(error).__name__})",
            file=place,
            remedy="Free some space or choose another workspace",
        ) from error


class Writer:
    """Writes a file from blocks of patches.

    Args:
        path: The file; it must not be there.
        montage: C canonical channel names.

    Raises:
        StoreError: If the folder cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, montage: tuple[str, ...]) -> None:
        assert montage, "an entry has channels"
        self._montage = montage
        self._seconds = self._crc = 0
        before, _ = _frame(montage, seconds=1, crc=0)
        self._reserved = len(before)
        self._place = path.parent
        with writes_to(self._place):
            self._file = path.open("xb")
            self._file.write(before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # what is held back and cannot be written belongs to a file that is thrown away
            self._file.close()

    def append(self, patches: NDArray[np.float16]) -> None:
        """Add patches, float16 [S, C, 200] in µV, after those that are there.

        Raises:
            StoreError: If the disk is full or fails.
        """
        assert patches.dtype == np.float16, "the store keeps float16"
        assert patches.shape[1:] == (len(self._montage), RATE_HZ), "one name a channel, 200 samples a patch"
        flat = np.ascontiguousarray(patches).reshape(-1).view(np.uint8).data
        with writes_to(self._place):
            self._file.write(flat)
        self._crc = zlib.crc32(flat, self._crc)
        self._seconds += len(patches)

    def finish(self) -> None:
        """Make the file whole.

        Raises:
            StoreError: If the disk is full or fails.
        """
        assert self._seconds, "an entry has patches"
        before, after = _frame(self._montage, self._seconds, self._crc)
        assert len(before) == self._reserved, "the beginning has the same length whatever the number of patches"
        with writes_to(self._place):
            self._file.write(after)
            self._file.seek(0)
            self._file.write(before)
            self._file.flush()


def _frame(montage: tuple[str, ...], seconds: int, crc: int) -> tuple[bytes, bytes]:
    """What Arrow writes before and after the patches."""
    row = len(montage) * RATE_HZ
    body = pa.py_buffer(_unread(seconds * row * _BYTES))
    values = pa.Array.from_buffers(pa.float16(), seconds * row, [None, body])
    column = pa.FixedSizeListArray.from_arrays(values, row)
    metadata = {"montage": json.dumps(montage), "crc32": f"{crc:010d}"}
    schema = pa.schema([pa.field("patches", column.type, nullable=False)], metadata=metadata)
    sink = _Around(body)
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), schema) as writer:
        writer.write_batch(pa.record_batch([column], schema=schema))
    return bytes(sink.before), bytes(sink.after)


def _unread(size: int) -> mmap.mmap:
    """Addresses that nobody reads, so they take no memory."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)


class _Around:
    """A file that keeps what is written before and after `body`, but not `body`."""

    closed = False

    def __init__(self, body: pa.Buffer) -> None:
        self.before, self.after = bytearray(), bytearray()
        self._body, self._part = body, self.before

    def write(self, data: bytes | pa.Buffer) -> None:
        if isinstance(data, pa.Buffer) and data.address == self._body.address:
            self._part = self.after
        else:
            self._part += memoryview(data)

    def flush(self) -> None:
        """Nothing is held back."""
