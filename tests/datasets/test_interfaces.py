"""Data of competitions and games cannot be here: these trees imitate their names, variables, columns and codes."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from labram.corpus.catalogue import Corpus
from labram.recipe import PreprocessingRecipe

TakeIn = Callable[..., tuple[object, Corpus]]
LabelsOf = Callable[[Corpus, str], list[tuple[float, float, tuple[float, ...]]]]
WriteGdf = Callable[..., Path]
Noise = Callable[..., np.ndarray]


class TestBciIv1:
    @pytest.fixture
    def write(self, tmp_path: Path, noise: Noise) -> Callable[..., None]:
        def write(subject: str, *, kind: str = "calib", rate: int = 1000, classes: str = "left foot") -> None:
            content: dict[str, object] = {
                "cnt": np.round(noise(3, 15 * rate, seed=ord(subject)) * 10).T.astype(np.int16),
                "nfo": {
                    "fs": float(rate),
                    "clab": np.array(["AF3", "C3", "CFC7"], dtype=object),
                    "classes": np.array(classes.split(), dtype=object),
                    "xpos": np.zeros(3),
                },
            }
            if kind == "calib":
                content["mrk"] = {"pos": np.array([2 * rate, 9 * rate]), "y": np.array([-1, 1])}
            suffix = "_1000Hz" if rate == 1000 else ""
            scipy.io.savemat(tmp_path / f"BCICIV_{kind}_ds1{subject}{suffix}.mat", content)

        return write

    def test_cues_are_classes_by_name_and_one_rate_is_enough(
        self, tmp_path: Path, write: Callable[..., None], take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        write("a")
        write("a", rate=100)
        write("b", classes="left right")
        write("b", kind="eval")
        _, corpus = take_in(tmp_path)
        assert [list(reasons) for reasons in corpus.quarantined()["reasons"]] == [["duplicate_format"]]
        assert sorted(corpus.accepted()["seconds"]) == [15] * 3
        assert {tuple(montage) for montage in corpus.accepted()["montage"]} == {("AF3", "C3", "CFC7")}
        assert corpus.accepted()["median_sd_uv"].between(5, 30).all()
        assert sorted(labels_of(corpus, "motor_imagery")) == [
            (2, 4, (0.0,)),
            (2, 4, (0.0,)),
            (9, 4, (1.0,)),
            (9, 4, (2.0,)),
        ]

    def test_signals_that_a_program_made_are_no_eeg_but_in_the_published_preparation(
        self, tmp_path: Path, write: Callable[..., None], take_in: TakeIn
    ) -> None:
        write("c")
        _, corpus = take_in(tmp_path)
        assert [list(reasons) for reasons in corpus.quarantined()["reasons"]] == [["not_eeg"]]
        _, corpus = take_in(tmp_path, preprocessing=PreprocessingRecipe(compatibility="published"))
        assert len(corpus.accepted()) == 1


class TestBciIv2a:
    LABELS = ("EEG-Fz", *["EEG"] * 6, "EEG-C3", "EEG", "EEG-Cz", "EEG", "EEG-C4", *["EEG"] * 7, "EEG-Pz", "EEG", "EEG")
    EOG = ("EOG-left", "EOG-central", "EOG-right")

    def write(self, write_gdf: WriteGdf, path: Path, cues: tuple[int, ...], *, rejected: int = -1) -> None:
        events = []
        for trial, cue in enumerate(cues):
            start = trial * 8 * 250
            events += [(start, 768), *([(start, 1023)] if trial == rejected else []), (start + 500, cue)]
        write_gdf(path, (*self.LABELS, *self.EOG), seconds=26, rate=250, events=events, seed=len(path.name))

    def test_channels_without_names_are_in_the_order_of_the_description(
        self, tmp_path: Path, write_gdf: WriteGdf, take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        self.write(write_gdf, tmp_path / "A01T.gdf", (769, 772, 770), rejected=1)
        _, corpus = take_in(tmp_path)
        names = "FZ FC3 FC1 FCZ FC2 FC4 C5 C3 C1 CZ C2 C4 C6 CP3 CP1 CPZ CP2 CP4 P1 PZ P2 POZ"
        assert [" ".join(montage) for montage in corpus.accepted()["montage"]] == [names]
        assert corpus.accepted()["median_sd_uv"].between(5, 30).all()
        assert labels_of(corpus, "motor_imagery") == [(2, 4, (0.0,)), (18, 4, (1.0,))]
        assert [list(found) for found in corpus.accepted()["warnings"]] == [["excluded_rejected_trial=1"]]

    def test_the_evaluation_has_its_classes_in_another_file(
        self, tmp_path: Path, write_gdf: WriteGdf, take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        self.write(write_gdf, tmp_path / "A01E.gdf", (783, 783))
        _, corpus = take_in(tmp_path)
        assert [list(found) for found in corpus.accepted()["warnings"]] == [["missing_label"]]
        (tmp_path / "true_labels").mkdir()
        scipy.io.savemat(tmp_path / "true_labels" / "A01E.mat", {"classlabel": np.array([[4], [1]], np.uint8)})
        _, corpus = take_in(tmp_path)
        assert labels_of(corpus, "motor_imagery") == [(2, 4, (3.0,)), (10, 4, (0.0,))]


def test_grasp_and_lift_marks_events_150_ms_either_way(
    tmp_path: Path, noise: Noise, take_in: TakeIn, labels_of: LabelsOf
) -> None:
    names = ("HandStart", "FirstDigitTouch", "BothStartLoadPhase", "LiftOff", "Replace", "BothReleased")
    samples = 10 * 500
    marks = np.zeros((samples, 6), int)
    marks[1000 - 75 : 1000 + 75, 0] = 1
    marks[4000 - 75 : 4000 + 75, 3] = 1
    for place, seed, events in (("train/subj1_series1", 1, True), ("test/subj1_series9", 2, False)):
        data, path = noise(3, samples, seed).T, tmp_path / place
        path.parent.mkdir()
        ids = [f"{path.name}_{row}" for row in range(samples)]
        rows = "\n".join(
            f"{name},{','.join(f'{value:.0f}' for value in row)}" for name, row in zip(ids, data, strict=True)
        )
        path.with_name(f"{path.name}_data.csv").write_text(f"id,Fp1,Fp2,PO10\n{rows}\n")
        if events:
            rows = "\n".join(f"{name},{','.join(map(str, row))}" for name, row in zip(ids, marks, strict=True))
            path.with_name(f"{path.name}_events.csv").write_text(f"id,{','.join(names)}\n{rows}\n")
    _, corpus = take_in(tmp_path)
    assert len(corpus.catalogue) == len(corpus.accepted()) == 2
    assert {tuple(montage) for montage in corpus.accepted()["montage"]} == {("FP1", "FP2", "PO10")}
    assert labels_of(corpus, "grasp") == [(1.5, 1, (0.0,)), (7.5, 1, (3.0,))]
    assert corpus.accepted()["gap_seconds"].isna().all()


def test_inria_feedback_is_labelled_by_the_table_of_all_sessions(
    tmp_path: Path, noise: Noise, take_in: TakeIn, labels_of: LabelsOf
) -> None:
    header = "Time,Fp1,Fp2,POz,EOG,FeedBackEvent\n"
    for place, seed in (("train/Data_S02_Sess01.csv", 1), ("test/Data_S01_Sess01.csv", 2)):
        feedback = np.isin(np.arange(2000), (400, 1200)).astype(int)
        seconds = np.arange(2000) / 200 + 0.5 * (np.arange(2000) > 1000) * (seed == 2)
        table = np.column_stack([seconds, noise(4, 2000, seed).T, feedback])
        (tmp_path / place).parent.mkdir()
        np.savetxt(tmp_path / place, table, fmt="%.4f", delimiter=",", header=header.strip(), comments="")
    (tmp_path / "TrainLabels.csv").write_text("IdFeedBack,Prediction\nS02_Sess01_FB001,1\nS02_Sess01_FB002,0\n")
    _, corpus = take_in(tmp_path)
    assert {tuple(montage) for montage in corpus.accepted()["montage"]} == {("FP1", "FP2", "POZ")}
    assert sorted(corpus.accepted()["gap_seconds"]) == [0.0, 0.5]
    assert labels_of(corpus, "feedback_error") == [(2, 1, (1.0,)), (6, 1, (0.0,))]
    (tmp_path / "TrainLabels.csv").write_text("IdFeedBack,Prediction\nS02_Sess01_FB001,1\n")
    _, corpus = take_in(tmp_path)
    assert sorted(list(found) for found in corpus.accepted()["warnings"]) == [[], ["missing_label"]]


@pytest.mark.parametrize("suffix", [".csv", ".mat"])
def test_bi2015a_flashes_of_targets_and_others(
    tmp_path: Path, noise: Noise, take_in: TakeIn, labels_of: LabelsOf, suffix: str
) -> None:
    samples = 8 * 512
    flash, target = np.zeros(samples), np.zeros(samples)
    flash[[512, 1536]] = 1
    target[1536] = 1
    seconds = np.arange(samples) / 512 + 0.5 * (np.arange(samples) > 2000)
    table = np.column_stack([seconds, noise(32, samples).T, flash, target])
    path = tmp_path / "subject_01_mat.zip.unzip" / f"subject_01_session_01{suffix}"
    path.parent.mkdir()
    if suffix == ".csv":
        np.savetxt(path, table, fmt="%.4f", delimiter=",")
    else:
        scipy.io.savemat(path, {"DATA": table})
    _, corpus = take_in(tmp_path)
    assert [len(montage) for montage in corpus.accepted()["montage"]] == [32]
    assert corpus.accepted()["gap_seconds"].tolist() == pytest.approx([0.5], abs=0.001)
    assert labels_of(corpus, "p300") == [(1, 1, (0.0,)), (3, 1, (1.0,))]


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_spis_eyes_closed_and_open_in_either_format_of_matlab(
    tmp_path: Path, noise: Noise, take_in: TakeIn, labels_of: LabelsOf, version: str
) -> None:
    folder = tmp_path / "Pre-SART EEG"
    folder.mkdir()
    for seed, eyes in enumerate(("EC", "EO")):
        path, data = folder / f"S02_restingPre_{eyes}.mat", noise(68, (6 + seed) * 256, seed)
        if version == "5":
            scipy.io.savemat(path, {"dataRest": data})
        else:
            with h5py.File(path, "w", userblock_size=512) as file:
                file.create_dataset("dataRest", data=data.T).attrs["MATLAB_class"] = np.bytes_(b"double")
            with path.open("r+b") as raw:
                raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    _, corpus = take_in(tmp_path)
    assert {len(montage) for montage in corpus.accepted()["montage"]} == {64}
    assert corpus.accepted()["subject_key"].nunique() == 1
    assert corpus.accepted()["gap_seconds"].isna().all()
    assert sorted(labels_of(corpus, "eyes")) == [(0, 6, (1.0,)), (0, 7, (0.0,))]


@pytest.mark.parametrize("name", ["BCICIV_calib_ds1a_1000Hz.mat", "S02_restingPre_EC.mat", "subject_01_session_01.mat"])
def test_a_matlab_file_that_is_none_or_has_other_variables_is_unreadable(
    tmp_path: Path, take_in: TakeIn, name: str
) -> None:
    (tmp_path / name).write_bytes(b"MATLAB 5.0 MAT-file".ljust(200, b"x"))
    _, corpus = take_in(tmp_path)
    assert [list(reasons) for reasons in corpus.quarantined()["reasons"]] == [["unreadable"]]
    scipy.io.savemat(tmp_path / name, {"something": 1.0})
    _, corpus = take_in(tmp_path)
    assert [list(reasons) for reasons in corpus.quarantined()["reasons"]] == [["unreadable"]]
