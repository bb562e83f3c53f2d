"""Downloads, from a server on this machine that can do what servers on the net do to people."""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from labram.cli import app
from labram.datasets import ADAPTERS
from labram.datasets.eegmat import Eegmat
from labram.datasets.fetch import Dataverse, Download, Fetched, PhysioNet, Zenodo, _unzip, fetch
from labram.errors import CorpusError, PlatformError
from labram.events import NullMonitor

FIRST, SECOND = b"first" * 40_000, b"second" * 30_000


class Archive:
    """What the server has and has been asked.

    Attributes:
        files: By path of the URL.
        ends_after: Bytes of a file's body after which the connection ends, once.
        ranges: Whether the server can begin in the middle of a file.
        asked: Path and range of each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ends_after: dict[str, int] = {}
        self.ranges = True
        self.asked: list[tuple[str, str]] = []
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                archive.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        place, wanted = request.path, request.headers.get("Range", "")
        self.asked.append((place, wanted))
        body = self.files.get(place)
        if body is None:
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start and start >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start : start + self.ends_after.pop(place, len(body))])

    def physionet(self, files: dict[str, bytes], *, wrong: str = "") -> PhysioNet:
        lines = []
        for path, content in files.items():
            self.files[f"/eegmat/1.0.0/{path}"] = content
            digest = hashlib.sha256(b"other" if path == wrong else content).hexdigest()
            lines.append(f"{digest} {path}\n")
        self.files["/eegmat/1.0.0/SHA256SUMS.txt"] = "".join(lines).encode()
        return PhysioNet("eegmat", "1.0.0", root=self.root, subject=r"Subject(\d+)_")

    def data_requests(self) -> list[tuple[str, str]]:
        return [(place, wanted) for place, wanted in self.asked if not place.endswith("SHA256SUMS.txt")]


@pytest.fixture
def archive() -> Iterator[Archive]:
    found = Archive()
    yield found
    found.server.shutdown()
    found.server.server_close()


FILES = {"Subject01_1.edf": FIRST, "Subject02_1.edf": SECOND, "Subject10_1.edf": b"tenth", "README.txt": b"read me"}


def bring(download: Download, out: Path, **more: Any) -> Fetched:
    return fetch(download, out, monitor=NullMonitor(), **more)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_everything_comes_and_the_second_time_nothing(archive: Archive, tmp_path: Path) -> None:
    download = archive.physionet(FILES)
    assert bring(download, tmp_path) == Fetched(4, 4)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == FILES
    archive.asked.clear()
    assert bring(download, tmp_path) == Fetched(4, 0)
    assert archive.data_requests() == []


def test_only_the_subjects_that_are_asked_for_and_what_belongs_to_all(archive: Archive, tmp_path: Path) -> None:
    assert bring(archive.physionet(FILES), tmp_path, subjects={1, 10}) == Fetched(3, 3)
    assert names(tmp_path) == ["README.txt", "Subject01_1.edf", "Subject10_1.edf"]


def test_a_subject_that_the_dataset_has_not_is_named(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"--subjects: .*no subject 3, 77"):
        bring(archive.physionet(FILES), tmp_path, subjects={1, 3, 77})
    assert names(tmp_path) == []


def test_an_interrupted_download_resumes(archive: Archive, tmp_path: Path) -> None:
    download = archive.physionet(FILES)
    archive.ends_after["/eegmat/1.0.0/Subject02_1.edf"] = 100_000
    with pytest.raises(PlatformError, match="resumes where it stopped"):
        bring(download, tmp_path)
    assert not (tmp_path / "Subject02_1.edf").exists()
    (part,) = tmp_path.glob(".*.part")
    held = part.stat().st_size
    assert 0 < held <= 100_000
    archive.asked.clear()
    assert bring(download, tmp_path) == Fetched(4, 3)
    assert archive.data_requests()[0] == ("/eegmat/1.0.0/Subject02_1.edf", f"bytes={held}-")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == FILES


def test_a_server_that_cannot_begin_in_the_middle_begins_again(archive: Archive, tmp_path: Path) -> None:
    download = archive.physionet(FILES)
    archive.ends_after["/eegmat/1.0.0/Subject01_1.edf"] = 100_000
    with pytest.raises(PlatformError):
        bring(download, tmp_path)
    archive.ranges = False
    assert bring(download, tmp_path) == Fetched(4, 4)
    assert (tmp_path / "Subject01_1.edf").read_bytes() == FIRST


def test_a_part_that_is_the_whole_file_is_enough(archive: Archive, tmp_path: Path) -> None:
    download = archive.physionet({"Subject01_1.edf": FIRST})
    url = f"{archive.root}/eegmat/1.0.0/Subject01_1.edf"
    (tmp_path / f".{hashlib.sha256(url.encode()).hexdigest()[:16]}.part").write_bytes(FIRST)
    assert bring(download, tmp_path) == Fetched(1, 1)
    assert names(tmp_path) == ["Subject01_1.edf"]


def test_a_wrong_checksum_is_rejected_and_leaves_nothing(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"Subject02_1\.edf: .*checksum mismatch"):
        bring(archive.physionet(FILES, wrong="Subject02_1.edf"), tmp_path)
    assert names(tmp_path) == ["Subject01_1.edf"]


def test_a_file_that_has_changed_here_is_fetched_again(archive: Archive, tmp_path: Path) -> None:
    download = archive.physionet(FILES)
    bring(download, tmp_path)
    (tmp_path / "Subject01_1.edf").write_bytes(FIRST[:-1])
    assert bring(download, tmp_path) == Fetched(4, 1)
    assert (tmp_path / "Subject01_1.edf").read_bytes() == FIRST


@pytest.mark.parametrize("path", ["../outside.edf", "/etc/outside.edf", "a/../../outside.edf", "a\\..\\b.edf", ""])
def test_a_list_that_names_places_outside_is_not_trusted(archive: Archive, tmp_path: Path, path: str) -> None:
    with pytest.raises(CorpusError, match="file list is invalid"):
        bring(archive.physionet({"Subject01_1.edf": FIRST, path: b"x"}), tmp_path / "inner")
    assert names(tmp_path) == []


@pytest.mark.parametrize("text", ["", "<html>not a list</html>\n", "0123 Subject01_1.edf\n"])
def test_a_list_without_checksums_is_not_trusted(archive: Archive, tmp_path: Path, text: str) -> None:
    download = archive.physionet(FILES)
    archive.files["/eegmat/1.0.0/SHA256SUMS.txt"] = text.encode()
    with pytest.raises(CorpusError, match="file list is invalid"):
        bring(download, tmp_path)


def test_an_archive_that_is_unreachable_is_named(archive: Archive, tmp_path: Path) -> None:
    download = archive.physionet(FILES)
    archive.files.clear()
    with pytest.raises(PlatformError, match=r"SHA256SUMS\.txt: the archive is unreachable"):
        bring(download, tmp_path)


def test_zenodo_names_its_files_and_zip_archives_are_unpacked(archive: Archive, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("subject_01_session_01.mat", FIRST)
    content = packed.getvalue()
    entries = [
        {
            "key": name,
            "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
            "links": {"self": f"{archive.root}/{name}"},
        }
        for name in ("subject_01_mat.zip", "subject_01_csv.zip")
    ]
    archive.files["/records/3266930"] = json.dumps({"files": entries}).encode()
    archive.files["/subject_01_mat.zip"] = content
    declared = ADAPTERS["bi2015a"].download
    assert isinstance(declared, Zenodo)
    download = Zenodo("3266930", root=f"{archive.root}/records", subject=declared.subject, wanted=declared.wanted)
    assert bring(download, tmp_path, subjects={1}) == Fetched(1, 1)
    ((place),) = tmp_path.rglob("*.mat")
    assert place.read_bytes() == FIRST
    assert [source.subject for source in ADAPTERS["bi2015a"].recordings(tmp_path)] == ["01"]


def test_dataverse_names_its_files_by_number(archive: Archive, tmp_path: Path) -> None:
    file = {
        "directoryLabel": "bdf",
        "dataFile": {
            "id": 42,
            "filename": "Rest_S01.bdf",
            "checksum": {"type": "SHA-1", "value": hashlib.sha1(FIRST).hexdigest()},
        },
    }
    notes = {"dataFile": {**file["dataFile"], "id": 43, "filename": "notes.txt"}}  # type: ignore[dict-item]
    listed = {"data": {"latestVersion": {"files": [file, notes]}}}
    archive.files["/datasets/:persistentId/?persistentId=doi:10.18738/T8/ANS9Q1"] = json.dumps(listed).encode()
    archive.files["/access/datafile/42"] = FIRST
    declared = ADAPTERS["trujillo_2017"].download
    assert isinstance(declared, Dataverse)
    download = Dataverse(declared.identifier, root=archive.root, subject=declared.subject, wanted=declared.wanted)
    assert bring(download, tmp_path / "trujillo_2017") == Fetched(1, 1)
    assert names(tmp_path) == ["trujillo_2017/bdf/Rest_S01.bdf"]
    assert ADAPTERS["trujillo_2017"].recognises(tmp_path / "trujillo_2017")


class TestCommand:
    def test_fetch_brings_what_ingest_will_find(
        self, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Eegmat, "download", archive.physionet(FILES))
        done = CliRunner().invoke(app, ["corpus", "fetch", "eegmat", "--subjects", "1-2", "--out", str(tmp_path)])
        assert done.exit_code == 0, done.output
        assert "3 downloaded" in done.output
        assert "ODC-By" in done.output
        assert names(tmp_path) == ["eegmat/README.txt", "eegmat/Subject01_1.edf", "eegmat/Subject02_1.edf"]

    def test_what_is_not_open_prints_how_to_apply(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(app, ["corpus", "fetch", "tuab", "--out", str(tmp_path)])
        assert done.exit_code == 2
        assert "apply at https://isip.piconepress.com" in done.output
        assert names(tmp_path) == []

    def test_subjects_that_are_no_numbers_are_rejected(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(app, ["corpus", "fetch", "eegmat", "--subjects", "1,x", "--out", str(tmp_path)])
        assert done.exit_code == 2
        assert "expected a number or a range" in done.output

    @pytest.mark.parametrize("given", ["5-1", ",", " ", "1-99999999999"])
    def test_no_subject_is_not_all_of_them(self, tmp_path: Path, given: str) -> None:
        done = CliRunner().invoke(app, ["corpus", "fetch", "eegmat", "--subjects", given, "--out", str(tmp_path)])
        assert done.exit_code == 2
        assert names(tmp_path) == []

    def test_an_unknown_dataset_is_answered_with_the_known_ones(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(app, ["corpus", "fetch", "eegmatt", "--out", str(tmp_path)])
        assert isinstance(done.exception, CorpusError)
        assert "eegmmidb" in str(done.exception)

    def test_all_datasets_are_listed_for_people_and_programs(self) -> None:
        table = CliRunner().invoke(app, ["datasets", "list"], env={"COLUMNS": "200"})
        listed = json.loads(CliRunner().invoke(app, ["datasets", "list", "--json"]).output)
        assert [row["name"] for row in listed] == list(ADAPTERS)
        assert all(row["name"] in table.output for row in listed)
        assert {row["name"] for row in listed if row["fetch"]} >= {
            "eegmat",
            "eegmmidb",
            "siena",
            "chb_mit",
            "sleep_edf",
        }


@pytest.mark.parametrize("bomb", [True, False])
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_deleted(tmp_path: Path, *, bomb: bool) -> None:
    path = tmp_path / "a.zip"
    if bomb:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("a.mat", bytes(1 << 27))
    else:
        path.write_bytes(b"no archive")
    with pytest.raises(CorpusError, match="50 times" if bomb else "no ZIP archive"):
        _unzip(str(path), "download", None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("place", "value"), [(8, 99), (6, 1), (-1, 0)], ids=["method", "encrypted", "checksum"])
def test_an_archive_with_a_file_that_cannot_be_unpacked_is_deleted(tmp_path: Path, place: int, value: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.mat", b"content")
    content = bytearray(path.read_bytes())
    if place < 0:
        content[content.index(b"content")] ^= 1
    else:
        for start in (0, content.index(b"PK\x01\x02") + 2):
            content[start + place] = value
    path.write_bytes(content)
    with pytest.raises(CorpusError, match="damaged, encrypted or of an unknown compression"):
        _unzip(str(path), "download", None)
    assert not list(tmp_path.iterdir())
