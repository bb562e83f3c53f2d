"""Subjects of recordings whose dataset does not state them, and datasets at any depth."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labram import recipe
from labram.corpus.catalogue import Corpus
from labram.corpus.scan import propose_subjects, require_stated_subjects, scan
from labram.corpus.splits import require_labels
from labram.datasets import ADAPTERS, find, subjects, unused
from labram.errors import CorpusError, RecipeError
from labram.registry.model_card import TrainingData, backbone_card
from labram.reporting import corpus as report
from labram.steps.plan_run import plan_run


def touch(root: Path, *places: str) -> Path:
    for place in places:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(place.encode())
    return root


def bids(root: Path, *names: str, line_freq_hz: int = 60) -> Path:
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (root / "task-rest_eeg.json").write_text(json.dumps({"PowerLineFrequency": line_freq_hz, "EEGReference": "Cz"}))
    return touch(root, *(f"{name}/ses-{ses}/eeg/{name}_ses-{ses}_task-rest_eeg.edf" for name in names for ses in "ab"))


def distinct(data: Path, pattern: str = "") -> int:
    return len({(item.dataset.name, item.subject) for item in scan(data, subject=pattern)})


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["P01/session1/a.edf", "P01/session2/a.edf", "P02/session1/a.edf", "P02/session2/a.edf"], 2),
        (["P01/S1/a.edf", "P01/S2/a.edf", "P02/S1/a.edf"], 2),
        (["sub01_restA.edf", "sub01_mathB.edf", "sub02_restA.edf", "sub02_mathB.edf"], 2),
        (["calm/sub01.edf", "math/sub01.edf", "calm/sub02.edf", "math/sub02.edf"], 2),
        (["rest/subject_3.edf", "subject_3/task.edf", "Subject-03_x.edf"], 1),
        (["S01R01.edf", "S01R02.edf", "S02R01.edf"], 2),
        (["S01_p1.edf", "S01_p2.edf", "S02_p1.edf"], 2),
        (["P300_S01.edf", "P300_S02.edf", "P300/S03.edf"], 3),
        (["x/sub-a1/ses-1/one_eeg.edf", "x/sub-a1/ses-2/one_eeg.edf", "x/sub-b2/one_eeg.edf"], 2),
        (["HC12_run1.edf", "HC12_run2.edf", "AD07_run1.edf"], 2),
        (["01/a.edf", "01/b.edf", "02/a.edf"], 2),
        (["anna/session1/a.edf", "anna/session2/b.edf", "berta/a.edf"], 2),
        (["anna_session1.edf", "anna_session2.edf", "berta.edf"], 2),
        (["one.edf", "two.edf"], 2),
    ],
)
class TestNames:
    def test_suggest_the_subjects_which_are_marked_as_guessed(
        self, tmp_path: Path, places: list[str], expected: int
    ) -> None:
        items = scan(touch(tmp_path, *places))
        assert len({item.subject for item in items}) == expected
        assert {item.file.subject_source for item in items} == {"guessed"}

    def test_the_proposed_pattern_matches_every_recording(
        self, tmp_path: Path, places: list[str], expected: int
    ) -> None:
        data = touch(tmp_path, *places)
        proposal = propose_subjects(scan(data), data)
        assert proposal is not None
        assert len(proposal.recordings) == expected
        assert sum(proposal.recordings.values()) == len(places)
        stated = scan(data, subject=proposal.pattern)
        assert {item.file.subject_source for item in stated} == {"pattern"}


def test_the_proposal_counts_subjects_and_recordings_and_gives_a_recipe_to_paste(tmp_path: Path) -> None:
    data = touch(tmp_path, "P01/session1/a.edf", "P01/session2/a.edf", "P02/a.edf")
    proposal = propose_subjects(scan(data), data)
    assert proposal is not None
    assert proposal.counts == "1 subject x 2 recordings, 1 subject x 1 recording"
    assert recipe.load("demo", [f"corpus.subject='{proposal.pattern}'"]).corpus.subject == proposal.pattern
    assert distinct(data, proposal.pattern) == 2


class TestPattern:
    def test_states_subject_and_session(self, tmp_path: Path) -> None:
        data = touch(tmp_path, "day1/x_A.edf", "day2/x_A.edf", "day1/x_B.edf")
        items = scan(data, subject=r"(?P<session>day\d)/x_(?P<subject>[A-Z])\.edf")
        found = {item.relative_path: (item.file.subject, item.file.session) for item in items}
        assert found == {"day1/x_A.edf": ("A", "day1"), "day2/x_A.edf": ("A", "day2"), "day1/x_B.edf": ("B", "day1")}

    def test_a_name_that_macos_decomposed_is_the_same_subject(self, tmp_path: Path) -> None:
        touch(tmp_path, "M\u00fcller/a.edf", "Mu\u0308ller/b.edf", "Mu\u0308ller /c.edf")
        for subject in ("^(?P<subject>[^/]+)/", ""):
            assert distinct(tmp_path, subject) == 1, subject

    def test_that_misses_a_recording_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        data = touch(tmp_path, "P01/a.edf", "other/b.edf")
        with pytest.raises(CorpusError, match="finds no subject") as caught:
            scan(data, subject=r"(?P<subject>P\d+)/")
        assert (caught.value.file, caught.value.field) == ("other/b.edf", "corpus.subject")
        assert "Extend the pattern" in caught.value.remedy
        assert isinstance(caught.value, subjects.SubjectPatternError)
        assert "other" not in str(caught.value.without_path())

    def test_does_not_replace_what_a_dataset_states(self, tmp_path: Path) -> None:
        bids(tmp_path / "a", "sub-01", "sub-02")
        touch(tmp_path, "P01/a.edf")
        items = scan(tmp_path, subject=r"(?P<subject>P\d+)/")
        assert sorted({(item.file.subject_source, item.file.subject) for item in items}) == [
            ("bids", "sub-01"),
            ("bids", "sub-02"),
            ("pattern", "P01"),
        ]

    @pytest.mark.parametrize(
        ("pattern", "problem"),
        [
            (r"P\d+", "no group named 'subject'"),
            (r"(?P<subject>P\d+", "not a regular expression"),
            (r"(?P<subject>P)(?P<run>\d)", "a group 'run'"),
        ],
    )
    def test_that_is_wrong_is_an_error_of_the_recipe(self, pattern: str, problem: str) -> None:
        with pytest.raises(RecipeError, match=problem) as caught:
            recipe.load("demo", [f"corpus.subject='{pattern}'"])
        assert caught.value.field == "corpus.subject"


class TestDepth:
    def test_bids_datasets_are_found_far_below_with_their_sidecars_and_their_own_subjects(self, tmp_path: Path) -> None:
        for name in ("ds1", "ds2"):
            bids(tmp_path / "archive" / "eeg" / name, "sub-01", "sub-02", "sub-03", "sub-04")
        items = scan(tmp_path)
        assert {item.dataset.name for item in items} == {"bids"}
        assert len(items) == 16
        assert distinct(tmp_path) == 8
        assert {item.dataset.line_freq(item.file) for item in items} == {60.0}
        assert {item.file.subject_source for item in items} == {"bids"}
        assert unused(tmp_path, find(tmp_path, ("bids",))) == []

    def test_a_named_dataset_is_found_far_below_and_what_is_left_is_told(self, tmp_path: Path) -> None:
        touch(tmp_path, "x/y/mine/S001/S001R01.edf", "x/else.edf")
        found = find(tmp_path, ("eegmmidb",))
        assert found == [(ADAPTERS["eegmmidb"], tmp_path / "x/y/mine")]
        assert unused(tmp_path, found) == ["x"]

    def test_what_lies_beside_nested_datasets_is_a_plain_folder(self, tmp_path: Path) -> None:
        bids(tmp_path / "a/b", "sub-01")
        touch(tmp_path, "a/c/S01.edf", "a/d/e/Subject01_1.edf")
        found = {item.relative_path: item.dataset.name for item in scan(tmp_path) if item.dataset.name != "bids"}
        assert found == {"a/c/S01.edf": "folder", "Subject01_1.edf": "eegmat"}

    @pytest.mark.parametrize(
        "place", ["2a/A01T.gdf", "S001/S001R01.edf", "chb01/chb01_01.edf", "x/subject_1_session_1.mat"]
    )
    def test_a_layout_claims_no_folder_without_its_names(self, tmp_path: Path, place: str) -> None:
        touch(bids(tmp_path / "ds1", "sub-01").parent, place, "mine/P07/x.edf", "mine/P07/y.edf", "above.edf")
        items = scan(tmp_path)
        found = {item.file.path.relative_to(tmp_path).as_posix(): item for item in items}
        assert len(items) == len(found) == 6
        named = {path: (item.dataset.name, item.file.subject_source) for path, item in found.items()}
        assert named["mine/P07/x.edf"] == named["mine/P07/y.edf"] == named["above.edf"] == ("folder", "guessed")
        assert named["ds1/sub-01/ses-a/eeg/sub-01_ses-a_task-rest_eeg.edf"] == ("bids", "bids")
        assert named[place][0] not in ("folder", "bids")
        assert named[place][1] == "adapter"
        assert unused(tmp_path, find(tmp_path, ())) == []
        assert unused(tmp_path, find(tmp_path, (named[place][0],))) == ["above.edf", "ds1", "mine"]

    def test_a_name_that_a_dataset_does_not_know_is_a_guessed_subject(self, tmp_path: Path) -> None:
        touch(tmp_path, "S001/S001R01.edf", "S001/again_S001.edf", "S002/S002R01.edf")
        found = {item.relative_path: (item.dataset.name, item.file.subject_source) for item in scan(tmp_path)}
        assert found == {
            "S001/S001R01.edf": ("eegmmidb", "adapter"),
            "S001/again_S001.edf": ("eegmmidb", "guessed"),
            "S002/S002R01.edf": ("eegmmidb", "adapter"),
        }

    def test_subjects_do_not_depend_on_where_the_folder_is(self, tmp_path: Path) -> None:
        for name in ("here", "there/below"):
            touch(bids(tmp_path / name / "archive/ds1", "sub-01"), "../mine/P01.edf")
        here, there = ({item.subject for item in scan(tmp_path / name)} for name in ("here", "there/below"))
        assert here == there == {"archive/ds1\0sub-01", "p1"}

    def test_links_in_circles_end(self, tmp_path: Path) -> None:
        bids(tmp_path / "a", "sub-01")
        (tmp_path / "loop").symlink_to(tmp_path)
        assert len(scan(tmp_path)) == 2


class TestTasks:
    def test_a_bids_file_without_a_subject_is_guessed_and_refused_for_tasks(self, tmp_path: Path) -> None:
        touch(bids(tmp_path / "a", "sub-01"), "extra/one_P07.edf")
        items = scan(tmp_path)
        assert sorted(item.file.subject_source for item in items) == ["bids", "bids", "guessed"]
        with pytest.raises(CorpusError, match=r"task 'x' are guessed") as caught:
            require_stated_subjects(items, tmp_path, "x", "bids")
        assert "corpus: {subject: '" in caught.value.remedy
        require_stated_subjects(items, tmp_path, "x", "eegmat")
        stated = scan(tmp_path, subject=r"_(?P<subject>P\d+)")
        require_stated_subjects(stated, tmp_path, "x", "bids")

    def test_a_run_is_refused_when_it_is_planned(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        touch(bids(tmp_path / "data", "sub-01"), "extra/one_P07.edf")
        monkeypatch.setattr(type(ADAPTERS["bids"]), "tasks", {"rest": ("a", "b")})
        task = {"name": "rest", "title": "Rest", "dataset": "bids", "kind": "binary", "classes": ["a", "b"]}
        settings = recipe.load("demo").model_dump(mode="json") | {"tasks": [task | {"metric": "auroc"}], "gates": {}}
        settings["corpus"] = {"datasets": []}
        text = recipe.Recipe.model_validate(settings).to_json()
        with pytest.raises(CorpusError, match="guessed") as caught:
            plan_run(
                data=str(tmp_path / "data"), workspace=str(tmp_path / "w"), recipe=text, force=False, pipeline="retrain"
            )
        assert caught.value.field == "corpus.subject"

    def test_labelled_recordings_of_guessed_subjects_are_refused_after_ingest(self) -> None:
        with pytest.raises(CorpusError, match="1 recordings of task 'x' are guessed"):
            require_labels(corpus("guessed"), "x", "mine", "test")
        require_labels(corpus("pattern"), "x", "mine", "test")


class TestCatalogue:
    def test_ingest_marks_the_rows_and_groups_the_sessions(
        self, tmp_path: Path, write_edf: Callable[..., Path], take_in: Callable[..., tuple[object, Corpus]]
    ) -> None:
        places = [f"P0{number}/session{session}/rest.edf" for number in (1, 2, 3) for session in (1, 2)]
        for seed, place in enumerate(places):
            write_edf(tmp_path / "data" / place, seed=seed)
        _, ingested = take_in(tmp_path / "data")
        rows = ingested.accepted()
        assert len(rows) == 6
        assert rows["subject_key"].nunique() == 3
        assert rows["session"].nunique() == 6
        assert set(rows["subject_source"]) == {"guessed"}
        text = "guessed from folder and file names (6 of 6 recordings, 3 subjects)"
        assert ingested.subjects_guessed_from == text

    def test_catalogues_from_before_the_column_still_load(self, tmp_path: Path) -> None:
        import pyarrow.parquet as pq

        rows = [{"recording_id": name, "dataset": name, "verdict": "accepted"} for name in ("folder", "bids", "eegmat")]
        Corpus.of(rows, []).save(tmp_path)
        path = tmp_path / "catalogue.parquet"
        old = pq.read_table(path).drop_columns(["subject_source"]).replace_schema_metadata(None)
        pq.write_table(old, path)
        assert Corpus.load(tmp_path).catalogue["subject_source"].tolist() == ["guessed", "bids", "adapter"]


def corpus(source: str) -> Corpus:
    row = {
        "recording_id": "r", "dataset": "mine", "subject_key": "mine-1", "subject_source": source, "seconds": 10,
        "verdict": "accepted", "split": "test", "montage": ["CZ"], "content_hash": "c",
    }  # fmt: skip
    label = {"recording_id": "r", "task": "x", "start": 0.0, "seconds": 1.0, "label": [0.0]}
    return Corpus.of([row], [label])


def test_reports_and_model_cards_say_that_subjects_are_guessed() -> None:
    marked = TrainingData.from_corpus(corpus("guessed"))
    assert "**Subjects: guessed from folder and file names" in backbone_card(marked, {"subjects": marked.guessed})
    assert "Subjects: guessed" not in backbone_card(TrainingData.from_corpus(corpus("adapter")), {})
    assert "subjects: guessed from folder and file names" in report._identity(corpus("guessed"))
    assert "no subject is in two" in report._identity(corpus("adapter"))
