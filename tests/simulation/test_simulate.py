"""The simulated corpus: the same bytes everywhere, in real formats, and with signals that carry their labels."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from labram.datasets import find
from labram.errors import CorpusError, ReadError, Reason
from labram.signals.electrodes import canonical_names
from labram.signals.readers import read
from labram.simulation import gait, hospital, lab
from labram.simulation.scalp import position
from labram.simulation.simulate import MARKER_FILE, Size, simulate

TINY = Size(patients=2, participants=1, walkers=1, sessions=1, events=6, trials=1, walk_seconds=10)
TINY_SHA256 = "121a18baf22ed106bc9aa49f11e1974ef4bb71c3f1ad63e12439bc3911d7d9ff"


def tree_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "data"
    simulate(folder, size=TINY)
    return folder


@dataclass
class Listener:
    reports: list[tuple[int, int]] = field(default_factory=list)

    def progress(self, done: int, total: int, **figures: float) -> None:
        self.reports.append((done, total))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        raise AssertionError("a simulation has no metrics")


def test_its_bytes_are_the_same_everywhere(tiny: Path):
    assert tree_sha256(tiny) == TINY_SHA256, "other bytes: raise GENERATOR, this constant and data.dvc together"


def test_its_bytes_do_not_depend_on_processor_threads_time_zone_or_locale(tmp_path: Path):
    script = (
        "from pathlib import Path; from labram.simulation.simulate import Size, simulate;"
        f"simulate(Path({str(tmp_path / 'data')!r}), size=Size(2, 1, 1, 1, 6, 1, 10))"
    )
    other = {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    if platform.machine() == "x86_64":
        other["NPY_DISABLE_CPU_FEATURES"] = "X86_V3 X86_V4"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=os.environ | other, check=True)
    assert tree_sha256(tmp_path / "data") == TINY_SHA256


def test_it_is_the_same_twice_and_another_with_another_seed(tiny: Path, tmp_path: Path):
    simulate(tmp_path / "again", size=TINY)
    simulate(tmp_path / "other", size=TINY, seed=1)
    assert tree_sha256(tmp_path / "again") == tree_sha256(tiny) != tree_sha256(tmp_path / "other")


def test_a_recording_does_not_depend_on_how_many_there_are(tiny: Path, tmp_path: Path):
    simulate(tmp_path / "more", size=Size(3, 1, 1, 1, 6, 1, 10))
    for path in tiny.rglob("*.edf"):
        assert path.read_bytes() == (tmp_path / "more" / path.relative_to(tiny)).read_bytes()


def test_nothing_in_it_tells_where_or_by_whom_it_was_written(tiny: Path):
    content = b"".join(path.read_bytes() for path in tiny.rglob("*") if path.is_file()).lower()
    for word in (b"/tmp", b"edfio", b"pybv", b"20-nov", str(Path.home()).lower().encode()):
        assert word not in content


def test_its_datasets_differ_in_format_rate_montage_and_number_of_channels(tiny: Path):
    recordings = [read(min(tiny.glob(pattern))) for pattern in ("*/events/*/*.edf", "*/*/*.vhdr", "*/*/*.bdf")]
    assert [recording.sfreq for recording in recordings] == [256.0, 250.0, 100.0]
    counts = [sum(map(bool, canonical_names(recording.channels))) for recording in recordings]
    assert counts == [len(hospital.MONTAGE), len(lab.MONTAGE), len(gait.MONTAGE)] == [23, 32, 24]
    for recording in recordings:
        assert 5.0 < np.median(recording.read(range(23)).std(axis=1)) < 40.0


def test_its_list_vouches_for_every_file(tiny: Path):
    listed = json.loads((tiny / MARKER_FILE).read_text())["files"]
    for name, digest in listed.items():
        assert hashlib.sha256((tiny / name).read_bytes()).hexdigest() == digest
    assert len(listed) + 1 == sum(path.is_file() for path in tiny.rglob("*"))


def test_three_datasets_are_recognised(tiny: Path):
    assert [dataset.name for dataset, _ in find(tiny, ())] == ["sim_gait", "sim_hospital", "sim_lab"]


def test_one_recording_is_truncated_and_one_flat_on_purpose(tiny: Path):
    (broken,) = tiny.rglob("aaaaaaaa_s003_t000.edf")
    with pytest.raises(ReadError) as caught:
        read(broken)
    assert caught.value.reason is Reason.TRUNCATED
    (flat,) = tiny.rglob("SL01-T02.bdf")
    assert read(flat).read(range(6)).std() < 0.1


def test_an_older_simulated_corpus_is_replaced(tmp_path: Path):
    simulate(tmp_path / "data", size=TINY, seed=1)
    simulate(tmp_path / "data", size=Size(1, 1, 1, 1, 6, 1, 10), seed=2)
    assert json.loads((tmp_path / "data" / MARKER_FILE).read_text())["seed"] == 2
    assert not list((tmp_path / "data").rglob("aaaaaaab*"))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_empty_folder_is_filled(tmp_path: Path):
    (tmp_path / "data").mkdir()
    simulate(tmp_path / "data", size=TINY)
    assert (tmp_path / "data" / MARKER_FILE).is_file()


@pytest.mark.parametrize("name", ["thesis.txt", "sim_lab/sub-99/sub-99_task-film_eeg.eeg"])
def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path, name: str):
    folder = tmp_path / "data"
    simulate(folder, size=TINY)
    mine = folder / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(CorpusError, match="nor a simulated corpus"):
        simulate(folder, size=TINY)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("mark", [None, "", "[]", '{"files": 3}'])
def test_a_folder_without_a_whole_list_is_left_alone(tmp_path: Path, mark: str | None):
    (tmp_path / "thesis.txt").write_text("mine")
    if mark is not None:
        (tmp_path / MARKER_FILE).write_text(mark)
    with pytest.raises(CorpusError):
        simulate(tmp_path, size=TINY)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(CorpusError):
        simulate(tmp_path / "data", size=TINY)


def test_a_simulation_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    simulate(tmp_path / "data", size=TINY)
    before = tree_sha256(tmp_path / "data")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gait, "write_flat", fail)
    with pytest.raises(CorpusError, match=r"cannot be written \(No space left"):
        simulate(tmp_path / "data", size=TINY, seed=5)
    assert tree_sha256(tmp_path / "data") == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_progress_counts_every_subject(tmp_path: Path):
    listener = Listener()
    simulate(tmp_path / "data", size=TINY, monitor=listener)
    total = TINY.patients + TINY.participants + TINY.walkers + 2
    assert listener.reports == [(done, total) for done in range(1, total + 1)]


def test_electrodes_lie_where_their_names_say():
    assert position("CZ") == (0.0, 0.0)
    assert position("FZ") == (0.0, 36.0)
    assert position("T3") == position("T7")
    for left, right in (("C3", "C4"), ("FP1", "FP2"), ("PO9", "PO10"), ("A1", "A2")):
        assert position(left)[0] == -position(right)[0] < 0
        assert position(left)[1] == position(right)[1]
    with pytest.raises(ValueError, match="10-10"):
        position("X1Y")
