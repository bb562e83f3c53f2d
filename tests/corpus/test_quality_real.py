"""The traps that are really in the real recordings, each caught by a rule that would catch it elsewhere."""

import shutil
from collections.abc import Callable
from pathlib import Path

import edfio
import mne
import numpy as np
import pandas as pd
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.corpus.quality import check_quality
from labram.corpus.rules import check_rules, recording_rules
from labram.corpus.signal_metrics import SignalMetrics
from labram.recipe import QualityRecipe, SplitRecipe
from labram.signals.readers import read
from labram.store.store import Store

pytestmark = pytest.mark.real
TakeIn = Callable[..., tuple[IngestResult, Corpus]]
Judged = Callable[..., pd.DataFrame]
EXO = "record-[2012.07.11-15.25.23]"
SHARED = "record-[2012.07.11-15.33.08]"


@pytest.fixture
def judged(take_in: TakeIn, tmp_path: Path) -> Judged:
    def run(data: Path, *datasets: str) -> pd.DataFrame:
        """Rows of the catalogue, in the order of their ids."""
        take_in(data, datasets)
        check_quality(
            [tmp_path / "shards" / "0-1"],
            tmp_path / "corpus",
            QualityRecipe(),
            SplitRecipe(),
            store=Store(tmp_path / "store"),
        )
        return Corpus.load(tmp_path / "corpus").catalogue

    return run


def refused(rows: pd.DataFrame) -> list[list[str]]:
    return sorted(rows["reasons"][rows["verdict"] == "quarantined"])


@pytest.mark.parametrize("dataset", ["eegmat", "eegmmidb", "ssvep_exo"])
def test_no_good_recording_is_refused(judged: Judged, real_eeg: Path, dataset: str) -> None:
    rows = judged(real_eeg, dataset)
    assert refused(rows) == ([["duplicate_format"]] if dataset == "ssvep_exo" else [])


@pytest.mark.parametrize("subject", ["co2a0000368", "co2c0000337"])
def test_no_good_recording_of_one_second_is_refused(
    judged: Judged, real_eeg: Path, tmp_path: Path, subject: str
) -> None:
    (tmp_path / "data" / "uci_smni").mkdir(parents=True)
    shutil.copytree(real_eeg / "uci_smni" / subject, tmp_path / "data" / "uci_smni" / subject)
    assert refused(judged(tmp_path / "data", "uci_smni")) == []


def test_holes_and_amplitudes_of_bad_acquisitions_are_found(judged: Judged, real_eeg: Path) -> None:
    assert refused(judged(real_eeg, "muse")) == [
        ["duplicate_content"],
        ["excessive_amplitude"],
        ["excessive_amplitude", "gaps"],
        ["gaps"],
    ]


def test_white_noise_under_real_headers_is_no_eeg(judged: Judged, real_eeg: Path, tmp_path: Path) -> None:
    shutil.copytree(real_eeg / "misc_formats" / "epilepsy2bids_headers", tmp_path / "data")
    shutil.copy(real_eeg / "eegmat" / "Subject09_2.edf", tmp_path / "data")
    assert refused(judged(tmp_path / "data", "folder")) == [["not_eeg"]] * 4


def test_a_phantom_head_is_no_eeg_whatever_its_channels_are_called(
    judged: Judged, real_eeg: Path, tmp_path: Path
) -> None:
    (source,) = (real_eeg / "misc_formats" / "phantom_camntech").glob("*.edf")
    recording = read(source)
    (signal,) = recording.read([0], 100 * 1024, 400 * 1024)
    (tmp_path / "data").mkdir()
    edfio.Edf(
        [
            edfio.EdfSignal(
                np.roll(signal, 5000 * place), 1024, label=name, physical_dimension="uV",
                physical_range=(-8833.92, 8833.9221),
            )
            for place, name in enumerate(("Fp1", "Fp2", "O1", "O2"))
        ]
    ).write(tmp_path / "data" / "phantom.edf")  # fmt: skip
    shutil.copy(real_eeg / "eegmat" / "Subject09_2.edf", tmp_path / "data")
    rows = judged(tmp_path / "data", "folder")
    assert refused(rows) == [["not_eeg"]]
    assert rows["held_fraction"].max() > 0.6


