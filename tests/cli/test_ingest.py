"""`labram corpus ingest` and `status`, as a user types them."""

import json
from pathlib import Path

import edfio
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from labram.cli import app
from labram.errors import CorpusError

CHANNELS = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")


def labram(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(2):
        steps = rng.normal(0, 5, (len(CHANNELS), 3000)).cumsum(axis=1)
        signals = [
            edfio.EdfSignal(signal - signal.mean(), 100, label=name, physical_dimension="uV")
            for name, signal in zip(CHANNELS, steps, strict=True)
        ]
        edfio.Edf(signals).write(folder / f"{number}.edf")
    (folder / "broken.edf").write_bytes(b"")
    return folder


def test_a_folder_is_ingested_and_counted(data: Path, tmp_path: Path) -> None:
    arguments = ("corpus", "ingest", data, "--store", tmp_path / "store", "--workers", 1, "--json")
    done = labram(*arguments)
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["recordings"] == 3
    assert facts["accepted"] + len(facts["quarantined"]) == 3
    assert {"file": "broken.edf", "reason": "damaged", "reasons": ["damaged"]} in facts["quarantined"]
    assert facts["reused"] == 0
    assert facts["lost_channels"] == []

    again = json.loads(labram(*arguments).stdout.splitlines()[-1])
    assert again["reused"] == 3
    assert again["quarantined"] == facts["quarantined"]

    shown = labram("corpus", "status", "--store", tmp_path / "store").stdout
    for word in ("dataset", "montage", "verdict", "reason", "FP1 FP2 C3 … O2", "damaged", "quarantined"):
        assert word in shown
    counts = json.loads(labram("corpus", "status", "--store", tmp_path / "store", "--json").stdout)
    (corpus,) = counts.values()
    assert corpus["recordings"] == 3


def test_patches_of_quarantined_recordings_stay_until_gc(data: Path, tmp_path: Path) -> None:
    steps = np.random.default_rng(9).normal(0, 5, (len(CHANNELS), 3000)).cumsum(axis=1) * 1000
    signals = [
        edfio.EdfSignal(signal - signal.mean(), 100, label=name, physical_dimension="uV")
        for name, signal in zip(CHANNELS, steps, strict=True)
    ]
    edfio.Edf(signals).write(data / "loud.edf")
    store = tmp_path / "store"
    arguments = ("corpus", "ingest", data, "--store", store, "--workers", 1, "--json")
    facts = json.loads(labram(*arguments).stdout.splitlines()[-1])
    assert (facts["accepted"], len(list(store.glob("*/*.arrow")))) == (2, 3)
    deleted = json.loads(labram("store", "gc", "--store", store, "--json").stdout)["deleted"]
    assert sorted(name.rpartition(".")[2] for name in deleted) == ["arrow", "npy"]
    assert len(list(store.glob("*/*.arrow"))) == 2
    assert labram("store", "gc", "--store", store).stdout == "0 files deleted\n"
    again = json.loads(labram(*arguments).stdout.splitlines()[-1])
    assert (again["accepted"], again["quarantined"]) == (2, facts["quarantined"])
    assert (again["reused"], len(list(store.glob("*/*.arrow")))) == (3, 3)


def test_a_catalogue_of_usable_recordings_is_not_replaced_by_one_without(data: Path, tmp_path: Path) -> None:
    arguments = ("corpus", "ingest", data, "--store", tmp_path / "store", "--workers", 1, "--json")
    assert labram(*arguments).exit_code == 0
    before = labram("corpus", "status", "--store", tmp_path / "store", "--json").stdout
    for path in data.iterdir():
        path.write_bytes(b"")
    failed = labram(*arguments)
    assert isinstance(failed.exception, CorpusError)
    assert "the store still has the catalogue of the last ingest" in failed.exception.remedy
    assert labram("corpus", "status", "--store", tmp_path / "store", "--json").stdout == before


def test_a_folder_without_usable_recordings_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.edf").write_bytes(b"")
    done = labram("corpus", "ingest", tmp_path / "data", "--store", tmp_path / "store", "--workers", 1)
    assert "a.edf: damaged" in done.stdout
    with pytest.raises(CorpusError, match="all 1 recordings are quarantined"):
        raise done.exception or AssertionError
    shown = labram("corpus", "status", "--store", tmp_path / "store")
    assert shown.exit_code == 0
    assert "damaged" in shown.stdout


def test_a_store_without_a_corpus_says_what_to_do(tmp_path: Path) -> None:
    done = labram("corpus", "status", "--store", tmp_path)
    with pytest.raises(CorpusError, match="labram corpus ingest"):
        raise done.exception or AssertionError


def test_labels_of_lost_channels_are_printed_without_control_characters(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 5, (len(CHANNELS) + 1, 3000)).cumsum(axis=1)
    edf = edfio.Edf(
        [
            edfio.EdfSignal(signal - signal.mean(), 100, label=name, physical_dimension="uV")
            for name, signal in zip((*CHANNELS, "Fpx[red]"), steps, strict=True)
        ]
    )
    edf.write(tmp_path / "a.edf")
    content = (tmp_path / "a.edf").read_bytes()
    (tmp_path / "a.edf").unlink()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.edf").write_bytes(content.replace(b"Fpx[red]", b"F\x1bx[red]"))
    done = labram("corpus", "ingest", tmp_path / "data", "--store", tmp_path / "store", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert "1 recordings lost 1 channels each, such as a.edf: 'F\\x1bx[red]'" in done.output
