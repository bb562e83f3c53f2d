"""Download datasets from open archives, with checksums and resumption.

The archive's list of checksums is downloaded first; a file with another checksum is deleted. Existing files are checked
and not downloaded again. Each adapter states its archive (`Dataset.download`).
"""

import json
import re
import shutil
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import quote
from zipfile import BadZipFile, ZipFile

from labram.errors import CorpusError, PlatformError
from labram.events import Monitor

_CHUNK = 1 << 16
_TIMEOUT_SECONDS = 60
_PARTIAL = 206
_BEYOND_THE_END = 416
_MOST_RATIO, _LEAST_BYTES = 50, 1 << 26
"""An archive of recordings unpacks to less than so many times its size, or to less than the number of bytes."""


@dataclass(frozen=True)
class ArchiveFile:
    """A file of an archive.

    Attributes:
        path: Path below the dataset's folder.
        url: Download URL.
        checksum: Algorithm and hexadecimal digest, as in ``sha256:9f86…``.
    """

    path: str
    url: str
    checksum: str


@dataclass(frozen=True, kw_only=True)
class Download(ABC):
    """A dataset in an archive.

    Attributes:
        subject: Regular expression searched in a file's path; group 1 is the subject number. A file without a match
            belongs to all subjects.
        wanted: Regular expression searched in the paths of the files to download; empty: all.
    """

    subject: str = ""
    wanted: str = ""

    @property
    @abstractmethod
    def index(self) -> str:
        """URL of the archive's file list."""

    @abstractmethod
    def entries(self, text: str) -> Iterator[ArchiveFile]:
        """Yield the files in the archive's file list."""


@dataclass(frozen=True)
class PhysioNet(Download):
    """A PhysioNet project; its file list is SHA256SUMS.txt."""

    project: str
    version: str
    root: str = "https://physionet.org/files"

    @property
    def index(self) -> str:
        """URL of the archive's file list."""
        return f"{self.root}/{self.project}/{self.version}/SHA256SUMS.txt"

    def entries(self, text: str) -> Iterator[ArchiveFile]:
        """Yield the files in the archive's file list."""
        for line in text.splitlines():
            digest, _, path = line.partition(" ")
            path = path.strip().removeprefix("*")
            yield ArchiveFile(path, f"{self.root}/{self.project}/{self.version}/{quote(path)}", f"sha256:{digest}")


@dataclass(frozen=True)
class Zenodo(Download):
    """A Zenodo record; its file list comes from the REST API."""

    record: str
    root: str = "https://zenodo.org/api/records"

    @property
    def index(self) -> str:
        """URL of the archive's file list."""
        return f"{self.root}/{self.record}"

    def entries(self, text: str) -> Iterator[ArchiveFile]:
        """Yield the files in the archive's file list."""
        for file in json.loads(text)["files"]:
            yield ArchiveFile(file["key"], file["links"]["self"], file["checksum"])


@dataclass(frozen=True)
class Dataverse(Download):
    """A Dataverse dataset; its file list comes from the native API."""

    identifier: str
    root: str = "https://dataverse.tdl.org/api"

    @property
    def index(self) -> str:
        """URL of the archive's file list."""
        return f"{self.root}/datasets/:persistentId/?persistentId={quote(self.identifier, safe=':/')}"

    def entries(self, text: str) -> Iterator[ArchiveFile]:
        """Yield the files in the archive's file list."""
        for file in json.loads(text)["data"]["latestVersion"]["files"]:
            data, checksum = file["dataFile"], file["dataFile"]["checksum"]
            algorithm = checksum["type"].lower().replace("-", "")
            path = PurePosixPath(file.get("directoryLabel", ""), data["filename"]).as_posix()
            yield ArchiveFile(path, f"{self.root}/access/datafile/{data['id']}", f"{algorithm}:{checksum['value']}")


@dataclass(frozen=True)
class Fetched:
    """Result of a download.

    Attributes:
        files: Number of files present now.
        new: Number of those that were downloaded by this call.
    """

    files: int
    new: int


def fetch(download: Download, out: Path, *, subjects: Collection[int] = (), monitor: Monitor) -> Fetched:
    """Download the files of the subjects in the archive's layout, and unpack ZIP files.

    An interrupted download leaves `*.part` files and resumes from them.

    Args:
        download: The dataset in its archive.
        out: The dataset's folder.
        subjects: Subject numbers; empty: all. Files that belong to no subject are always downloaded.
        monitor: Receives the progress after each file.

    Raises:
        CorpusError: If a checksum does not match, the file list is invalid, or a subject is not in it.
        PlatformError: If the archive is unreachable or the folder cannot be written.
    """
    resuming = _Resuming()
    with _network_errors(download.index):
        entries = _select(_read_index(download), download, subjects)
        for done, entry in enumerate(entries, start=1):
            _fetch_one(entry, out / entry.path, resuming)
            monitor.progress(done, len(entries), new=resuming.files)
    return Fetched(len(entries), resuming.files)


