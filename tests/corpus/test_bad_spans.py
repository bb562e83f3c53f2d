"""Spans that a recording states to be bad: no window has their seconds, whatever states them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import edfio
import mne
import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.corpus.quality import check_quality
from labram.recipe import QualityRecipe
from labram.store.store import Store

TakeIn = Callable[..., tuple[IngestResult, Corpus]]
RATE, LABELS = 100, ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
NAME = "sub-01/eeg/sub-01_task-rest_eeg"


@pytest.fixture
def signals(write_edf: Callable[..., Path], tmp_path: Path) -> np.ndarray:
    path = write_edf(tmp_path / "noise.edf", seconds=20, channels=LABELS)
    return np.array([signal.data for signal in edfio.read_edf(path).signals])


def fif(folder: Path, signals: np.ndarray) -> None:
    raw = mne.io.RawArray(signals * 1e-6, mne.create_info(list(LABELS), RATE, "eeg"), verbose="ERROR")
    raw.set_annotations(mne.Annotations([2.5, 12, 15], [1.0, 2.5, 0], ["BAD_muscle", "bad", "BAD boundary"]))
    raw.save(folder / "a_raw.fif", verbose="ERROR")


def edf(folder: Path, signals: np.ndarray, *annotations: edfio.EdfAnnotation, name: str = "a") -> None:
    channels = [
        edfio.EdfSignal(signal, RATE, label=label, physical_dimension="uV")
        for label, signal in zip(LABELS, signals, strict=True)
    ]
    path = folder / f"{name}.edf"
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(channels, annotations=annotations, data_record_duration=1).write(path)


def edf_plus(folder: Path, signals: np.ndarray) -> None:
    spans = edfio.EdfAnnotation(2.5, 1.0, "Bad electrodes"), edfio.EdfAnnotation(12, 2.5, "bad_eog")
    edf(folder, signals, *spans, edfio.EdfAnnotation(17, 2.0, "eyes closed"))


def brainvision(folder: Path, signals: np.ndarray) -> None:
    (folder / "a.eeg").write_bytes(np.ascontiguousarray(signals.T, "<f4").tobytes())
    common = "[Common Infos]\nCodepage=UTF-8\nDataFile=a.eeg\n"
    (folder / "a.vhdr").write_text(
        f"Brain Vision Data Exchange Header File Version 1.0\n{common}MarkerFile=a.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(LABELS)}\nSamplingInterval={1_000_000 // RATE}\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\n"
        + "".join(f"Ch{number}={label},,1,µV\n" for number, label in enumerate(LABELS, start=1)),
        encoding="utf-8",
    )
    (folder / "a.vmrk").write_text(
        f"Brain Vision Data Exchange Marker File, Version 1.0\n{common}[Marker Infos]\nMk1=New Segment,,1,1,0\n"
        "Mk2=Bad Interval,Bad Min-Max,251,100,0\nMk3=Bad Interval,Bad Gradient,1201,250,0\n",
        encoding="utf-8",
    )


def bids(folder: Path, signals: np.ndarray) -> None:
    (folder / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    edf(folder, signals, name=NAME)
    (folder / f"{NAME}.json").write_text('{"PowerLineFrequency": 50}')
    rows = "2.5\t1.0\tBAD_muscle\n12\t2.5\tbad\n15\t0\tBAD boundary\n17\t2\teyes closed\n"
    (folder / "sub-01/eeg/sub-01_task-rest_events.tsv").write_text(f"onset\tduration\ttrial_type\n{rows}")


def judged(folder: Path, tmp_path: Path, take_in: TakeIn) -> dict[str, Any]:
    take_in(folder)
    store = Store(tmp_path / "store")
    check_quality([tmp_path / "shards" / "0-1"], tmp_path / "corpus", QualityRecipe(), "train", store=store)
    (row,) = Corpus.load(tmp_path / "corpus").accepted().to_dict("records")
    return row


@pytest.mark.parametrize("write", [fif, edf_plus, brainvision, bids])
def test_no_window_has_a_second_of_a_bad_span(
    tmp_path: Path, signals: np.ndarray, take_in: TakeIn, write: Callable[[Path, np.ndarray], None]
) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", signals)
    row = judged(tmp_path / "data", tmp_path, take_in)
    assert list(row["excluded_seconds"]) == [2, 3, 12, 13, 14]
    assert {"bad_spans=2", "excluded_seconds=5"} <= set(row["warnings"])


def test_a_bad_span_without_times_is_noted(tmp_path: Path, signals: np.ndarray, take_in: TakeIn) -> None:
    (tmp_path / "data").mkdir()
    bids(tmp_path / "data", signals)
    events = tmp_path / "data" / "sub-01/eeg/sub-01_task-rest_events.tsv"
    events.write_text("onset\tduration\ttrial_type\n2\tn/a\tBAD_muscle\n")
    row = judged(tmp_path / "data", tmp_path, take_in)
    assert list(row["excluded_seconds"]) == []
    assert "events_not_understood" in row["warnings"]
