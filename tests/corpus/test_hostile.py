"""Damaged, odd and hostile files: what becomes of each, stated one by one. A run over all of them never fails."""

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import edfio
import mne
import numpy as np
import pybv
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult, ingest
from labram.corpus.quality import check_quality
from labram.corpus.scan import hash_content, recording_id, scan
from labram.errors import ReadError
from labram.events import NullMonitor
from labram.recipe import PreprocessingRecipe, QualityRecipe
from labram.signals.readers import is_recording, read
from labram.store.store import Store

WriteEdf = Callable[..., Path]
TakeIn = Callable[..., tuple[IngestResult, Corpus]]
Damage = Callable[[bytes], bytes]

SECONDS, RATE, LABELS = 40, 100, ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
KEY = b"a key for tests"
WIDTHS = {
    "label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8, "digital_min": 8, "digital_max": 8,
    "prefilter": 80, "samples": 8,
}  # fmt: skip


def at(place: int, text: bytes) -> Damage:
    return lambda edf: edf[:place] + text + edf[place + len(text) :]


def header(name: str, value: str) -> Damage:
    place, width = {"size": (184, 8), "records": (236, 8), "duration": (244, 8), "signals": (252, 4)}[name]
    return at(place, value.ljust(width).encode())


def signal(name: str, *values: str) -> Damage:
    """Set a field of the first signals."""
    names = list(WIDTHS)
    place = 256 + len(LABELS) * sum(WIDTHS[before] for before in names[: names.index(name)])
    return at(place, b"".join(value.encode("latin1").ljust(WIDTHS[name]) for value in values))


def both(*damages: Damage) -> Damage:
    def apply(edf: bytes) -> bytes:
        for damage in damages:
            edf = damage(edf)
        return edf

    return apply


def records(edf: bytes, count: float) -> bytes:
    size = int(edf[184:192])
    return edf[: size + round((len(edf) - size) * count / SECONDS)]


def ten_thousand_signals(edf: bytes) -> bytes:
    """9999, the most that the field holds: six are electrodes, the others have one sample a second."""
    more, n = 9999 - len(LABELS), len(LABELS)
    fields, place = [], 256
    for name, width in {**WIDTHS, "reserved": 32}.items():
        own = edf[place : place + n * width]
        filling = {"samples": b"1", "label": b"X"}.get(name, own[-width:]).ljust(width)
        fields.append(own + filling * more)
        place += n * width
    data = np.frombuffer(edf[place:], np.uint8).reshape(SECONDS, -1)
    padded = np.pad(data, ((0, 0), (0, 2 * more))).tobytes()
    return header("size", str(256 * 10_000))(header("signals", "9999")(edf[:256])) + b"".join(fields) + padded


