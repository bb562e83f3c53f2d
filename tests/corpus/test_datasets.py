from pathlib import Path

import numpy as np
import pytest
import scipy.io

from labram.datasets import ADAPTERS, find, unused
from labram.datasets.base import LabelSpan, RecordingFile, list_files
from labram.errors import CorpusError, LabelError
from labram.signals.recording import Event, Recording


def touch(root: Path, *places: str) -> Path:
    for place in places:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"-")
    return root


def recording(*events: tuple[float, str], seconds: float = 60.0) -> Recording:
    return Recording(
        np.zeros((1, round(seconds * 100))), ("Cz",), 100.0, tuple(Event(onset, 0.0, code) for onset, code in events)
    )


def sources(name: str, folder: Path) -> dict[str, RecordingFile]:
    return {source.path.relative_to(folder).as_posix(): source for source in ADAPTERS[name].recordings(folder)}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("eegmat", "Subject09_1.edf"),
        ("eegmmidb", "S001/S001R01.edf"),
        ("ssvep_exo", "subject01/record-[2012.07.06-19.02.16].gdf"),
        ("ssvep_exo", "subject01/record-[2012.07.06-19.02.16]_raw.fif"),
        ("uci_smni", "co2a0000368/co2a0000368.rd.000.gz"),
        ("muse", "cueing/subject1/session1/x.csv"),
        ("folder", "anything.bdf"),
    ],
)
class TestFind:
    def test_the_folder_itself_may_be_the_dataset(self, tmp_path: Path, name: str, place: str) -> None:
        touch(tmp_path, place)
        assert find(tmp_path, ()) == [(ADAPTERS[name], tmp_path)]
        assert find(tmp_path, (name,)) == [(ADAPTERS[name], tmp_path)]

    def test_or_a_folder_below_it_of_any_name(self, tmp_path: Path, name: str, place: str) -> None:
        touch(tmp_path / "mine", place)
        folder = tmp_path if name == "folder" else tmp_path / "mine"
        assert find(tmp_path, ()) == [(ADAPTERS[name], folder)]

    def test_a_named_dataset_is_looked_for_under_its_name(self, tmp_path: Path, name: str, place: str) -> None:
        touch(tmp_path / name, place)
        assert find(tmp_path, (name,)) == [(ADAPTERS[name], tmp_path / name)]


def test_several_datasets_side_by_side_are_all_found_and_what_is_left_is_a_plain_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a/Subject01_1.edf", "b/S001/S001R01.edf", "c/else.edf", "stray.bdf", "d/notes.txt")
    found = {adapter.name: (adapter, folder) for adapter, folder in find(tmp_path, ())}
    assert {name: folder.name for name, (_, folder) in found.items()} == {
        "eegmat": "a",
        "eegmmidb": "b",
        "folder": tmp_path.name,
    }
    rest, folder = found["folder"]
    assert [source.path.name for source in rest.recordings(folder)] == ["else.edf", "stray.bdf"]
    assert unused(tmp_path, list(found.values())) == []


def test_what_named_datasets_leave_out_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/Subject01_1.edf", "eegmmidb/S001/S001R01.edf", "c/else.edf", "d/notes.txt")
    assert unused(tmp_path, find(tmp_path, ("eegmmidb",))) == ["a", "c"]


def test_nothing_is_unused_when_the_folder_is_the_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "S001/S001R01.edf", "S002/S002R01.edf")
    assert unused(tmp_path, find(tmp_path, ())) == []


def test_an_absent_folder_is_said_to_be_absent(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder"):
        find(tmp_path / "nowhere", ())


def test_an_empty_folder_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="empty"):
        find(tmp_path, ())


def test_a_folder_without_eeg_says_which_files_are_wanted(tmp_path: Path) -> None:
    touch(tmp_path, "a/notes.txt", "table.csv")
    with pytest.raises(CorpusError, match=r"no EEG file.*\.edf"):
        find(tmp_path, ())


def test_a_dataset_that_is_not_there_is_named_with_where_to_get_it(tmp_path: Path) -> None:
    touch(tmp_path, "Subject01_1.edf")
    with pytest.raises(CorpusError, match=r"muse.*no folder muse.*github"):
        find(tmp_path, ("muse",))


def test_a_dataset_in_another_layout_is_said_to_be_so(tmp_path: Path) -> None:
    touch(tmp_path, "muse/recording.edf")
    with pytest.raises(CorpusError, match="does not have its layout"):
        find(tmp_path, ("muse",))


