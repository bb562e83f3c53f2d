"""Data of laboratories cannot be here: these trees imitate their names, channel labels, tables and clocks."""

from collections.abc import Callable, Sequence
from pathlib import Path

import edfio
import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.datasets import find
from labram.datasets.biosemi import ELECTRODE_OF_INPUT, ELECTRODES

TakeIn = Callable[..., tuple[object, Corpus]]
WarningsOf = Callable[[Corpus], list[list[str]]]
LabelsOf = Callable[[Corpus, str], list[tuple[float, float, tuple[float, ...]]]]
WriteCnt = Callable[..., Path]
WriteBdf = Callable[..., Path]
Noise = Callable[..., np.ndarray]

SEED = ("FP1", "FPZ", "FP2", "CB1", "O1", "OZ", "O2", "CB2", "M1", "M2", "VEO", "HEO")
TIMES = """Session {session}:
start_second: [{starts}]
end_second: [{stops}]
"""


class TestSeedV:
    def test_films_begin_and_end_by_the_table_and_are_classed_by_the_session(
        self, tmp_path: Path, write_cnt: WriteCnt, take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        for session in (1, 2):
            write_cnt(tmp_path / f"EEG_raw/1_{session}_2018080{session}.cnt", SEED, seconds=35, seed=session)
        (tmp_path / "trial_start_end_timestamp.txt").write_text(
            "".join(
                TIMES.format(
                    session=session,
                    starts=", ".join(str(second) for second in range(1, 31, 2)),
                    stops=", ".join(str(second) for second in range(2, 32, 2)),
                )
                for session in (1, 2, 3)
            )
        )
        _, corpus = take_in(tmp_path)
        assert set(corpus.accepted()["dataset"]) == {"seed_v"}
        assert {tuple(montage) for montage in corpus.accepted()["montage"]} == {SEED[:10]}
        assert corpus.accepted()["median_sd_uv"].between(5, 30).all()
        classes = labels_of(corpus, "emotion")
        assert len(classes) == 30
        assert classes[0][:2] == (1, 1)
        assert sorted(label for start, _, (label,) in classes if start == 1) == [2.0, 4.0]
        assert np.bincount([int(label) for _, _, (label,) in classes]).tolist() == [6] * 5

    @pytest.mark.parametrize("text", ["", "Session 1:\nstart_second: [1, 2]\nend_second: [2, 3]\n"])
    def test_a_table_of_other_films_is_no_label(
        self, tmp_path: Path, write_cnt: WriteCnt, take_in: TakeIn, warnings_of: WarningsOf, text: str
    ) -> None:
        write_cnt(tmp_path / "EEG_raw/1_1_20180804.cnt", SEED, seconds=3)
        (tmp_path / "trial_start_end_timestamp.txt").write_text(text)
        _, corpus = take_in(tmp_path)
        assert warnings_of(corpus) == [["missing_label"]]


def test_seed_films_beyond_a_short_session_are_counted(
    tmp_path: Path, write_cnt: WriteCnt, take_in: TakeIn, warnings_of: WarningsOf, labels_of: LabelsOf
) -> None:
    write_cnt(tmp_path / "SEED_EEG/SEED_RAW_EEG/1_1.cnt", SEED, seconds=30)
    _, corpus = take_in(tmp_path)
    assert set(corpus.accepted()["dataset"]) == {"seed"}
    assert labels_of(corpus, "emotion") == [(27, 3, (2.0,))]
    assert warnings_of(corpus) == [["excluded_beyond_recording=14"]]


@pytest.fixture
def write_bdf(tmp_path: Path, noise: Noise) -> Callable[..., Path]:
    def write(place: str, labels: Sequence[str], seed: int = 0) -> Path:
        signals = [
            edfio.BdfSignal(row, 256, label=label, physical_dimension="uV")
            for label, row in zip(labels, noise(len(labels), 6 * 256, seed), strict=True)
        ]
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        edfio.Bdf(signals).write(path)
        return path

    return write


class TestBioSemi:
    EXTERNAL = tuple(f"EXG{number}" for number in range(1, 9))

    def test_emobrain(self, tmp_path: Path, write_bdf: WriteBdf, take_in: TakeIn) -> None:
        for session in (1, 2):
            place = f"Data/EEG/Part1_IAPS_SES{session}_EEG_fNIRS_03082006.bdf"
            path = write_bdf(place, ("AF3", "F1", "Fz", "Iz", *self.EXTERNAL), session)
            path.with_name(f"{path.name}.mrk").write_text("512\n")
        _, corpus = take_in(tmp_path)
        assert set(corpus.accepted()["dataset"]) == {"emobrain"}
        assert corpus.accepted()["subject_key"].nunique() == 1
        assert {tuple(montage) for montage in corpus.accepted()["montage"]} == {("AF3", "F1", "FZ", "IZ")}

    @pytest.mark.parametrize("labels", [ELECTRODES, tuple(ELECTRODE_OF_INPUT)])
    def test_trujillo_is_known_by_its_folder_and_inputs_become_electrodes(
        self, tmp_path: Path, write_bdf: WriteBdf, take_in: TakeIn, labels: tuple[str, ...]
    ) -> None:
        write_bdf("trujillo_2017/Resting_S01.bdf", (*labels, *self.EXTERNAL))
        write_bdf("trujillo_2020/Cat_II_S01.bdf", (*labels, *self.EXTERNAL), 1)
        write_bdf("trujillo_2020/Cat_RBII_S01.bdf", (*labels, *self.EXTERNAL), 2)
        _, corpus = take_in(tmp_path)
        rows = corpus.accepted()
        assert sorted(rows["dataset"]) == ["trujillo_2017", "trujillo_2020", "trujillo_2020"]
        assert rows["subject_key"].nunique() == 2
        assert {tuple(montage) for montage in rows["montage"]} == {tuple(name.upper() for name in ELECTRODES)}

    def test_files_with_such_names_in_another_folder_are_not_taken_for_it(
        self, tmp_path: Path, write_bdf: WriteBdf
    ) -> None:
        write_bdf("mine/Resting_S01.bdf", ("Fz", "Cz"))
        ((adapter, _),) = find(tmp_path, ())
        assert adapter.name == "folder"


class TestMobi:
    NAMES = "Fp1 Fp2 T8 T7 TP9 TP10 FT9 FT10 O1".split()  # noqa: SIM905 - as the experimenters wrote them

    @pytest.fixture
    def write(self, noise: Noise) -> Callable[..., None]:
        def write(folder: Path, *, joints: int = 500, pause: float = 0.0) -> None:
            folder.mkdir(parents=True)
            names = [*self.NAMES, *(f"X{number}" for number in range(64 - len(self.NAMES)))]
            seconds = np.arange(500) / 100
            rows = [
                "\t".join(f"{value:.2f}" for value in row) + "\t"
                for row in np.column_stack([seconds + pause * (seconds > 3), noise(64, 500, len(folder.name)).T])
            ]
            (folder / "eeg.txt").write_text("64 channels\n" + "\n".join(rows) + "\n")
            table = [f"{number}\t{name}\tactiCAP\t5" for number, name in enumerate(names, start=1)]
            (folder / "impedances-before.txt").write_text("settings\n" * 21 + "\n".join(table) + "\n")
            angles = np.tile(seconds[:, None], (1, 12)) * 9
            angles[:, 6:] *= -1
            rows = ["\t".join(f"{value:.4f}" for value in row) for row in np.column_stack([seconds, angles])][:joints]
            (folder / "joints.txt").write_text(
                "6 joints (GHR GKR GAR GHL GKL GAL)\nJoint Factor 1\n" + "\n".join(rows) + "\n"
            )

        return write

    def test_angles_at_the_end_of_windows_of_two_seconds(
        self, tmp_path: Path, write: Callable[..., None], take_in: TakeIn, warnings_of: WarningsOf, labels_of: LabelsOf
    ) -> None:
        write(tmp_path / "SL01-T01")
        write(tmp_path / "SL02-T01", joints=400, pause=0.75)
        _, corpus = take_in(tmp_path)
        rows = corpus.accepted()
        assert rows["subject_key"].nunique() == 2
        assert {tuple(montage) for montage in rows["montage"]} == {("FP1", "FP2", "AFZ", "FCZ", "O1")}
        assert set(rows["rate_hz"]) == {100.0}
        assert sorted(rows["gap_seconds"]) == [0.0, 0.75]
        labels = labels_of(corpus, "gait")
        assert [start for start, _, _ in labels] == [round(0.05 * number, 2) for number in range(61)]
        assert {seconds for _, seconds, _ in labels} == {2.0}
        np.testing.assert_allclose(labels[0][2], [0.199] * 6 + [-0.199] * 6, atol=1e-6)
        assert warnings_of(corpus) == [[], ["missing_label"]]

    def test_without_the_names_of_its_channels_it_cannot_be_read(
        self, tmp_path: Path, write: Callable[..., None], take_in: TakeIn
    ) -> None:
        write(tmp_path / "SL01-T01")
        (tmp_path / "SL01-T01" / "impedances-before.txt").unlink()
        _, corpus = take_in(tmp_path)
        assert [list(reasons) for reasons in corpus.quarantined()["reasons"]] == [["unreadable"]]


class TestBids:
    def write(self, root: Path, write_edf: Callable[..., Path]) -> None:
        root.mkdir(exist_ok=True)
        (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
        (root / "task-rest_eeg.json").write_text('{"PowerLineFrequency": 60, "EEGReference": "Cz"}')
        for seed, place in enumerate(
            (
                "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_eeg.edf",
                "sub-01/ses-b/eeg/sub-01_ses-b_task-rest_eeg.edf",
                "sub-02/eeg/sub-02_task-other_eeg.edf",
                "derivatives/clean/sub-01/ses-a/eeg/sub-01_ses-a_task-rest_eeg.edf",
            )
        ):
            write_edf(root / place, seed=seed, seconds=6)
        (root / "sub-01/ses-b/eeg/sub-01_ses-b_task-rest_eeg.json").write_text('{"EEGReference": "A1"}')

    def test_sidecars_state_line_frequency_and_reference_the_nearest_last(
        self, tmp_path: Path, write_edf: Callable[..., Path], take_in: TakeIn
    ) -> None:
        self.write(tmp_path, write_edf)
        _, corpus = take_in(tmp_path)
        rows = corpus.accepted()
        assert set(rows["dataset"]) == {"bids"}
        assert sorted(zip(rows["mains_hz"], rows["reference"], strict=True)) == [
            (50.0, "not stated"),
            (60.0, "A1"),
            (60.0, "Cz"),
        ]
        assert rows["subject_key"].nunique() == 2
        assert [list(reasons) for reasons in corpus.quarantined()["reasons"]] == [["duplicate_format"]]

    SIDECARS = (
        (b'{"PowerLineFrequency": 60}', 60, []),
        (b'{"PowerLineFrequency": 60.0, "EEGReference": "placed on Cz"}', 60, []),
        (b'{"PowerLineFrequency": "60"}', 60, ["sidecar_repaired"]),
        (b'{"PowerLineFrequency": "60 Hz"}', 60, ["sidecar_repaired"]),
        (b'{"PowerLineFrequency": [60, 120]}', 60, ["sidecar_repaired"]),
        (b'{"powerlinefrequency": 60}', 60, ["sidecar_repaired"]),
        (b'{"PowerLineFrequency": 60, "InstitutionName": "K\xf6ln"}', 60, ["sidecar_repaired"]),
        ('{"PowerLineFrequency": 60}'.encode("utf-16"), 60, ["sidecar_repaired"]),
        (b'{"PowerLineFrequency": 60, "Manufacturer": "a,}", }', 60, ["sidecar_repaired"]),
        (b'{"PowerLineFrequency": "n/a"}', 50, ["line_freq_not_stated"]),
        (b"{}", 50, ["line_freq_not_stated"]),
        (b'{"PowerLineFrequency": [60, 50]}', 50, ["line_freq_not_understood"]),
        (b'{"PowerLineFrequency": "sixty"}', 50, ["line_freq_not_understood"]),
        (b'{"PowerLineFrequency": 1' + b"0" * 400 + b"}", 50, ["line_freq_not_understood"]),
        (b'{"PowerLineFrequency": true}', 50, ["line_freq_not_understood"]),
        (b'{"PowerLineFrequency": 60', 50, ["sidecar_unreadable", "line_freq_not_stated"]),
        (b"[60]", 50, ["sidecar_unreadable", "line_freq_not_stated"]),
        (b"[" * 200_000, 50, ["sidecar_unreadable", "line_freq_not_stated"]),
        (b'{"PowerLineFrequency": 60, "EEGReference": "below the lamp"}', 60, ["reference_not_understood"]),
        (b'{"PowerLineFrequency": 60, "SamplingFrequency": 100.2}', 60, []),
        (b'{"PowerLineFrequency": 60, "SamplingFrequency": "n/a"}', 60, []),
        (b'{"PowerLineFrequency": 60, "SamplingFrequency": 512.0}', 60, ["rate_contradicts_sidecar"]),
        (b'{"PowerLineFrequency": 60, "SamplingFrequency": "fast"}', 60, ["rate_contradicts_sidecar"]),
    )

    @pytest.mark.parametrize(("sidecar", "line_freq", "warnings"), SIDECARS)
    def test_what_a_sidecar_states_is_used_or_named(
        self,
        tmp_path: Path,
        write_edf: Callable[..., Path],
        take_in: TakeIn,
        sidecar: bytes,
        line_freq: float,
        warnings: list[str],
    ) -> None:
        (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
        path = write_edf(tmp_path / "sub-01/eeg/sub-01_task-rest_eeg.edf", seconds=6)
        path.with_suffix(".json").write_bytes(sidecar)
        (row,) = take_in(tmp_path)[1].accepted().to_dict("records")
        assert row["mains_hz"] == line_freq
        assert [code for code in row["warnings"] if code not in ("line_noise", "flat_spectrum")] == warnings

    TABLES = (
        (
            "name\ttype\tstatus\nFp1\tEOG\tgood\nC3\tEEG\tbad\nC4\teeg\tn/a",
            ("FP2", "C4", "O1", "O2"),
            "channels_excluded",
        ),
        ("Name\tType\nEEG Fp1-REF\tveog\n", ("FP2", "C3", "C4", "O1", "O2"), "channels_excluded"),
        ("name\ttype\nFp1\tSCALP\n", ("FP1", "FP2", "C3", "C4", "O1", "O2"), "channels_not_understood"),
        ("name\tstatus\nX9\tbad\n", ("FP1", "FP2", "C3", "C4", "O1", "O2"), "channels_not_understood"),
        ("name\ttype\nFp1\tEEG\n", ("FP1", "FP2", "C3", "C4", "O1", "O2"), ""),
        ("Fp1\tEOG\n", ("FP1", "FP2", "C3", "C4", "O1", "O2"), "sidecar_unreadable"),
    )

    @pytest.mark.parametrize(("table", "montage", "warning"), TABLES)
    def test_channels_of_another_type_and_bad_ones_are_left_out(
        self,
        tmp_path: Path,
        write_edf: Callable[..., Path],
        take_in: TakeIn,
        table: str,
        montage: tuple[str, ...],
        warning: str,
    ) -> None:
        (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
        write_edf(tmp_path / "sub-01/eeg/sub-01_task-rest_eeg.edf", seconds=6)
        (tmp_path / "eeg.json").write_text('{"PowerLineFrequency": 50}')
        before = take_in(tmp_path)[1].accepted()["store_key"][0]
        (tmp_path / "task-rest_channels.tsv").write_text(table)
        (row,) = take_in(tmp_path)[1].accepted().to_dict("records")
        codes = {"channels_excluded", "channels_not_understood", "sidecar_unreadable"}
        assert tuple(row["montage"]) == montage
        assert row["dropped"] == 6 - len(montage)
        assert [code for code in row["warnings"] if code in codes] == [warning] * bool(warning)
        assert row["store_key"] != before or not row["dropped"]
