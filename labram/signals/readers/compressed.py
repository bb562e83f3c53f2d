"""Compressed recordings (``a.edf.gz``): EDF, BDF and GDF are unpacked to a file without a name while they are used."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import pyarrow as pa

from labram.errors import ReadError, Reason
from labram.signals.readers import edf, gdf
from labram.signals.readers.errors import too_large, truncated, unreadable
from labram.signals.readers.limits import MOST_RATIO, unpacked_limit
from labram.signals.recording import Recording, Samples, Signal

SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar")
_READERS: dict[str, Callable[[Path], Recording]] = {
    ".edf": edf.read,
    ".rec": edf.read,
    ".bdf": edf.read,
    ".gdf": gdf.read,
}
_CHUNK = 1 << 20
_MOST_MEMBERS = 100_000
_MOST_TABLES = 8
STREAMS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda path: pa.input_stream(path, compression="zstd"),
}
"""By suffix: how a file that is compressed as a whole is opened."""
_TARS = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz", ".tzst": ".zst"}
OPAQUE = (".7z", ".rar")
"""Suffixes of archives that cannot be looked into."""
ARCHIVES = (".zip", ".tar", *STREAMS, *_TARS, *OPAQUE)
"""Suffixes of files with several members; those of `STREAMS` after ``.tar``."""
_DAMAGE = (EOFError, ValueError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)
"""Errors of archives that are damaged, encrypted or of an unknown method."""


def inner_suffix(path: Path) -> str:
    """Return the suffix of the compressed file, in lower case; empty if `path` is not compressed."""
    name = Path(path.stem)
    if name.suffix.lower() == ".tar":
        name = Path(name.stem)
    return name.suffix.lower() if path.suffix.lower() in SUFFIXES else ""


def read(path: Path) -> Recording:
    """Read a compressed EDF, BDF or GDF.

    Raises:
        ReadError: UNSUPPORTED for other formats and archives; DAMAGED if it unpacks to more than 100 times its size;
            TRUNCATED if the archive ends early; else as the format's reader.
    """
    reader = _READERS.get(inner_suffix(path))
    if reader is None or path.suffix.lower() != ".gz" or Path(path.stem).suffix.lower() == ".tar":
        raise ReadError(
            "a compressed recording", reason=Reason.UNSUPPORTED, file=path.name, remedy="Unpack it beside this file"
        )
    file = TemporaryFile(prefix="labram-")  # noqa: SIM115  closed with the recording
    _unpack(path, file)
    with _errors_of(path):
        recording = reader(Path(f"/dev/fd/{file.fileno()}"))
    return replace(recording, data=_Unpacked(recording.data, file, path))  # type: ignore[arg-type]


def archived(path: Path) -> list[str]:
    """Return the names of the files in a ``.zip`` or ``.tar``; of a compressed ``.tar``, of those at its beginning."""
    names: list[str] = []
    with suppress(OSError, *_DAMAGE):
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return archive.namelist()
        with _tar(path) as archive:
            for member in islice(archive, _MOST_MEMBERS):
                names.append(member.name)  # noqa: PERF401  the beginning of an archive ends with an error
    return names


def archived_tables(path: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Unpack the beginnings of the first files with such a suffix in a ``.zip`` or ``.tar``, one after the other."""
    names = [name for name in archived(path) if Path(name).suffix.lower() in suffixes][:_MOST_TABLES]
    for name in names:
        with TemporaryFile(prefix="labram-") as file:
            with suppress(OSError, *_DAMAGE, KeyError):
                if path.suffix.lower() == ".zip":
                    with zipfile.ZipFile(path) as archive, archive.open(name) as member:
                        file.write(member.read(_CHUNK))
                else:
                    with _tar(path) as packed:
                        content = packed.extractfile(name)
                        file.write(content.read(_CHUNK) if content else b"")
            file.flush()
            yield Path(f"/dev/fd/{file.fileno()}")


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    packed = path.suffix.lower() != ".tar"
    with beginning(path) if packed else nullcontext(path) as unpacked, tarfile.open(unpacked, "r:") as archive:
        yield archive


@contextmanager
def beginning(path: Path) -> Iterator[Path]:
    """Unpack the first megabyte of a file that is compressed as a whole, or what can be unpacked of it.

    Raises:
        OSError: If the file cannot be read.
    """
    suffix = path.suffix.lower()
    with TemporaryFile(prefix="labram-") as file:
        try:
            with STREAMS[_TARS.get(suffix, suffix)](path) as packed:
                while file.tell() < _CHUNK and (chunk := packed.read1(_CHUNK)):
                    file.write(chunk[: _CHUNK - file.tell()])
        except _DAMAGE:
            pass
        except OSError as error:  # those of the libraries have no number
            if error.errno:
                raise
        file.flush()
        yield Path(f"/dev/fd/{file.fileno()}")


def _unpack(path: Path, into: IO[bytes]) -> None:
    left = unpacked_limit(path)
    try:
        with gzip.open(path) as packed:
            while chunk := packed.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise too_large(path, f"unpacks to more than {MOST_RATIO} times its size")
                into.write(chunk)
    except EOFError:
        raise truncated(path, "the archive ends early") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise unreadable(path, type(error).__name__) from None
    into.flush()


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Name the compressed file in errors."""
    try:
        yield
    except ReadError as error:
        error.file = path.name
        raise


@dataclass(frozen=True)
class _Unpacked:
    """Samples of the unpacked file, which lives as long as this object."""

    signal: Signal
    file: IO[bytes]
    path: Path

    @property
    def shape(self) -> tuple[int, int]:
        return self.signal.shape

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        with _errors_of(self.path):
            return self.signal.read(picks, start, stop)