def test_an_unknown_adapter_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    touch(tmp_path, "Subject01_1.edf")
    with pytest.raises(CorpusError, match=r"eegmatt.*eegmat, "):
        find(tmp_path, ("eegmatt",))


def test_every_adapter_states_what_a_catalogue_needs() -> None:
    for name, adapter in ADAPTERS.items():
        assert adapter.name == name
        assert adapter.line_freq_hz in {50.0, 60.0}
        for text in (adapter.title, adapter.reference, adapter.licence, adapter.citation, adapter.obtain):
            assert text


def test_a_walk_ends_where_links_go_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "a/one.edf", ".hidden/two.edf", "a/.three.edf")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in list_files(tmp_path)] == ["a/one.edf"]


def test_a_folder_in_the_role_of_a_file_is_one_entry(tmp_path: Path) -> None:
    touch(tmp_path, "x.mff/signal1.bin", "x.mff/info.xml")
    assert [path.name for path in list_files(tmp_path)] == ["x.mff"]


class TestFolder:
    def test_every_eeg_file_is_a_recording_and_nothing_else_is(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.edf", "p1/b.BDF", "p1/c.vhdr", "p1/c.eeg", "p1/c.vmrk", "p2/x/d.set", "notes.txt", "t.csv")
        touch(tmp_path, "p3/lost.eeg", "p3/e-eve.fif", "p3/e_raw.fif")
        (tmp_path / "muse.csv").write_text("timestamps,TP9,AF7\n0,1,2\n")
        found = sources("folder", tmp_path)
        assert {place: source.subject for place, source in found.items()} == {
            "a.edf": "a",
            "muse.csv": "muse",
            "p1/b.BDF": "p1",
            "p1/c.vhdr": "p1",
            "p2/x/d.set": "p2",
            "p3/e_raw.fif": "p3",
            "p3/lost.eeg": "p3",
        }

    def test_it_never_has_labels(self, tmp_path: Path) -> None:
        touch(tmp_path, "Subject01_2.edf")
        (source,) = ADAPTERS["folder"].recordings(tmp_path)
        assert list(ADAPTERS["folder"].labels(source, recording())) == []


class TestEegmat:
    def test_rest_is_0_and_arithmetic_is_1_for_the_whole_recording(self, tmp_path: Path) -> None:
        found = sources("eegmat", touch(tmp_path, "Subject07_1.edf", "Subject07_2.edf"))
        rest, arithmetic = found["Subject07_1.edf"], found["Subject07_2.edf"]
        assert rest.subject == arithmetic.subject == "Subject07"
        labels = ADAPTERS["eegmat"].labels
        assert labels(rest, recording(seconds=62)) == [LabelSpan("workload", 0.0, 62.0, (0.0,))]
        assert labels(arithmetic, recording(seconds=62)) == [LabelSpan("workload", 0.0, 62.0, (1.0,))]

    @pytest.mark.parametrize("place", ["Subject07_3.edf", "extra.edf"])
    def test_a_name_that_tells_no_class_has_no_label(self, tmp_path: Path, place: str) -> None:
        found = sources("eegmat", touch(tmp_path, place))
        with pytest.raises(LabelError, match=place):
            ADAPTERS["eegmat"].labels(found[place], recording())


class TestSsvepExo:
    def test_gdf_is_preferred_and_units_are_stated(self, tmp_path: Path) -> None:
        touch(tmp_path, "subject01/record-[a].gdf", "subject01/record-[a]_raw.fif", "subject01/record-[a]-eve.fif")
        touch(tmp_path, "subject02/record-[b]_raw.fif")
        found = sources("ssvep_exo", tmp_path)
        assert len(found) == 3
        assert found["subject01/record-[a].gdf"].alternate_of is None
        assert found["subject01/record-[a]_raw.fif"].alternate_of == tmp_path / "subject01/record-[a].gdf"
        assert found["subject02/record-[b]_raw.fif"].alternate_of is None
        adapter = ADAPTERS["ssvep_exo"]
        assert adapter.scale(Path("x.gdf")) == 1e3
        assert adapter.scale(Path("x.FIF")) == 1e-3

    def test_the_announced_class_holds_for_the_next_onset_with_or_without_stop_codes(self, tmp_path: Path) -> None:
        touch(tmp_path, "subject01/record-[a].gdf")
        (source,) = ADAPTERS["ssvep_exo"].recordings(tmp_path)
        events = ((1.0, "33024"), (4.0, "32779"), (9.0, "32780"), (10.0, "33026"), (13.0, "32779"), (20.0, "32779"))
        assert ADAPTERS["ssvep_exo"].labels(source, recording(*events)) == [
            LabelSpan("ssvep", 5.0, 4.0, (0.0,)),
            LabelSpan("ssvep", 14.0, 4.0, (2.0,)),
        ]

    def test_without_codes_and_event_file_the_label_is_missing(self, tmp_path: Path) -> None:
        touch(tmp_path, "subject01/record-[a]_raw.fif")
        (source,) = ADAPTERS["ssvep_exo"].recordings(tmp_path)
        with pytest.raises(LabelError, match=r"record-\[a\]-eve.fif"):
            ADAPTERS["ssvep_exo"].labels(source, recording())


class TestMuse:
    PLACE = "cueing/subject5/session1/subject5_session1_recording.csv"
    ROWS = (  # trial, cue, target position, validity, tilt, response, correct, reaction time in ms
        (1, 0, 0, 1, 0, 0, 1, 500.0),
        (2, 1, 0, 0, 0, 0, 1, 640.0),
        (3, 1, 1, 1, 0, 1, 0, 700.0),
        (4, 0, 1, 0, 0, 1, 1, 40.0),
    )
    EVENTS = ((5.0, "1"), (7.0, "21"), (10.0, "2"), (12.0, "11"), (17.0, "22"), (22.0, "12"))

    def prepare(self, root: Path, rows: object = ROWS) -> RecordingFile:
        touch(root, self.PLACE)
        scipy.io.savemat((root / self.PLACE).with_name("subject5_session1_behOutput.mat"), {"output": np.array(rows)})
        (source,) = ADAPTERS["muse"].recordings(root)
        return source

    def test_the_nth_target_has_the_nth_reaction_time(self, tmp_path: Path) -> None:
        source = self.prepare(tmp_path)
        assert ADAPTERS["muse"].labels(source, recording(*self.EVENTS)) == [
            LabelSpan("reaction_time", 6.0, 2.0, (0.5,)),
            LabelSpan("reaction_time", 11.0, 2.0, (0.64,)),
            LabelSpan("reaction_time", 16.0, 2.0, (0.7,), "wrong_response"),
            LabelSpan("reaction_time", 21.0, 2.0, (0.04,), "implausible_reaction_time"),
        ]

    def test_the_recording_may_end_before_the_experiment(self, tmp_path: Path) -> None:
        source = self.prepare(tmp_path)
        assert len(ADAPTERS["muse"].labels(source, recording(*self.EVENTS[:4]))) == 2

    def test_markers_that_contradict_the_behaviour_are_not_labels(self, tmp_path: Path) -> None:
        source = self.prepare(tmp_path)
        with pytest.raises(LabelError, match="do not agree"):
            ADAPTERS["muse"].labels(source, recording((7.0, "22")))

    def test_more_markers_than_rows_are_not_labels(self, tmp_path: Path) -> None:
        source = self.prepare(tmp_path, self.ROWS[:2])
        with pytest.raises(LabelError, match="do not agree"):
            ADAPTERS["muse"].labels(source, recording(*self.EVENTS))

    def test_cueing_without_behaviour_has_no_labels(self, tmp_path: Path) -> None:
        touch(tmp_path, self.PLACE)
        (source,) = ADAPTERS["muse"].recordings(tmp_path)
        with pytest.raises(LabelError, match="behOutput"):
            ADAPTERS["muse"].labels(source, recording(*self.EVENTS))

    def test_a_behaviour_file_that_is_none_is_named(self, tmp_path: Path) -> None:
        source = self.prepare(tmp_path)
        touch(tmp_path, "cueing/subject5/session1/subject5_session1_behOutput.mat")
        with pytest.raises(LabelError, match=r"behOutput\.mat"):
            ADAPTERS["muse"].labels(source, recording(*self.EVENTS))

    def test_other_paradigms_are_for_pre_training(self, tmp_path: Path) -> None:
        touch(tmp_path, "P300/subject1/session2/data.csv")
        (source,) = ADAPTERS["muse"].recordings(tmp_path)
        assert source.subject == "subject1"
        assert ADAPTERS["muse"].labels(source, recording((7.0, "21"))) == []
