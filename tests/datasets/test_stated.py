"""Datasets that a `dataset.yaml` states: subjects, groups, splits and labels from names, tables, events and BIDS."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from labram import recipe as recipes
from labram.corpus.scan import fingerprint, scan
from labram.corpus.splits import assign_splits
from labram.corpus.window_quality import with_window_columns
from labram.datasets import find, patterns
from labram.datasets.base import StatedLabel
from labram.datasets.stated.contradictions import Origin, consistent
from labram.datasets.stated.file_dataset import FileDataset
from labram.datasets.stated.label_table import TableError
from labram.datasets.stated.task_defaults import load_recipe
from labram.datasets.subjects import SubjectPatternError
from labram.errors import CorpusError, LabelError, RecipeError
from labram.inference.find_recordings import find_recordings
from labram.recipe import QualityRecipe, SplitRecipe
from labram.signals.recording import Event, Recording
from labram.store.store import Store

PEOPLE = ("P01", "P02", "P03")
TABLE = {"classes": ["rest", "task"], "labels": {"table": "labels.csv", "file": "file", "label": "condition"}}
LINES = [
    "file;condition",
    *(f"{name}_{part};{label}" for name in PEOPLE for part, label in (("a", "rest"), ("b", "task"))),
]


def task(**changes: object) -> dict[str, object]:
    return {"tasks": {"state": {**TABLE, **changes}}}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Path:
    """Two recordings of each of three people, as EDF: `P01_a.edf` is rest, `P01_b.edf` is task."""
    import edfio

    from tests.fixtures.recordings import CHANNELS, pink

    folder = tmp_path_factory.mktemp("recorded")
    for seed, name in enumerate(f"{name}_{part}.edf" for name in PEOPLE for part in "ab"):
        signals = pink(np.random.default_rng(seed), len(CHANNELS), 1000, 20.0)
        edfio.Edf(
            [
                edfio.EdfSignal(x, 100, label=label, physical_dimension="uV")
                for label, x in zip(CHANNELS, signals, strict=True)
            ]
        ).write(folder / name)
    return folder


@pytest.fixture
def study(tmp_path: Path, recorded: Path) -> Callable[..., Path]:
    """Write a study: copies of the recordings, a dataset file with some keys, and tables by name."""

    def write(*lines: str, encoding: str = "utf-8", **keys: object) -> Path:
        folder = tmp_path / "study"
        shutil.copytree(recorded, folder, dirs_exist_ok=True)
        (folder / "labels.csv").write_text("\n".join(lines or LINES), encoding=encoding)
        stated = {"name": "mine", "line_freq_hz": 50, "subject": r"(?P<subject>P\d+)_(?P<session>\w)"}
        stated |= {"tasks": {"state": TABLE}} | keys
        (folder / "dataset.yaml").write_text(yaml.safe_dump({k: v for k, v in stated.items() if v is not None}))
        return folder

    return write


def labels(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Stated labels by recording: task, onset, duration, label."""
    files = FileDataset.load(folder).recordings(folder)
    return {file.place: [(x.task, x.onset, x.duration, *x.label) for x in file.labels] for file in files}


@pytest.mark.parametrize("table", [False, True])
def test_a_name_that_macos_decomposed_is_the_same_subject(tmp_path, write_edf, table) -> None:
    names = "M\u00fcller/a.edf", "Mu\u0308ller/b.edf"
    for seed, name in enumerate(names):
        write_edf(tmp_path / name, seed=seed)
    rows = "".join(f"{Path(name).name},{Path(name).parent}\n" for name in names)
    (tmp_path / "who.csv").write_text(f"file,who\n{rows}", encoding="utf-8")
    subject = {"table": "who.csv", "file": "file", "subject": "who"} if table else "^(?P<subject>[^/]+)/"
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump({"name": "mine", "line_freq_hz": 50, "subject": subject}))
    assert {file.subject for file in FileDataset.load(tmp_path).recordings(tmp_path)} == {"M\u00fcller"}


