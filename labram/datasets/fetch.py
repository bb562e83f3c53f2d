"""Download datasets from open archives: by the archive's own list of checksums, and on from where it stopped.

The list is fetched first; a file that does not have its checksum is refused. What is there already is checked, not
fetched. Nothing here knows of any one dataset: adapters say what is where (`labram.datasets`).
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from labram.errors import CorpusError, PlatformError
from labram.events import Monitor

_CHUNK = 1 << 16
_TIMEOUT_SECONDS = 60
_PARTIAL = 206
_BEYOND_THE_END = 416


@dataclass(frozen=True)
class Entry:
    """A file of an archive.

    Attributes:
        path: Where it belongs below the dataset's folder.
        url: Where it is.
        checksum: Algorithm and hexadecimal digest, as in ``sha256:9f86…``.
    """

    path: str
    url: str
    checksum: str


@dataclass(frozen=True, kw_only=True)
class Download(ABC):
    """An archive's copy of a dataset.

    Attributes:
        subject: Regular expression that finds a file's subject in its path, the number in group 1. A file in whose
            path it finds none belongs to all.
        wanted: Regular expression that the paths of the files to fetch match somewhere; empty: all.
    """

    subject: str = ""
    wanted: str = ""

    @property
    @abstractmethod
    def index(self) -> str:
        """Where the archive has its list."""

    @abstractmethod
    def entries(self, text: str) -> Iterator[Entry]:
        """Files that the archive's list names."""


@dataclass(frozen=True)
class PhysioNet(Download):
    """A project of PhysioNet, whose list is its SHA256SUMS.txt."""

    project: str
    version: str
    root: str = "https://physionet.org/files"

    @property
    def index(self) -> str:
        """Where the archive has its list."""
        return f"{self.root}/{self.project}/{self.version}/SHA256SUMS.txt"

    def entries(self, text: str) -> Iterator[Entry]:
        """Files that the archive's list names."""
        for line in text.splitlines():
            digest, _, path = line.partition(" ")
            path = path.strip().removeprefix("*")
            yield Entry(path, f"{self.root}/{self.project}/{self.version}/{quote(path)}", f"sha256:{digest}")


@dataclass(frozen=True)
class Zenodo(Download):
    """A record of Zenodo, whose list is its description by the REST API."""

    record: str
    root: str = "https://zenodo.org/api/records"

    @property
    def index(self) -> str:
        """Where the archive has its list."""
        return f"{self.root}/{self.record}"

    def entries(self, text: str) -> Iterator[Entry]:
        """Files that the archive's list names."""
        for file in json.loads(text)["files"]:
            yield Entry(file["key"], file["links"]["self"], file["checksum"])


@dataclass(frozen=True)
class Dataverse(Download):
    """A dataset of a Dataverse repository, whose list is its description by the native API."""

    identifier: str
    root: str = "https://dataverse.tdl.org/api"

    @property
    def index(self) -> str:
        """Where the archive has its list."""
        return f"{self.root}/datasets/:persistentId/?persistentId={quote(self.identifier, safe=':/')}"

    def entries(self, text: str) -> Iterator[Entry]:
        """Files that the archive's list names."""
        for file in json.loads(text)["data"]["latestVersion"]["files"]:
            data, checksum = file["dataFile"], file["dataFile"]["checksum"]
            algorithm = checksum["type"].lower().replace("-", "")
            path = PurePosixPath(file.get("directoryLabel", ""), data["filename"]).as_posix()
            yield Entry(path, f"{self.root}/access/datafile/{data['id']}", f"{algorithm}:{checksum['value']}")


@dataclass(frozen=True)
class Fetched:
    """What a download did.

    Attributes:
        files: Files that are there now, as the archive has them.
        new: Those of them that were not there before.
    """

    files: int
    new: int


