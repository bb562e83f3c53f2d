"""File format of the patch store: an Arrow IPC file with one record batch, patch-major, uncompressed.

One row per second; column `patches` is a fixed-size list of C·200 float16 values in µV, so a window is one contiguous
read. The Arrow header and footer have the same length for any number of rows. Patches can therefore be streamed, and
the header is rewritten at the end.

Two checksums are in the metadata: `crc32` of the patches, and `header_crc32` of channel names, duration and `crc32`.
Files of earlier versions lack the latter.

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

from labram.checksums import require_regular
from labram.errors import NonFinitePatchesError, StoreError
from labram.input_spec import SAMPLE_RATE_HZ

_BYTES = np.dtype(np.float16).itemsize
_CHUNK = 1 << 22


class PatchFile(NamedTuple):
    """A memory-mapped patch file.

    Attributes:
        patches: float16 [S, C, 200] in µV, read-only view of the file.
        montage: C canonical channel names.
        crc32: CRC-32 of the patches, computed when they were written.
        offset: Byte offset of the patches in the file.
        header_checked: Whether the file has a checksum of its header; it was compared when the file was opened.
    """

    patches: NDArray[np.float16]
    montage: tuple[str, ...]
    crc32: int
    offset: int
    header_checked: bool


def open_mapped(path: Path) -> PatchFile:
    """Memory-map a patch file.

    Raises:
        OSError, pyarrow.ArrowException, LookupError, TypeError, ValueError: If the file is absent, not a patch file, or
            has a header that does not match its checksum.
    """
    require_regular(path)
    with pa.memory_map(str(path)) as file:
        mapped = file.read_buffer()
    reader = pa.ipc.open_file(mapped)
    metadata = reader.schema.metadata
    montage = tuple(json.loads(metadata[b"montage"]))
    (column,) = reader.get_batch(0).columns
    values = column.flatten()
    offset = values.buffers()[1].address - mapped.address
    patches = values.to_numpy(zero_copy_only=True).reshape(len(column), len(montage), SAMPLE_RATE_HZ)
    crc, stated = int(metadata[b"crc32"]), metadata.get(b"header_crc32")
    if stated is not None and int(stated) != (actual := _header_crc32(montage, len(column), crc)):
        raise ValueError(f"checksum mismatch in the header: expected {int(stated)}, got {actual}")
    return PatchFile(patches, montage, crc, offset, stated is not None)


def _header_crc32(montage: tuple[str, ...], seconds: int, crc: int) -> int:
    return zlib.crc32(json.dumps([montage, seconds, crc]).encode())


def compute_crc32(path: Path, mapped: PatchFile) -> int:
    """Return the CRC-32 of the patches now in a file, read in chunks to bound memory use."""
    remaining, crc = mapped.patches.nbytes, 0
    with path.open("rb") as file:
        file.seek(mapped.offset)
        while remaining and (chunk := file.read(min(remaining, _CHUNK))):
            crc = zlib.crc32(chunk, crc)
            remaining -= len(chunk)
    return crc


def require_finite(patches: NDArray[np.float16]) -> None:
    """Check patches, float16 [S, C, 200].

    Raises:
        NonFinitePatchesError: If a value is NaN or infinite.
    """
    if not np.isfinite(patches).all():
        raise NonFinitePatchesError(
            "patches with NaN or infinite values are not stored",
            remedy="Remove the recording from the corpus, or export it again",
        )


def require_intact(path: Path, mapped: PatchFile) -> None:
    """Compare the patches now in a file with their checksum.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If they differ.
    """
    if (actual := compute_crc32(path, mapped)) != mapped.crc32:
        raise ValueError(f"checksum mismatch: expected {mapped.crc32}, got {actual}")


@contextmanager
def wrap_write_errors(location: Path | str) -> Iterator[None]:
    """Convert an OSError raised while writing into a StoreError that names the store.

    Raises:
        StoreError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"the patch store cannot be written ({error.strerror or type(error).__name__})",
            file=location,
            remedy="Free some space or choose another workspace",
        ) from error


class PatchWriter:
    """Writer of a patch file, block by block.

    Args:
        path: The file; it must not exist.
        montage: C canonical channel names.

    Raises:
        StoreError: If the folder cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, montage: tuple[str, ...]) -> None:
        assert montage, "an entry has channels"
        self._montage = montage
        self._seconds = self._crc = 0
        header, _ = _header_and_footer(montage, seconds=1, crc=0)
        self._reserved = len(header)
        self._folder = path.parent
        with wrap_write_errors(self._folder):
            self._file = path.open("xb")
            self._file.write(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a failed flush here concerns a file that is discarded
            self._file.close()

    def append(self, patches: NDArray[np.float16]) -> None:
        """Append patches, float16 [S, C, 200] in µV.

        Raises:
            NonFinitePatchesError: If a value is NaN or infinite.
            StoreError: If the disk is full or fails.
        """
        assert patches.dtype == np.float16, "the store holds float16"
        assert patches.shape[1:] == (len(self._montage), SAMPLE_RATE_HZ), "one name a channel, 200 samples a patch"
        require_finite(patches)
        flat = np.ascontiguousarray(patches).reshape(-1).view(np.uint8).data
        with wrap_write_errors(self._folder):
            self._file.write(flat)
        self._crc = zlib.crc32(flat, self._crc)
        self._seconds += len(patches)

    def finish(self) -> None:
        """Write the footer and the final header.

        Raises:
            StoreError: If the disk is full or fails.
        """
        assert self._seconds, "an entry has patches"
        header, footer = _header_and_footer(self._montage, self._seconds, self._crc)
        assert len(header) == self._reserved, "the header has the same length for any number of patches"
        with wrap_write_errors(self._folder):
            self._file.write(footer)
            self._file.seek(0)
            self._file.write(header)
            self._file.flush()


def _header_and_footer(montage: tuple[str, ...], seconds: int, crc: int) -> tuple[bytes, bytes]:
    """Return the bytes that Arrow writes before and after the patches."""
    row = len(montage) * SAMPLE_RATE_HZ
    body = pa.py_buffer(_placeholder(seconds * row * _BYTES))
    values = pa.Array.from_buffers(pa.float16(), seconds * row, [None, body])
    column = pa.FixedSizeListArray.from_arrays(values, row)
    metadata = {
        "montage": json.dumps(montage),
        "crc32": f"{crc:010d}",
        "header_crc32": f"{_header_crc32(montage, seconds, crc):010d}",
    }
    schema = pa.schema([pa.field("patches", column.type, nullable=False)], metadata=metadata)
    sink = _SkipBody(body)
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), schema) as writer:
        writer.write_batch(pa.record_batch([column], schema=schema))
    return bytes(sink.header), bytes(sink.footer)


def _placeholder(size: int) -> mmap.mmap:
    """Return an address range that is never read and therefore takes no memory."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)


class _SkipBody:
    """A writable file that records what is written before and after `body` and drops `body`."""

    closed = False

    def __init__(self, body: pa.Buffer) -> None:
        self.header, self.footer = bytearray(), bytearray()
        self._body, self._current = body, self.header

    def write(self, data: bytes | pa.Buffer) -> None:
        if isinstance(data, pa.Buffer) and data.address == self._body.address:
            self._current = self.footer
        else:
            self._current += memoryview(data)

    def flush(self) -> None:
        """Do nothing: writes are not buffered."""