class TestTables:
    def test_rows_name_recordings_by_path_name_or_stem(self, study) -> None:
        folder = study("file,condition", "P01_a,rest", "P01_b.edf,task", r".\P02_a.edf,rest")
        found = labels(folder)
        assert found["P01_a.edf"] == [("state", None, None, 0.0)]
        assert found["P01_b.edf"] == [("state", None, None, 1.0)]
        assert found["P02_a.edf"] == [("state", None, None, 0.0)]
        assert found["P03_a.edf"] == []

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_a_byte_order_mark_and_semicolons_are_understood(self, study, encoding) -> None:
        assert labels(study(encoding=encoding)) == labels(study())

    def test_a_pattern_finds_the_value_of_the_column(self, study) -> None:
        source = {**TABLE["labels"], "match": r"P0?(?P<file>\d+)_"}
        found = labels(study("file,condition", "1,rest", "3,task", tasks={"state": {**TABLE, "labels": source}}))
        assert found["P01_a.edf"] == found["P01_b.edf"] == [("state", None, None, 0.0)]
        assert found["P02_a.edf"] == []
        assert found["P03_b.edf"] == [("state", None, None, 1.0)]

    def test_labels_of_people_hold_for_all_their_recordings(self, study) -> None:
        source = {"table": "labels.csv", "subject": "who", "label": "group", "values": {"0": "rest", "1": "task"}}
        found = labels(study("who,group", "P01,0", "P02,1", "P03,1", tasks={"state": {**TABLE, "labels": source}}))
        assert [found[f"{name}_b.edf"][0][-1] for name in PEOPLE] == [0.0, 1.0, 1.0]

    def test_spans_have_start_and_duration_with_decimal_commas(self, study) -> None:
        source = {**TABLE["labels"], "start": "from", "duration": "length"}
        folder = study("file;condition;from;length", "P01_a;rest;0,5;2", "P01_a;task;2,5;3,25",
                       tasks={"state": {**TABLE, "labels": source}})  # fmt: skip
        assert labels(folder)["P01_a.edf"] == [("state", 0.5, 2.0, 0.0), ("state", 2.5, 3.25, 1.0)]

    def test_targets_of_a_regression_are_numbers(self, study) -> None:
        task = {"targets": ["score"], "labels": {**TABLE["labels"], "label": "score"}}
        assert labels(study("file;score", "P01_a;1,5", "P01_b;-2", tasks={"state": task}))["P01_a.edf"] == [
            ("state", None, None, 1.5)
        ]

    def test_unmatched_rows_missing_labels_and_repeated_rows_are_noted_with_their_row(self, study) -> None:
        folder = study("file,condition", "P01_a,rest", "P01_a,rest", "P09_a,task", "P01_b,NaN")
        notes = FileDataset.load(folder).contents(folder).notes
        assert notes == (
            "labels.csv row 5: no value in column 'condition'; not used",
            "labels.csv row 4: no recording for 'P09_a'",
            "labels.csv row 3: repeats another row; used once",
        )

    @pytest.mark.parametrize(
        ("lines", "problem", "remedy"),
        [
            (["file,condition", "P01_a,Rest "], "row 2: 'Rest' is not a class of task 'state', but differs from 'rest'",
             "values: {VALUE: rest}"),
            (["file,condition", "P01_a,calm"], "row 2: 'calm' is not a class", "Correct it to one of rest, task"),
            (["file,condition", "P01_a,01.02.2026"], "looks like a date that a spreadsheet made", "Correct it"),
            (["file,condition", "P01_a,rest", "P01_a,task"], "rows 2 and 3 give overlapping spans of P01_a.edf",
             "Delete one"),
            (["file,condition", "x,rest"], "no row matches a recording: row 2 has 'x', a recording is 'P01_a.edf'",
             "state `match`"),
            (["file,condition", "P01_a,rest,3"], "row 2 has 3 cells, the header 2", "quote cells"),
            (["name,condition", "P01_a,rest"], "no column 'file'", "Use one of its columns: name, condition"),
            (["file,file", "P01_a,rest"], "repeats or lacks a name", "Name each column once"),
            (["file,condition"], "no rows below its header", "Add a header line"),
        ],
    )  # fmt: skip
    def test_what_is_ambiguous_is_an_error_with_row_and_remedy(self, study, lines, problem, remedy) -> None:
        folder = study(*lines)
        with pytest.raises(TableError) as error:
            labels(folder)
        assert problem in str(error.value)
        assert remedy in error.value.remedy
        assert error.value.file == "labels.csv"
        assert not any(name in str(error.value.without_path()) for name in (*PEOPLE, "calm", "Rest", "'x'"))

    def test_overlapping_spans_with_two_labels_and_impossible_spans_are_errors(self, study) -> None:
        tasks = {"state": {**TABLE, "labels": {**TABLE["labels"], "start": "s", "stop": "e"}}}
        with pytest.raises(TableError, match=r"rows 2 and 4 give overlapping spans"):
            labels(study("file,condition,s,e", "P01_a,rest,0,4", "P01_b,rest,0,9", "P01_a,task,3,5", tasks=tasks))
        with pytest.raises(TableError, match=r"row 2: a span from 4 s of -3 s"):
            labels(study("file,condition,s,e", "P01_a,rest,4,1", tasks=tasks))
        with pytest.raises(TableError, match=r"row 2: expected a number in column 's', got '0,5'"):
            labels(study("file,condition,s,e", 'P01_a,rest,"0,5",4', tasks=tasks))

    def test_a_span_within_a_longer_one_and_the_path_contradict_a_table_too(self, study) -> None:
        spans = {**TABLE["labels"], "start": "s", "stop": "e"}
        rows = ["file,condition,s,e", "P01_a,rest,0,9", "P01_a,rest,1,2", "P01_a,task,5,6"]
        with pytest.raises(TableError, match=r"rows 2 and 4 give overlapping spans"):
            labels(study(*rows, tasks={"state": {**TABLE, "labels": spans}}))
        path = {"path": r"_(?P<label>\w)\.", "values": {"a": "task", "b": "task"}}
        with pytest.raises(TableError, match=r"the path and labels.csv row 2 give overlapping spans of P01_a.edf"):
            labels(study(tasks={"state": {**TABLE, "labels": [TABLE["labels"], path]}}))
        agreeing = [TABLE["labels"], {**path, "values": {"a": "rest", "b": "task"}}]
        assert labels(study(tasks={"state": {**TABLE, "labels": agreeing}})) == labels(study())

    def test_a_class_may_be_called_none(self, study) -> None:
        lines = [line.replace("rest", "none") for line in LINES]
        found = labels(study(*lines, tasks={"state": {**TABLE, "classes": ["none", "task"]}}))
        assert [found[f"P01_{part}.edf"] for part in "ab"] == [[("state", None, None, n)] for n in (0.0, 1.0)]

    def test_names_in_tables_match_however_their_umlauts_are_stored(self, study) -> None:
        folder = study("file,condition", "M\u00fcller_a,rest", "Mu\u0308ller_b,task", subject=r"(?P<subject>\w+)_")
        for part in "ab":
            (folder / f"P01_{part}.edf").rename(folder / f"Mu\u0308ller_{part}.edf")
        found = labels(folder)
        assert [rows[0][-1] for rows in found.values() if rows] == [0.0, 1.0]
        of_people = {"table": "labels.csv", "subject": "who", "label": "condition"}
        (folder / "labels.csv").write_text("who,condition\nMu\u0308ller,task\nP02,rest", encoding="utf-8")
        text = (folder / "dataset.yaml").read_text()
        stated = {**yaml.safe_load(text), "tasks": {"state": {**TABLE, "labels": of_people}}}
        (folder / "dataset.yaml").write_text(yaml.safe_dump(stated))
        assert sum(bool(rows) for rows in labels(folder).values()) == 4

    def test_a_long_table_is_read_in_a_time_that_grows_with_its_rows(self) -> None:
        rows = [Origin(StatedLabel("state", float(n), 1.0, (n % 2,)), "labels.csv", n) for n in range(10_000)]
        assert len(consistent("a.edf", rows, [])) == 10_000  # not each with each

    def test_a_name_of_two_recordings_is_an_error(self, study) -> None:
        folder = study("file,condition", "P01_a,rest")
        (folder / "again").mkdir()
        shutil.copy(folder / "P01_a.edf", folder / "again")
        with pytest.raises(TableError, match=r"row 2: 'P01_a' names 2 recordings"):
            labels(folder)

    def test_a_spreadsheet_is_named_with_the_way_out(self, study) -> None:
        folder = study(tasks={"state": {**TABLE, "labels": {**TABLE["labels"], "table": "labels.xlsx"}}})
        with pytest.raises(TableError, match="Export it as CSV"):
            labels(folder)