def fetch(download: Download, out: Path, *, subjects: Collection[int] = (), monitor: Monitor) -> Fetched:
    """Bring the files of some subjects below a folder, in the archive's own layout; unpack those that are ZIP.

    An interrupted download leaves `*.part` files and goes on from them.

    Args:
        download: The archive's copy.
        out: The dataset's folder.
        subjects: Numbers of the subjects; empty: all. Files of no subject always come.
        monitor: Is told of each file.

    Raises:
        CorpusError: If a file has not its checksum, the list is not one, or none of it is of these subjects.
        PlatformError: If the archive does not answer or the folder cannot be written.
    """
    resuming = _Resuming()
    with _explained(download.index):
        entries = _chosen(_listed(download), download, subjects)
        for done, entry in enumerate(entries, start=1):
            _fetch_one(entry, out / entry.path, resuming)
            monitor.progress(done, len(entries), new=resuming.files)
    return Fetched(len(entries), resuming.files)


def _fetch_one(entry: Entry, place: Path, resuming: "_Resuming") -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    unpack = pooch.Unzip() if place.suffix == ".zip" else None
    try:
        pooch.retrieve(
            entry.url, entry.checksum, fname=place.name, path=place.parent, downloader=resuming, processor=unpack
        )
    except ValueError:  # what pooch says of a file that has not its checksum; it has thrown the file away
        raise CorpusError(
            "what the archive sent is not what its checksum says",
            file=entry.path,
            remedy="Run the command again; if it stays so, tell the archive",
        ) from None


class _Resuming:
    """A downloader for pooch that goes on where the last one stopped.

    Attributes:
        files: How many files it has brought to their end.
    """

    def __init__(self) -> None:
        self.files = 0

    def __call__(self, url: str, out: str, _: object) -> None:
        """Bring a file; requests raises if the connection ends before the promised length."""
        import requests

        # pooch gives another temporary name each time, so what is there already is known by its URL.
        part = Path(out).parent / f".{sha256(url.encode()).hexdigest()[:16]}.part"
        held = part.stat().st_size if part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as answer:
            if answer.status_code != _BEYOND_THE_END:
                answer.raise_for_status()
                with part.open("ab" if answer.status_code == _PARTIAL else "wb") as file:
                    for chunk in answer.iter_content(_CHUNK):
                        file.write(chunk)
        part.replace(out)
        self.files += 1


def _listed(download: Download) -> Sequence[Entry]:
    import requests

    answer = requests.get(download.index, timeout=_TIMEOUT_SECONDS)
    answer.raise_for_status()
    answer.encoding = "utf-8"
    try:
        entries = list(download.entries(answer.text))
    except (ValueError, LookupError, TypeError, AttributeError):
        entries = []
    if not entries or not all(_sound(entry) for entry in entries):
        raise CorpusError(
            "the archive's list of files is not one that can be trusted",
            file=download.index,
            remedy="Try again later; if it stays so, the archive has changed: get the files by hand",
        )
    return entries


def _sound(entry: Entry) -> bool:
    """Whether it has a checksum that is one, and stays below the dataset's folder."""
    path = PurePosixPath(entry.path)
    return (
        re.fullmatch(r"(md5|sha1|sha256|sha512):[0-9a-fA-F]{32,128}", entry.checksum) is not None
        and bool(path.name)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in entry.path
    )


def _chosen(entries: Sequence[Entry], download: Download, subjects: Collection[int]) -> list[Entry]:
    wanted = [entry for entry in entries if re.search(download.wanted, entry.path)]
    if not subjects:
        return wanted
    numbers = {entry: _subject(entry, download) for entry in wanted}
    missing = sorted(set(subjects) - {number for number in numbers.values() if number is not None})
    if missing:
        raise CorpusError(
            f"the dataset has no subject {', '.join(map(str, missing))}",
            field="--subjects",
            remedy="Give numbers of its own subjects, as in 1,2,5-7",
        )
    return [entry for entry, number in numbers.items() if number is None or number in subjects]


def _subject(entry: Entry, download: Download) -> int | None:
    match = re.search(download.subject, entry.path) if download.subject else None
    return int(match[1]) if match else None


@contextmanager
def _explained(index: str) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise PlatformError(
            f"the archive does not answer as it should ({type(error).__name__})",
            file=index,
            remedy="Run the command again: it goes on where it stopped",
        ) from error
    except OSError as error:
        raise PlatformError(
            f"the files cannot be written ({error.strerror})", remedy="Make room, or give another folder with --out"
        ) from error