def test_wrong_units_are_told_with_their_correction(judged: Judged, real_eeg: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in (f"{EXO}.gdf", "../subject08/record-[2013.04.06-16.29.18]_raw.fif"):
        shutil.copy(real_eeg / "ssvep_exo" / "subject03" / name, tmp_path / "data")
    shutil.copy(real_eeg / "eegmat" / "Subject09_2.edf", tmp_path / "data")
    rows = judged(tmp_path / "data", "folder").set_index("format")
    assert "implausible_unit" in rows["reasons"]["gdf"]
    assert "implausible_unit" in rows["reasons"]["fif"]
    assert rows["unit_correction"].round(6).to_dict() == {"gdf": 1e3, "fif": 1e-3, "edf": 1.0}
    assert rows["verdict"]["edf"] == "accepted"


def test_one_recording_in_two_formats_and_units_is_one(judged: Judged, real_eeg: Path, tmp_path: Path) -> None:
    subject = real_eeg / "ssvep_exo" / "subject03"
    for place, name in (("a", f"{EXO}.gdf"), ("b", f"{EXO}_raw.fif")):
        (tmp_path / "data" / place).mkdir(parents=True)
        shutil.copy(subject / name, tmp_path / "data" / place)
    shutil.copy(real_eeg / "eegmat" / "Subject09_2.edf", tmp_path / "data")
    hashes = judged(tmp_path / "data", "folder").set_index("format")["signal_hash"]
    assert hashes["gdf"] == hashes["fif"] != hashes["edf"]


def test_a_recording_that_upstream_files_under_two_subjects_ties_them(
    judged: Judged, real_eeg: Path, tmp_path: Path
) -> None:
    exo = tmp_path / "data" / "ssvep_exo"
    exo.mkdir(parents=True)
    for place in (real_eeg / "ssvep_exo").glob("subject*"):
        shutil.copytree(place, exo / place.name)
    (exo / "subject07").mkdir()
    for suffix in (".gdf", "-eve.fif"):
        shutil.copy(exo / "subject03" / f"{SHARED}{suffix}", exo / "subject07")
    shutil.copy(exo / "subject05" / "record-[2012.07.19-11.24.02].gdf", exo / "subject07" / "record-[x].gdf")
    rows = judged(tmp_path / "data", "ssvep_exo")
    copies = rows[rows["copy_of"] != ""]
    assert copies["reasons"].tolist() == [["duplicate_content", "duplicate_subject"]] * 2
    kept = rows.set_index("recording_id").loc[copies["copy_of"]]
    assert all("shared_recording" in warnings for warnings in kept["warnings"])
    tied = {*copies["subject_key"], *kept["subject_key"]}
    assert len(tied) == 3
    used = rows[rows["subject_key"].isin(tied) & (rows["verdict"] == "accepted")]
    assert len(set(used["split"])) == 1


def test_damaged_bytes_would_be_seen_in_the_figures_too(real_eeg: Path) -> None:
    """The reader refuses this file by its line ends. Where bytes are lost in another way, amplitudes tell."""
    path = real_eeg / "misc_formats" / "damaged" / "S001R01_crlf_damaged.edf"
    signals = mne.io.read_raw_edf(path, preload=True, encoding="latin1", verbose="ERROR").get_data()[:64] * 1e6
    metrics = SignalMetrics([f"E{number}" for number in range(64)], 160.0, 60.0)
    metrics.add_raw(signals)
    row = {name: value for name, value in metrics.row().items() if not isinstance(value, list)}
    suite = [rule for rule in recording_rules(QualityRecipe()) if rule.column == "band_rms_uv"]
    (outcome,) = check_rules(pd.DataFrame([{**row, "recording_id": "damaged"}]), suite).outcomes
    assert outcome.recordings == ("damaged",)
