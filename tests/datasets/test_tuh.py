"""Corpora of Temple University Hospital cannot be here: these trees imitate their layout, names, channel labels and
annotation files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from labram.corpus.catalogue import Corpus
from labram.datasets import ADAPTERS, find

TakeIn = Callable[..., tuple[object, Corpus]]
WriteEdf = Callable[..., Path]
LabelsOf = Callable[[Corpus, str], list[tuple[float, float, tuple[float, ...]]]]

PLACES = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2"
NAMES = PLACES.split()
REF = [f"EEG {name}-REF" for name in NAMES] + ["EEG EKG1-REF", "PHOTIC-REF", "IBI", "BURSTS", "SUPPR"]
LE = [f"EEG {name}-LE" for name in NAMES[:21]] + ["EEG OZ-LE", "EEG EKG-LE"]
HEADER = (
    "# version = csv_v1.0.0\n# bname = aaaaaaac_s001_t000\n# duration = 12.00 secs\n# montage_file = $NEDC_NFC\n#\n"
)
COLUMNS = "channel,start_time,stop_time,label,confidence\n"


@pytest.fixture
def edf(tmp_path: Path, write_edf: WriteEdf) -> Callable[..., Path]:
    def write(place: str, *, seconds: int = 12, channels: list[str] = REF) -> Path:
        seed = sum(place.encode())
        return write_edf(tmp_path / "tree" / place, seed=seed, seconds=seconds, rate=250, channels=channels)

    return write


def only(corpus: Corpus, column: str) -> list[object]:
    return sorted(corpus.accepted()[column].tolist())


class TestTuab:
    def test_folders_tell_class_and_part(
        self, tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        edf("v3.0.1/edf/train/abnormal/01_tcp_ar/aaaaaaaq_s004_t000.edf")
        edf("v3.0.1/edf/train/normal/01_tcp_ar/aaaaaaav_s004_t000.edf", seconds=15)
        edf("v3.0.1/edf/eval/normal/01_tcp_ar/aaaaacad_s003_t000.edf", seconds=14)
        _, corpus = take_in(tmp_path / "tree")
        assert only(corpus, "dataset") == ["tuab"] * 3
        assert only(corpus, "mains_hz") == [60.0] * 3
        assert only(corpus, "split") == ["", "", "test"]
        assert set(only(corpus, "reference")) == {"average"}
        assert [tuple(names) for names in corpus.accepted()["montage"]] == [tuple(NAMES)] * 3
        assert sorted(labels_of(corpus, "abnormal")) == [(0, 12, (1.0,)), (0, 14, (0.0,)), (0, 15, (0.0,))]

    @pytest.mark.parametrize("depth", ["", "v3.0.1", "v3.0.1/edf"])
    def test_any_folder_of_the_tree_is_the_dataset_once(
        self, tmp_path: Path, edf: Callable[..., Path], depth: str
    ) -> None:
        edf("v3.0.1/edf/train/abnormal/01_tcp_ar/aaaaaaaq_s004_t000.edf")
        assert find(tmp_path / "tree" / depth, ()) == [(ADAPTERS["tuab"], tmp_path / "tree" / depth)]


class TestTuev:
    """0 to 2 s are too early for a window of 5 s, 9 s and later are too late in 12 s."""

    REC = "0,0.5,1.5,6\n4,4.0,5.0,1\n5,4.0,5.0,1\n6,4.0,5.0,1\n2,6.0,7.0,2\n3,6.0,7.0,5\n7,10.0,11.0,4\n"

    def tree(self, edf: Callable[..., Path]) -> None:
        path = edf("edf/train/aaaaaaar/aaaaaaar_00000001.edf")
        path.with_suffix(".rec").write_text(self.REC)
        path = edf("edf/eval/032/bckg_032_a_.edf")
        path.with_suffix(".rec").write_text("3,5.0,6.0,6\n")
        path = edf("edf/eval/032/pled_032_a_1.edf", seconds=13)
        path.with_suffix(".rec").write_text("3,5.0,6.0,3\n")

    def test_a_time_is_one_sample_and_what_cannot_be_one_is_counted(
        self, tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn, labels_of: LabelsOf
    ) -> None:
        self.tree(edf)
        _, corpus = take_in(tmp_path / "tree")
        assert only(corpus, "dataset") == ["tuev"] * 3
        assert sorted(labels_of(corpus, "events")) == [(2, 5, (0.0,)), (3, 5, (2.0,)), (3, 5, (5.0,))]
        warnings = next(list(w) for w in corpus.accepted()["warnings"] if len(w))
        assert warnings == ["excluded_at_the_edge=2", "excluded_conflicting_labels=1"]

    def test_the_recordings_of_one_folder_of_eval_are_of_one_subject(
        self, tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn
    ) -> None:
        self.tree(edf)
        _, corpus = take_in(tmp_path / "tree")
        by_split = corpus.accepted().groupby("split")["subject_key"].agg(lambda keys: len(set(keys)))
        assert by_split.to_dict() == {"": 1, "test": 1}

    @pytest.mark.parametrize(
        "rows",
        ["0,1.0,2.0\n", "0,one,2.0,1\n", "0,1.0,2.0,7\n", "0,1.0,2.0,0\n", "0,nan,2.0,1\n", "0,3.0,2.0,1\n", "\xff"],
    )
    def test_rows_of_another_kind_are_no_labels(
        self, tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn, rows: str
    ) -> None:
        path = edf("edf/train/aaaaaaar/aaaaaaar_00000001.edf")
        path.with_suffix(".rec").write_bytes(rows.encode("latin1"))
        _, corpus = take_in(tmp_path / "tree")
        assert [list(found) for found in corpus.accepted()["warnings"]] == [["missing_label"]]


def test_tuep_groups_of_patients_are_classes(
    tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn, labels_of: LabelsOf
) -> None:
    edf("v2.0.1/00_epilepsy/aaaaaanr/s001_2003/02_tcp_le/aaaaaanr_s001_t001.edf", channels=LE)
    edf("v2.0.1/01_no_epilepsy/aaaaaebo/s001_2006/01_tcp_ar/aaaaaebo_s001_t000.edf", seconds=13)
    _, corpus = take_in(tmp_path / "tree")
    assert only(corpus, "dataset") == ["tuep"] * 2
    assert sorted(labels_of(corpus, "epilepsy")) == [(0, 12, (1.0,)), (0, 13, (0.0,))]
    assert only(corpus, "reference") == ["average", "linked ears"]


def test_tusz_seizures_are_as_long_as_they_last_and_parts_are_kept(
    tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn, labels_of: LabelsOf
) -> None:
    rows = "TERM,0.0000,4.5000,bckg,1.0000\nTERM,4.5000,9.0000,seiz,1.0000\nTERM,9.0000,12.0000,bckg,1.0000\n"
    for part, patient in (("train", "aaaaaaac"), ("dev", "aaaaaajy"), ("eval", "aaaaaaaq")):
        path = edf(f"edf/{part}/{patient}/s001_2002/02_tcp_le/{patient}_s001_t000.edf", channels=LE)
        path.with_suffix(".csv_bi").write_text(HEADER + COLUMNS + rows)
        path.with_suffix(".csv").write_text(HEADER + COLUMNS + rows.replace("TERM", "FP1-F7"))
    _, corpus = take_in(tmp_path / "tree")
    assert only(corpus, "dataset") == ["tusz"] * 3
    assert only(corpus, "split") == ["test", "train", "validation"]
    assert set(labels_of(corpus, "seizure")) == {(0, 4.5, (0.0,)), (4.5, 4.5, (1.0,)), (9, 3, (0.0,))}


def test_tuar_several_artefacts_at_one_time_are_left_out_and_counted(
    tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn, labels_of: LabelsOf
) -> None:
    path = edf("edf/01_tcp_ar/aaaaaaju_s005_t000.edf")
    path.with_suffix(".csv").write_text(
        HEADER
        + COLUMNS
        + "FP1-F7,1.0000,3.0000,eyem,1.000000\nFP2-F8,1.0000,3.0000,eyem,1.000000\n"
        + "F7-T3,4.0000,6.0000,musc,1.000000\nT3-T5,4.0000,6.0000,elec,1.000000\n"
        + "T5-O1,7.0000,8.0000,eyem_musc,1.000000\nT5-O1,8.0000,10.0000,elpp,1.000000\n"
    )
    _, corpus = take_in(tmp_path / "tree")
    assert labels_of(corpus, "artefact") == [(1, 2, (0.0,)), (8, 2, (4.0,))]
    assert [list(found) for found in corpus.accepted()["warnings"]] == [["excluded_several_or_other_artefacts=2"]]


@pytest.mark.parametrize("whole", [True, False])
def test_tusl_events_of_ten_seconds(
    tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn, labels_of: LabelsOf, whole: bool
) -> None:
    path = edf("edf/aaaaaaju/s005_2010/01_tcp_ar/aaaaaaju_s005_t000.edf", seconds=25)
    path.with_suffix(".tse_agg").write_text(
        "version = tse_v1.0.0\n\n1.0000 11.0000 slow 1.0000\n12.0000 22.0000 seiz 1.0000\n"
        if whole
        else "version = tse_v1.0.0\n\n"
    )
    if not whole:
        path.with_suffix(".tse_agg").rename(path.with_name("other.tse_agg"))
        path.with_suffix(".csv").write_text(
            HEADER + COLUMNS + "FP1-F7,1.0,11.0,slow,1.0\nF7-T3,1.0,11.0,slow,1.0\nF7-T3,12.0,22.0,seiz,1.0\n"
        )
    _, corpus = take_in(tmp_path / "tree")
    assert only(corpus, "dataset") == ["tusl"]
    assert labels_of(corpus, "slowing") == [(1, 10, (1.0,)), (12, 10, (2.0,))]


def test_a_patient_of_two_corpora_is_one_subject(tmp_path: Path, edf: Callable[..., Path], take_in: TakeIn) -> None:
    edf("tuab/edf/eval/normal/01_tcp_ar/aaaaaaac_s003_t000.edf")
    path = edf("tusz/edf/train/aaaaaaac/s001_2002/02_tcp_le/aaaaaaac_s001_t000.edf", channels=LE)
    path.with_suffix(".csv_bi").write_text(HEADER + COLUMNS)
    _, corpus = take_in(tmp_path / "tree")
    assert only(corpus, "dataset") == ["tuab", "tusz"]
    assert len(set(only(corpus, "subject_key"))) == 1
