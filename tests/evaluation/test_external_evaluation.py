"""A folder of new recordings is prepared as the model's own were, and told apart from what training has seen."""

import shutil
import warnings

import edfio
import numpy as np
import pytest

from labram.corpus.pseudonyms import subject_key
from labram.corpus.scan import hash_content
from labram.datasets.eegmat import Eegmat
from labram.errors import CorpusError, LabelError, LabramWarning, RecipeError
from labram.evaluation.external_evaluation import score_folder
from labram.evaluation.leakage import Ledger, Seen
from labram.evaluation.record import Evaluation
from labram.evaluation.scoring import fit_baselines
from labram.recipe import MODEL_FILE, load
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows, fitting_windows
from labram.training.task_metadata import TaskMetadata

KEY = b"key of the workspace"
NAMES = ("EEG Fp1", "EEG Fp2", "EEG C3", "EEG C4", "EEG O1", "EEG O2", "ECG ECG")


def write_recording(folder, subject, part, seconds=16, rate=500):
    random = np.random.default_rng(10 * subject + part)
    times = np.arange(seconds * rate) / rate
    alpha = 15 if part == 1 else 3
    waves = alpha * np.sin(2 * np.pi * (10 * times + random.random((len(NAMES), 1))))
    data = waves + random.normal(scale=10, size=(len(NAMES), len(times))).cumsum(axis=1) * 0.2
    signals = [
        edfio.EdfSignal(row, rate, label=name, physical_dimension="uV") for row, name in zip(data, NAMES, strict=True)
    ]
    edfio.Edf(signals).write(folder / f"Subject{subject:02d}_{part}.edf")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three subjects in the layout of eegmat."""
    made = tmp_path_factory.mktemp("eegmat")
    for subject in (1, 2, 3):
        for part in (1, 2):
            write_recording(made, subject, part)
    return made


def own(data):
    """Address of a store beside a folder: tests that score the same folder prepare it once."""
    return data.parent / f"store of {data.name}"


def score(model, data, **settings):
    return score_folder(model, data, "workload", store=Store(own(data)), subject_key=KEY, **settings)


def test_every_labelled_window_of_every_subject_is_scored(model, folder, tmp_path):
    evaluation = score(model, folder, corpus_version="v9", out=tmp_path / "out")
    assert (evaluation.n_subjects, evaluation.n_recordings, evaluation.n_windows) == (3, 6, 24)
    assert evaluation.split == "unseen"
    assert evaluation.overlap == 0
    assert evaluation.corpus_version == "v9"
    assert Evaluation.read(tmp_path / "out" / "evaluation.json") == evaluation


def test_the_baseline_that_was_fitted_with_the_model_is_scored_too(model, folder, workload):
    corpus, store = workload
    task = TaskMetadata.read(model).recipe
    test = LabelledWindows.load(corpus, store, task, "test")
    for baseline in fit_baselines(fitting_windows(corpus, store, task), test, task):
        baseline.save(model)
    evaluation = score(model, folder)
    assert evaluation.baseline["auroc"].value > 0.9
    assert not any("baseline" in note for note in evaluation.notes)


def test_notes_name_what_the_model_lacks(model, folder):
    notes = score(model, folder).notes
    assert any("has no recipe" in note for note in notes)
    assert any("has no baseline" in note for note in notes)


def test_the_models_own_recipe_prepares_and_judges_the_recordings(model, folder):
    recipe = load("demo", ["quality.max_median_sd_uv=1", "quality.max_channel_sd_uv=1000"])
    (model / MODEL_FILE).write_text(recipe.to_json())
    with pytest.raises(CorpusError, match="none of 6 recordings can be used"):
        score(model, folder)


def test_a_recording_that_training_has_seen_is_found_by_its_bytes_and_warned_about(model, folder):
    digest = hash_content(folder / "Subject02_1.edf").digest
    Ledger().after("pretraining", Seen.of(["somebody-else"], [digest])).write(model)
    with pytest.warns(LabramWarning, match="1 of 6 recordings were used"):
        evaluation = score(model, folder)
    assert evaluation.overlap == 1
    assert any("do not measure" in note for note in evaluation.notes)


def test_another_recording_of_a_subject_that_training_has_seen_counts_as_overlap(model, folder):
    Ledger().after("workload", Seen.of([subject_key(KEY, Eegmat.name, "Subject03")], [])).write(model)
    with pytest.warns(LabramWarning):
        assert score(model, folder).overlap == 2


def test_a_damaged_recording_is_refused_and_counted_and_the_others_are_scored(model, folder, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in folder.iterdir():
        (mixed / path.name).write_bytes(path.read_bytes())
    (mixed / "Subject03_2.edf").write_bytes(b"0       " + bytes(300))
    evaluation = score(model, mixed)
    assert evaluation.n_recordings == 5
    assert any(note.startswith("1 of 6 recordings were quarantined") for note in evaluation.notes)


def test_a_folder_without_labels_without_the_dataset_or_for_another_task_is_an_error(model, folder, tmp_path):
    unlabelled = tmp_path / "unlabelled"
    unlabelled.mkdir()
    write_recording(unlabelled, 1, 7)
    with pytest.raises(LabelError, match="no labels"):
        score(model, unlabelled)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="empty"):
        score(model, tmp_path / "empty")
    with pytest.raises(RecipeError, match="fine-tuned for the task 'workload', not for 'ssvep'"):
        score_folder(model, folder, "ssvep", store=Store(own(folder)), subject_key=KEY)


def test_a_model_whose_classes_are_no_longer_those_of_the_labels_is_not_scored(model, folder):
    trained = TaskMetadata.read(model).recipe
    swapped = trained.model_copy(update={"classes": trained.classes[::-1]})
    TaskMetadata(recipe=swapped).write(model)
    with pytest.raises(LabelError, match="classes differ from the labels of dataset 'eegmat'"):
        score(model, folder)


def test_the_second_time_nothing_is_prepared_again(model, folder):
    first = score(model, folder)
    before = {path: path.stat().st_mtime_ns for path in own(folder).rglob("*.arrow")}
    assert score(model, folder) == first
    assert {path: path.stat().st_mtime_ns for path in own(folder).rglob("*.arrow")} == before


@pytest.mark.real
def test_real_recordings_are_scored(model, real_eeg, tmp_path):
    some = tmp_path / "eegmat"
    some.mkdir()
    for name in ("Subject09_1", "Subject09_2", "Subject16_1", "Subject16_2"):
        shutil.copy(real_eeg / "eegmat" / f"{name}.edf", some)
    with warnings.catch_warnings():
        warnings.simplefilter("error", LabramWarning)
        evaluation = score(model, some)
    assert (evaluation.n_subjects, evaluation.n_recordings) == (2, 4)
    assert evaluation.n_windows > 50
    assert 0 <= evaluation.headline.value <= 1


def test_the_tables_of_the_new_folder_are_not_kept(model, folder):
    score(model, folder)
    assert not list(own(folder).rglob("catalogue.parquet"))