EDF: dict[str, tuple[Damage, str]] = {
    "sound": (lambda edf: edf, "accepted"),
    "cut within the fixed header": (lambda edf: edf[:100], "unreadable"),
    "cut within the signals' header": (lambda edf: edf[:700], "unreadable"),
    "cut behind the header": (lambda edf: records(edf, 0), "truncated"),
    "cut within record 20 of 40": (lambda edf: records(edf, 20.5), "truncated"),
    "cut within the last record": (lambda edf: records(edf, 39.5), "accepted truncated_tail"),
    "cut within the last sample": (lambda edf: edf[:-1], "accepted truncated_tail"),
    "one byte too many": (lambda edf: edf + b"\0", "accepted"),
    "record count -1": (header("records", "-1"), "accepted record_count_unknown"),
    "record count 0": (header("records", "0"), "unreadable"),
    "record count too small": (header("records", "20"), "accepted record_count_wrong"),
    "record count too large": (header("records", "99999999"), "truncated"),
    "record count no number": (header("records", "forty"), "unreadable"),
    "record duration 0": (header("duration", "0"), "unreadable"),
    "record duration negative": (header("duration", "-1"), "unreadable"),
    "record duration nan": (header("duration", "nan"), "unreadable"),
    "record duration infinite": (header("duration", "1e999"), "unreadable"),
    "record duration a blink": (header("duration", "1e-9"), "not_eeg"),
    "record duration a year": (header("duration", "31536000"), "not_eeg"),
    "header length wrong": (header("size", "2048"), "unreadable"),
    "header length negative": (header("size", "-256"), "unreadable"),
    "0 signals": (both(header("signals", "0"), header("size", "256")), "unreadable"),
    "10000 signals": (ten_thousand_signals, "accepted channels_of_other_rates"),
    "10000 signals that are not there": (header("signals", "9999"), "unreadable"),
    "signal without samples": (signal("samples", "0"), "unreadable"),
    "signal with negative samples": (signal("samples", "-100"), "unreadable"),
    "signal with more samples than there are": (signal("samples", "99999999"), "truncated"),
    "physical_min = physical_max, once": (
        both(signal("physical_min", "5"), signal("physical_max", "5")),
        "accepted channels_without_scale",
    ),
    "physical_min = physical_max, everywhere": (
        both(signal("physical_min", *"555555"), signal("physical_max", *"555555")),
        "damaged",
    ),
    "digital_min = digital_max, once": (
        both(signal("digital_min", "5"), signal("digital_max", "5")),
        "accepted channels_without_scale",
    ),
    "digital_min > digital_max, everywhere": (
        both(signal("digital_min", *"666666"), signal("digital_max", *"555555")),
        "damaged",
    ),
    "physical extremes no numbers": (signal("physical_min", "low", "nan", "-inf"), "accepted channels_without_scale"),
    "physical range of a lightning": (signal("physical_max", "1e300"), "accepted channels_without_scale"),
    "unit blank": (signal("unit", ""), "accepted unit_not_stated"),
    "unit in UTF-8, twice, and in Shift-JIS": (signal("unit", "Î¼V", "ÂµV", "\x83Êv"), "accepted"),
    "label in Latin-1": (signal("label", "Fühler 1"), "accepted lost_channels=1"),
    "label of control characters": (signal("label", "\0\1\xff\x1b[2J"), "accepted"),
    "labels repeated": (signal("label", "Fp1", "Fp1", "Fp1"), "accepted repeated_electrodes=2"),
    "labels all unknown": (signal("label", *"ABCDEF"), "no_canonical_channels"),
    "empty": (lambda edf: b"", "damaged"),
    "copied in text mode": (lambda edf: edf[:1792] + edf[1792:].replace(b"\n", b"\r\n"), "damaged"),
}  # fmt: skip
"""By the name of the file: what is done to a sound one; what it becomes, a reason code or `accepted` with notes."""


def edf_files(folder: Path, write_edf: WriteEdf) -> dict[str, str]:
    for seed, (name, (damage, _)) in enumerate(EDF.items()):
        path = write_edf(folder / f"{name}.edf", seed=seed, seconds=SECONDS, rate=RATE, channels=LABELS)
        path.write_bytes(damage(path.read_bytes()))
    return {f"{name}.edf": outcome for name, (_, outcome) in EDF.items()}


def edf_plus_files(folder: Path) -> dict[str, str]:
    """Interrupted recordings: 30 seconds pass between the 20th and the 21st of 40 records."""
    rng = np.random.default_rng(99)
    for name in ("gap.edf", "gap without times.edf", "annotations in Latin-1.edf"):
        noise = np.cumsum(rng.standard_normal((len(LABELS), SECONDS * RATE)), axis=1)
        signals = [
            edfio.EdfSignal(row - row.mean(), RATE, label=label, physical_dimension="uV")
            for row, label in zip(noise, LABELS, strict=True)
        ]
        marks = [edfio.EdfAnnotation(1.0, None, "Oeffnen")]
        edfio.Edf(signals, annotations=marks, data_record_duration=1).write(folder / name)
        edf = (folder / name).read_bytes()
        if name.startswith("gap"):
            edf = edf.replace(b"EDF+C", b"EDF+D", 1)
            for record in range(39, 19, -1):
                edf = edf.replace(b"+%d\x14\x14" % record, b"+%d\x14\x14" % (record + 30))
        edf = edf.replace(b"+55\x14\x14", b"     ") if "without" in name else edf
        (folder / name).write_bytes(edf.replace(b"Oeffnen", b"\xd6ffnen ") if "Latin" in name else edf)
    return {
        "gap.edf": "gaps",
        "gap without times.edf": "damaged",
        "annotations in Latin-1.edf": "accepted annotations_latin1",
    }