class TestFile:
    @pytest.mark.parametrize(
        ("keys", "field", "problem"),
        [
            ({"subject": r"P\d+"}, "subject", "no group named 'subject'"),
            ({"subject": None}, "", "state how the subject is found"),
            ({"line_freq": 50}, "line_freq", "unknown key"),
            (task(labels={"from": "edf.age"}), "tasks.state", "edf.age is one target"),
            (task(classes=["rest"]), "tasks.state", "two classes or more"),
            (task(classes=[False, True]), "tasks.state.classes.0", "put it into quotes"),
            (task(labels={"table": "x.csv"}), "tasks.state.labels.0", "the column of the labels"),
            (task(labels={"path": "x"}), "tasks.state.labels.0", "no group named 'label'"),
            (task(labels={"events": {"T1": "calm"}}), "tasks.state", "'calm' is not one of"),
            (task(labels={"bids": "events"}), "", "need bids: true"),
            ({"unit_scale": {".edf": 0}}, "unit_scale", "leaves no signal"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_in_it_is_an_error_with_the_key(self, study, keys, field, problem) -> None:
        with pytest.raises(CorpusError) as error:
            FileDataset.load(study(**keys))
        assert (error.value.file, error.value.field) == ("dataset.yaml", field)
        assert problem in error.value.problem

    def test_a_repeated_key_and_files_outside_the_folder_are_errors(self, study, tmp_path: Path) -> None:
        folder = study()
        text = (folder / "dataset.yaml").read_text()
        (folder / "dataset.yaml").write_text(f"{text}name: other\n")
        with pytest.raises(CorpusError, match="the key 'name' is repeated"):
            FileDataset.load(folder)
        for name in ("../labels.csv", str(tmp_path / "labels.csv")):
            with pytest.raises(CorpusError, match="lies outside the folder"):
                FileDataset.load(study(**task(labels={**TABLE["labels"], "table": name})))
        (folder / "labels.csv").rename(tmp_path / "elsewhere.csv")
        (folder / "labels.csv").symlink_to(tmp_path / "elsewhere.csv")
        (folder / "dataset.yaml").write_text(text)
        with pytest.raises(TableError, match="the table lies outside the folder"):
            labels(folder)

    def test_a_link_out_of_the_folder_is_not_followed(self, study, tmp_path: Path) -> None:
        folder = study()
        (folder / "dataset.yaml").rename(tmp_path / "other.yaml")
        (folder / "dataset.yaml").symlink_to(tmp_path / "other.yaml")
        with pytest.raises(CorpusError, match="a link out of the folder"):
            FileDataset.load(folder)

    def test_suffixes_of_factors_are_as_files_have_them(self, study) -> None:
        assert FileDataset.load(study(unit_scale={"EDF": 1000})).scale(Path("A.EDF")) == 1000.0

    def test_sets_of_globs_are_those_of_shells(self, study) -> None:
        def places(glob: str) -> list[str]:
            folder = study(files=glob, tasks={})
            return [file.place for file in FileDataset.load(folder).recordings(folder)]

        assert places("P0[!12]_a.*") == ["P03_a.edf"]
        assert places("P0[1-2]_b.edf") == ["P01_b.edf", "P02_b.edf"]

    def test_a_pattern_without_end_is_an_error(self, study, monkeypatch) -> None:
        monkeypatch.setattr(patterns, "MOST_SECONDS", 0.1)
        folder = study(subject=r"(?P<subject>(\w+)+)!")
        (folder / "P01_a.edf").rename(folder / f"{'A' * 60}.edf")
        with pytest.raises(CorpusError, match=r"takes more than 0\.1 s for one path"):
            labels(folder)

    def test_it_makes_its_folder_the_dataset_wherever_it_lies(self, study) -> None:
        folder = study()
        for data, names in ((folder, ()), (folder.parent, ()), (folder.parent, ("mine",))):
            ((dataset, found),) = find(data, names)
            assert (dataset.name, found) == ("mine", folder)

    def test_the_name_of_a_built_in_dataset_is_an_error(self, study) -> None:
        with pytest.raises(CorpusError, match="a built-in dataset has this name"):
            find(study(name="eegmat"), ())

    def test_only_files_that_belong_are_recordings(self, study) -> None:
        assert set(labels(study(files="*_a.edf", tasks={}))) == {f"{name}_a.edf" for name in PEOPLE}

    def test_a_pattern_that_misses_a_recording_is_an_error_whose_log_has_no_path(self, study) -> None:
        with pytest.raises(SubjectPatternError) as error:
            labels(study(subject=r"(?P<subject>P0[12])"))
        assert error.value.file == "P03_a.edf"
        assert "P03" not in str(error.value.without_path())

    def test_subjects_come_from_a_table(self, study) -> None:
        lines = ["file,who,day", *(f"P0{n}_{part},s{n % 2},{part}" for n in (1, 2, 3) for part in "ab")]
        folder = study(
            *lines, tasks={}, subject={"table": "labels.csv", "file": "file", "subject": "who", "session": "day"}
        )
        files = list(FileDataset.load(folder).recordings(folder))
        assert [file.subject for file in files] == ["s1", "s1", "s0", "s0", "s1", "s1"]
        assert {file.subject_source for file in files} == {"table"}
        (folder / "labels.csv").write_text("\n".join(lines[:-1]))
        with pytest.raises(TableError, match=r"1 recordings have no row, such as P03_b.edf"):
            labels(folder)

    def test_a_subject_or_group_in_two_splits_is_an_error(self, study) -> None:
        split = {"table": "labels.csv", "file": "file", "split": "set"}
        with pytest.raises(TableError, match=r"rows 2 and 3: subject 'P01' is in two splits: test, train"):
            labels(study("file,set", "P01_a,train", "P01_b,test", split=split, tasks={}))
        with pytest.raises(TableError, match=r"rows 2 and 3: group 'P' is in two splits"):
            labels(study("file,set", "P01_a,train", "P02_a,test", split=split, tasks={}, group="(?P<group>P)"))
        with pytest.raises(TableError, match=r"row 3: unknown split 'tset'; the splits are train, validation, test"):
            labels(study("file,set", "P01_a,train", "P02_a,tset", split=split, tasks={}))
        with pytest.raises(TableError, match=r"rows 2 and 4: P01_a.edf has two values of set"):
            labels(study("file,set", "P01_a,train", "P02_a,test", "P01_a,test", split=split, tasks={}))

    @pytest.mark.parametrize(
        ("keys", "field"),
        [
            ({"group": r"(?P<group>pair\d)"}, "group"),
            (task(labels={"path": r"(?P<label>calm)"}), "tasks.state.labels.path"),
            (task(labels={**TABLE["labels"], "files": "night"}), "tasks.state.labels.files"),
        ],
    )
    def test_a_pattern_that_matches_nothing_is_an_error(self, study, keys, field) -> None:
        with pytest.raises(CorpusError, match="matches none of the 6 recordings") as error:
            labels(study(**keys))
        assert (error.value.file, error.value.field) == ("dataset.yaml", field)

    def test_recordings_without_group_or_split_are_noted(self, study) -> None:
        split = {"table": "labels.csv", "file": "file", "split": "set"}
        folder = study("file,set", "P01_a,train", split=split, tasks={}, group="(?P<group>P01)")
        assert FileDataset.load(folder).contents(folder).notes == (
            "4 recordings have no group, such as P02_a.edf: their subjects are on their own",
            "5 recordings have no split, such as P01_b.edf: it is drawn for them",
        )

    def test_what_is_skipped_is_not_read_and_labels_move_with_it(self, study) -> None:
        source = {**TABLE["labels"], "start": "s", "duration": "d"}
        folder = study("file,condition,s,d", "P01_a,rest,1,3", "P01_a,task,5,2", skip_start=2, skip_end=1, at_most=6,
                       tasks={"state": {**TABLE, "labels": source}})  # fmt: skip
        dataset = FileDataset.load(folder)
        file = next(iter(dataset.recordings(folder)))
        recording = dataset.read(file)
        assert recording.seconds == 6.0
        whole = FileDataset.load(study(tasks={})).read(file)
        np.testing.assert_array_equal(recording.read([0], 0, 5), whole.read([0], 200, 205))
        assert [(x.onset, x.duration, *x.label) for x in dataset.labels(file, recording)] == [(0, 2, 0), (3, 2, 1)]
        assert dataset.read_version(file) != FileDataset.load(study()).read_version(file) == ""

    def test_events_label_what_follows_them(self, study) -> None:
        events = {"events": {"T1": "rest", "T2": "task"}, "tmin": 0.5, "tmax": 2.0}
        dataset = FileDataset.load(folder := study(tasks={"state": {**TABLE, "labels": events}}))
        assert dataset.event_codes == {"T1", "T2"}
        recording = Recording(
            np.zeros((1, 2000)), ("Cz",), 200.0, (Event(1, 0, "T2"), Event(2, 0, "x"), Event(4, 0, "T1"))
        )
        file = next(iter(dataset.recordings(folder)))
        assert [(x.onset, x.duration, *x.label) for x in dataset.labels(file, recording)] == [
            (1.5, 1.5, 1),
            (4.5, 1.5, 0),
        ]
        no_end = FileDataset.load(study(tasks={"state": {**TABLE, "labels": {"events": {"T1": "rest", "T2": "task"}}}}))
        with pytest.raises(LabelError, match="State tmin and tmax"):
            no_end.labels(file, recording)

    def test_words_of_the_path_are_labels(self, study) -> None:
        source = {"path": r"_(?P<label>[ab])\.edf", "values": {"a": "rest", "b": "task"}}
        assert labels(study(tasks={"state": {**TABLE, "labels": source}}))["P02_b.edf"] == [("state", None, None, 1.0)]

    def test_changed_labels_are_another_corpus_version_and_comments_are_not(self, study) -> None:
        first = fingerprint(folder := study())
        text = (folder / "dataset.yaml").read_text()
        (folder / "dataset.yaml").write_text(f"# mine\n{text}")
        assert fingerprint(folder) == first
        assert fingerprint(study(*LINES[:-1], "P03_b;rest")) != first


def test_people_of_two_datasets_of_one_population_have_one_split(study, take_in, tmp_path: Path) -> None:
    folder = study(population="lab")
    night = tmp_path / "night"
    shutil.copytree(folder, night)
    for number, path in enumerate(sorted(night.glob("*.edf"))):  # other recordings of the same people
        path.write_bytes(path.read_bytes()[:-1] + bytes([number]))
    stated = yaml.safe_load((folder / "dataset.yaml").read_text())
    (night / "dataset.yaml").write_text(yaml.safe_dump({**stated, "name": "night"}))
    _, corpus = take_in(tmp_path)
    assert set(corpus.catalogue["dataset"]) == {"mine", "night"}
    assert corpus.catalogue.groupby("subject_key")["recording_id"].count().tolist() == [4, 4, 4]
    splits = assign_splits(corpus, SplitRecipe(validation=0.34, test=0.33, few_subjects="allow"), 0)
    assert sorted(splits.values()) == ["test", "train", "validation"]


def test_predictions_need_no_labels_groups_and_splits(study) -> None:
    folder = study(group={"table": "absent.csv", "subject": "id"}, split={"table": "absent.csv", "subject": "id"},
                   channels={"rename": {"Fp1": "Fpz"}})  # fmt: skip
    (folder / "labels.csv").unlink()
    for sources in (find_recordings([folder]), find_recordings(sorted(folder.glob("*.edf")))):
        assert [source.item.file.subject for source in sources] == ["P01", "P01", "P02", "P02", "P03", "P03"]
        recording = sources[0].item.dataset.read(sources[0].item.file)
        assert (recording.channels[0], recording.notes) == ("Fpz", ("channels_stated",))


def test_a_dataset_limits_the_amplitude_of_its_windows(study, take_in, tmp_path: Path) -> None:
    _, corpus = take_in(study(max_window_uv=30.0))
    assert set(corpus.catalogue["max_window_uv"]) == {30.0}
    limited = with_window_columns(corpus, QualityRecipe(), Store(tmp_path / "store")).catalogue
    assert limited["excluded_fraction"].min() > 0.5
    _, corpus = take_in(study())
    free = with_window_columns(corpus, QualityRecipe(), Store(tmp_path / "store")).catalogue
    assert free["excluded_fraction"].max() == 0.0


def test_an_ingest_stores_labels_and_groups_and_splits_keep_groups_together(study, take_in) -> None:
    folder = study(group=r"(?P<group>P0[12])")
    done, corpus = take_in(folder)
    assert done.quarantined == 0
    assert sorted(label[0] for label in corpus.labels["label"]) == [0.0] * 3 + [1.0] * 3
    assert set(corpus.catalogue["subject_source"]) == {"pattern"}
    assert corpus.catalogue["group_key"].nunique() == 3
    splits = assign_splits(corpus, SplitRecipe(validation=0.3, test=0.3), 0)
    assert sorted(splits.values()) == ["test", "train", "validation"]
    (folder / "dataset.yaml").write_text((folder / "dataset.yaml").read_text().replace("P0[12]", "P"))
    _, together = take_in(folder)
    assert set(assign_splits(together, SplitRecipe(validation=0.3, test=0.3), 0).values()) == {"train"}
    assert take_in(folder)[0].reused == 6


def test_tasks_of_a_recipe_take_from_the_dataset_what_they_do_not_state(study, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("extends: demo\nname: mine\ntasks: [{name: state, dataset: mine, seconds: 3}]")
    task = load_recipe(str(recipe), data=study(tasks={"state": {**TABLE, "title": "Rest or task"}})).task("state")
    assert (task.title, task.kind, task.classes, task.metric, task.seconds) == (
        "Rest or task", "binary", ("rest", "task"), "auroc", 3,
    )  # fmt: skip
    with pytest.raises(RecipeError, match=r"states no kind and no classes and no metric.*Pass --data FOLDER"):
        load_recipe(str(recipe))
    recipe.write_text("extends: demo\nname: mine\ntasks: [{name: workload, dataset: eegmat}]")
    assert load_recipe(str(recipe)).task("workload").classes == ("rest", "arithmetic")


def test_shipped_recipes_are_the_same_with_and_without_what_datasets_state() -> None:
    for name in recipes.available():
        assert load_recipe(name) == recipes.load(name)


def test_the_scan_of_a_named_dataset_needs_its_file(study) -> None:
    folder = study()
    assert len(scan(folder, ["mine"])) == 6
    with pytest.raises(CorpusError, match=r"your own dataset needs a dataset\.yaml"):
        scan(folder, ["yours"])