def _fetch_one(entry: ArchiveFile, path: Path, resuming: "_Resuming") -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    unpack = _unzip if path.suffix == ".zip" else None
    try:
        pooch.retrieve(
            entry.url, entry.checksum, fname=path.name, path=path.parent, downloader=resuming, processor=unpack
        )
    except ValueError:  # pooch raises it for a checksum mismatch, after deleting the file
        raise CorpusError(
            f"checksum mismatch: expected {entry.checksum}, got another",
            file=entry.path,
            remedy="Run the command again; if the error persists, report it to the archive",
        ) from None


def _unzip(archive: str, action: str, _: object) -> list[str]:
    """Unpack an archive unless it states a size out of proportion; no member unpacks to more than it states.

    Raises:
        CorpusError: If it does, or is no archive; it is deleted.
    """
    import pooch

    path = Path(archive)
    try:
        with ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
    except BadZipFile:
        size = None
    if size is None or size > max(_MOST_RATIO * path.stat().st_size, _LEAST_BYTES):
        path.unlink()
        raise CorpusError(
            "no ZIP archive" if size is None else f"unpacks to more than {_MOST_RATIO} times its size; it was deleted",
            file=path.name,
            remedy="Report it to the archive; download the dataset's files by hand",
        )
    try:
        unpacked: list[str] = pooch.Unzip()(archive, action, None)
    except (BadZipFile, RuntimeError, EOFError, zlib.error):
        # a wrong checksum, an encrypted file, an unknown method, or damage
        path.unlink()
        shutil.rmtree(f"{archive}.unzip", ignore_errors=True)  # its parts would pass for the whole
        raise CorpusError(
            "a file in the archive is damaged, encrypted or of an unknown compression; the archive was deleted",
            file=path.name,
            remedy="Run the command again; if the error persists, download the dataset's files by hand",
        ) from None
    return unpacked


class _Resuming:
    """A pooch downloader that resumes interrupted downloads.

    Attributes:
        files: Number of completed downloads.
    """

    def __init__(self) -> None:
        self.files = 0

    def __call__(self, url: str, out: str, _: object) -> None:
        """Download a file; requests raises if the connection ends before the announced length."""
        import requests

        # pooch chooses another temporary name each time, so partial files are named by their URL.
        part = Path(out).parent / f".{sha256(url.encode()).hexdigest()[:16]}.part"
        size = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            if response.status_code != _BEYOND_THE_END:
                response.raise_for_status()
                with part.open("ab" if response.status_code == _PARTIAL else "wb") as file:
                    for chunk in response.iter_content(_CHUNK):
                        file.write(chunk)
        part.replace(out)
        self.files += 1


def _read_index(download: Download) -> Sequence[ArchiveFile]:
    import requests

    response = requests.get(download.index, timeout=_TIMEOUT_SECONDS)
    response.raise_for_status()
    response.encoding = "utf-8"
    try:
        entries = list(download.entries(response.text))
    except (ValueError, LookupError, TypeError, AttributeError):
        entries = []
    if not entries or not all(_is_valid(entry) for entry in entries):
        raise CorpusError(
            "the archive's file list is invalid",
            file=download.index,
            remedy="Try again later; if the error persists, download the files by hand",
        )
    return entries


def _is_valid(entry: ArchiveFile) -> bool:
    """Whether the entry has a checksum and its path stays below the dataset's folder."""
    path = PurePosixPath(entry.path)
    return (
        re.fullmatch(r"(md5|sha1|sha256|sha512):[0-9a-fA-F]{32,128}", entry.checksum) is not None
        and bool(path.name)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in entry.path
    )


def _select(entries: Sequence[ArchiveFile], download: Download, subjects: Collection[int]) -> list[ArchiveFile]:
    wanted = [entry for entry in entries if re.search(download.wanted, entry.path)]
    if not subjects:
        return wanted
    numbers = {entry: _subject(entry, download) for entry in wanted}
    missing = sorted(set(subjects) - {number for number in numbers.values() if number is not None})
    if missing:
        raise CorpusError(
            f"the dataset has no subject {', '.join(map(str, missing))}",
            field="--subjects",
            remedy="Choose subject numbers of the dataset, such as 1,2,5-7",
        )
    return [entry for entry, number in numbers.items() if number is None or number in subjects]


def _subject(entry: ArchiveFile, download: Download) -> int | None:
    match = re.search(download.subject, entry.path) if download.subject else None
    return int(match[1]) if match else None


@contextmanager
def _network_errors(index: str) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise PlatformError(
            f"the archive is unreachable or returned an error ({type(error).__name__})",
            file=index,
            remedy="Run the command again; it resumes where it stopped",
        ) from error
    except OSError as error:
        raise PlatformError(
            f"the files cannot be written ({error.strerror})",
            remedy="Free disk space, or choose another folder with --out",
        ) from error