def files_that_are_no_files(folder: Path) -> dict[str, str]:
    with zipfile.ZipFile(folder / "zip bomb.edf", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("recording.edf", bytes(1 << 26))
    (folder / "itself.edf").symlink_to(folder / "itself.edf")
    (folder / "nowhere.edf").symlink_to(folder / "absent")
    (folder / "endless.edf").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.edf")
    (folder / "loop").mkdir()
    (folder / "loop" / "again").symlink_to(folder)
    (folder / "folder.edf").mkdir()
    if Path("/proc/self/mem").exists():
        (folder / "input error.edf").symlink_to("/proc/self/mem")
    (folder / os.fsdecode(b"no \xff text.edf")).write_bytes(b"0       ")
    names = ("no \udcff text", "zip bomb", "itself", "nowhere", "endless", "pipe", "input error")
    found = {f"{name}.edf": "unreadable" for name in names if os.path.lexists(folder / f"{name}.edf")}
    return found | ({"input error.edf": "outside_folder"} if "input error.edf" in found else {})


def other_formats(folder: Path) -> dict[str, str]:
    rng = np.random.default_rng(98)

    def volts() -> np.ndarray:
        return np.cumsum(rng.standard_normal((len(LABELS), SECONDS * RATE)), axis=1) * 1e-6

    for name in ("vhdr alone", "cut within a frame", "markers missing"):
        pybv.write_brainvision(
            data=volts(), sfreq=RATE, ch_names=list(LABELS), fname_base=name, folder_out=folder,
            events=np.array([[RATE, 4]]),
        )  # fmt: skip
    (folder / "vhdr alone.eeg").unlink()
    (folder / "markers missing.vmrk").unlink()
    frames = (folder / "cut within a frame.eeg").read_bytes()
    (folder / "cut within a frame.eeg").write_bytes(frames[:-3])
    raw = mne.io.RawArray(volts(), mne.create_info(list(LABELS), RATE, "eeg"), verbose="ERROR")
    raw.save(folder / "whole_raw.fif", verbose="ERROR")
    whole = (folder / "whole_raw.fif").read_bytes()
    (folder / "half_raw.fif").write_bytes(whole[: len(whole) // 2])
    (folder / "header only_raw.fif").write_bytes(whole[:2000])
    (folder / "no MAT file.set").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(500))
    lines = [b"# co2a0000364.rd", b"# 120 trials", b"# 3.906000 msecs uV", b"# S1 obj , trial 0"]
    trial = gzip.compress(b"\n".join([*lines, *(b"0 FP1 %d 0.5" % i for i in range(256))]))
    (folder / "co2a.rd.000.gz").write_bytes(trial[:-9])
    (folder / "co2a.rd.001.gz").write_bytes(gzip.compress(b"\n".join([*lines, b"1 FP1 0 " + bytes(1 << 26)])))
    return {
        "vhdr alone.vhdr": "unreadable",
        "markers missing.vhdr": "unreadable",
        "cut within a frame.vhdr": "truncated",
        "whole_raw.fif": "accepted",
        "half_raw.fif": "unreadable",
        "header only_raw.fif": "unreadable",
        "no MAT file.set": "unreadable",
        "co2a.rd.000.gz": "truncated",
        "co2a.rd.001.gz": "unreadable",
    }


def gdf_files(folder: Path, write_gdf: Callable[..., Path]) -> dict[str, str]:
    rng, n = np.random.default_rng(97), len(LABELS)
    damages: dict[str, tuple[Damage, str]] = {
        "whole": (lambda gdf: gdf, "accepted"),
        "cut within a record": (lambda gdf: gdf[: len(gdf) // 2], "truncated"),
        "cut within the events": (lambda gdf: gdf[:-3], "truncated"),
        "cut within the header": (lambda gdf: gdf[:300], "unreadable"),
        "channels without end": (at(252, b"\xff" * 4), "unreadable"),
        "records without number": (at(236, struct.pack("<q", -1)), "unreadable"),
        "records without end": (at(236, struct.pack("<q", 1 << 60)), "truncated"),
        "samples without end": (at(256 + 216 * n, struct.pack("<i", (1 << 31) - 1)), "truncated"),
        "limits that are equal": (at(256 + 104 * n, struct.pack("<d", 3276.7)), "damaged"),
        "duration 0": (at(244, struct.pack("<2I", 0, 0)), "unreadable"),
    }
    for name, (damage, _) in damages.items():
        path = folder / f"{name}.gdf"
        write_gdf(path, np.cumsum(rng.standard_normal((n, SECONDS * RATE)), axis=1), LABELS, RATE)
        path.write_bytes(damage(path.read_bytes()))
    return {f"{name}.gdf": outcome for name, (_, outcome) in damages.items()}


def outcomes(data: Path, judged: Corpus) -> dict[str, str]:
    """By file name: the reason code, or `accepted` with what was noted while reading."""
    items = scan(data)
    names = {recording_id(item, hash_content(item.file.path).digest, KEY): item.file.path.name for item in items}
    assert len(names) == len(items) == len(judged.catalogue)
    return {
        names[row.recording_id]: " ".join([row.verdict, *row.warnings] if row.verdict == "accepted" else row.reasons)
        for row in judged.catalogue.itertuples()
    }


def test_every_hostile_file_becomes_what_is_stated(
    tmp_path: Path,
    write_edf: WriteEdf,
    write_gdf: Callable[..., Path],
    take_in: TakeIn,
    record_property: Callable[[str, object], None],
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    expected = (
        edf_files(data, write_edf)
        | edf_plus_files(data)
        | gdf_files(data, write_gdf)
        | files_that_are_no_files(data)
        | other_formats(data)
    )
    take_in(data)
    summary = check_quality(
        [tmp_path / "shards" / "0-1"], tmp_path / "corpus", QualityRecipe(), "test", store=Store(tmp_path / "store")
    )
    assert summary.recordings == summary.accepted + summary.quarantined == len(expected)
    record_property("inputs", len(expected))
    assert outcomes(data, Corpus.load(tmp_path / "corpus")) == expected


@pytest.mark.parametrize("name", ["zip bomb.edf", "co2a.rd.001.gz"])
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    files_that_are_no_files(tmp_path)
    other_formats(tmp_path)
    assert (tmp_path / name).stat().st_size < 1 << 17
    tracemalloc.start()
    try:
        with pytest.raises(ReadError):
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 1 << 26, "what it unpacks to"
    finally:
        tracemalloc.stop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own are for one user."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_a_file_and_a_folder_that_may_not_be_read_are_rows_too(open_folder: Path, write_edf: WriteEdf) -> None:
    """As another user where this one is root, whom no mode keeps out."""
    for seed, name in enumerate(("open", "closed", "kept/away")):
        write_edf(open_folder / "data" / f"{name}.edf", seed=seed)
    (open_folder / "data" / "closed.edf").chmod(0)
    (open_folder / "data" / "kept").chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            (open_folder / "data" / "closed.edf").read_bytes()
        done = take_in_as_folder(open_folder / "data", open_folder)
    finally:
        if root:
            os.seteuid(0)
        (open_folder / "data" / "kept").chmod(0o700)
    rows = Corpus.load(open_folder / "out").catalogue
    assert done.recordings == 3
    assert sorted((row.verdict, *row.reasons) for row in rows.itertuples()) == [
        ("accepted",),
        ("quarantined", "unreadable"),
        ("quarantined", "unreadable"),
    ]


def take_in_as_folder(data: Path, workspace: Path) -> IngestResult:
    return ingest(
        data,
        ("folder",),
        workspace / "out",
        store=Store(workspace / "store"),
        preprocessing=PreprocessingRecipe(),
        shard=0,
        shards=1,
        subject_key=KEY,
        monitor=NullMonitor(),
        workers=0,
    )


INGEST = """
import json, resource, sys
from pathlib import Path
from labram.corpus.ingest import ingest
from labram.store.store import Store
from labram.errors import LabramError
from labram.events import NullMonitor
from labram.recipe import PreprocessingRecipe
data, disk, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
ballast, (_, most) = disk / "ballast", resource.getrlimit(resource.RLIMIT_FSIZE)

def take_in():
    return ingest(data, ("folder",), disk / "out", store=Store(disk / "store"), shard=0, shards=1,
                  preprocessing=PreprocessingRecipe(), subject_key=b"a key for tests", monitor=NullMonitor(), workers=0)

if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
else:
    ballast.write_bytes(bytes(15 << 18))
try:
    take_in()
    problem = ""
except LabramError as error:
    problem = f"{type(error).__name__}: {error}"
left = sorted(path.name for path in (disk / "store").rglob("*") if path.is_file())
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
ballast.unlink(missing_ok=True)
done = take_in()
print(json.dumps({"problem": problem, "left": left, "then": [done.recordings, done.quarantined]}))
"""
DISK = 'mount -t tmpfs -o size=4m labram-test "$3" && exec "$0" -c "$@"'


def on_a_full_disk(data: Path, disk: Path) -> tuple[str, dict[str, list[object]]]:
    """Ingest with 256 kB left on a file system where one may be mounted, else with at most 64 kB a file."""
    for unshare in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        if shutil.which("unshare") and not subprocess.run([*unshare, "true"], capture_output=True).returncode:
            mounted = [*unshare, "sh", "-c", DISK, sys.executable, INGEST, data, disk, "0"]
            done = subprocess.run(mounted, capture_output=True, text=True)
            if done.returncode == 0:
                return "No space left on device", json.loads(done.stdout.splitlines()[-1])
    done = subprocess.run([sys.executable, "-c", INGEST, data, disk, str(1 << 16)], capture_output=True, text=True)
    return "File too large", json.loads(done.stdout.splitlines()[-1])


def test_a_full_disk_ends_the_run_with_one_sentence_and_leaves_no_halves(tmp_path: Path, write_edf: WriteEdf) -> None:
    for seed in range(4):
        write_edf(tmp_path / "data" / f"{seed}.edf", seed=seed, seconds=60)
    (tmp_path / "disk").mkdir()
    cause, found = on_a_full_disk(tmp_path / "data", tmp_path / "disk")
    assert str(found["problem"]).startswith("StoreError: ")
    assert cause in str(found["problem"])
    assert all(str(name).endswith((".arrow", ".npy", ".json")) and str(name)[0] != "." for name in found["left"])
    assert found["then"] == [4, 0], "with space again, the same command goes on"


@pytest.mark.real
def test_half_a_file_is_refused_or_gives_the_beginning_of_the_whole(real_eeg: Path, tmp_path: Path) -> None:
    """One real file of each format that stands in one file: never a crash, and never zeros in place of what is lost."""
    wholes = {path.suffix: path for path in sorted(real_eeg.rglob("*")) if path.is_file() and is_recording(path)}
    assert {".edf", ".bdf", ".gdf", ".fif", ".set", ".xdf"} <= set(wholes)
    for suffix, path in wholes.items():
        content = path.read_bytes()
        half = tmp_path / f"half_raw{suffix}"
        half.write_bytes(content[: len(content) // 2])
        try:
            whole, part = read(path), read(half)
            found = part.read(range(len(part.channels)))
        except ReadError:
            continue
        assert part.channels == whole.channels
        assert part.samples < whole.samples
        np.testing.assert_allclose(found, whole.read(range(len(whole.channels)), 0, part.samples))
