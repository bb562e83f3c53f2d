"""Labels of BIDS datasets, and their drafts."""

import shutil
from pathlib import Path

import yaml

from labram.datasets import find
from labram.datasets.stated.draft import draft
from labram.datasets.stated.survey import survey
from tests.datasets.test_stated import recorded

__all__ = ["recorded"]  # fixtures


def test_bids_labels_come_from_events_participants_and_scans(tmp_path: Path, recorded: Path) -> None:
    for name in ("sub-01", "sub-02"):
        place = tmp_path / name / "eeg" / f"{name}_task-x_eeg.edf"
        place.parent.mkdir(parents=True)
        shutil.copy(recorded / f"P{name[-2:]}_a.edf", place)
        rows = ["onset\tduration\ttrial_type", "1\t2\tleft", "3.5\t2\tright", "6\t1\tboundary"]
        place.with_name(f"{name}_task-x_events.tsv").write_text("\n".join(rows))
        scan_row = f"filename\tmood\neeg/{place.name}\t{'good' if name == 'sub-01' else 'bad'}"
        (tmp_path / name / f"{name}_scans.tsv").write_text(scan_row)
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (tmp_path / "participants.tsv").write_text("participant_id\tdiagnosis\nsub-01\tcontrol\nsub-02\tpatient")
    tasks = {
        "side": {"classes": ["left", "right"], "labels": {"bids": "events", "tmax": 1.5}},
        "diagnosis": {"classes": ["control", "patient"], "labels": {"bids": "participants", "label": "diagnosis"}},
        "mood": {"classes": ["bad", "good"], "labels": {"bids": "scans", "label": "mood"}},
    }
    (tmp_path / "dataset.yaml").write_text(
        yaml.safe_dump({"name": "mine", "line_freq_hz": 50, "bids": True, "tasks": tasks})
    )
    ((dataset, folder),) = find(tmp_path, ())
    one, two = dataset.recordings(folder)
    assert (one.subject, one.subject_source, one.dataset) == ("sub-01", "bids", "mine")
    found = [(x.task, x.onset, x.duration, *x.label) for x in dataset.labels(two, dataset.read(two))]
    assert found == [("diagnosis", 0, 10, 1), ("mood", 0, 10, 0), ("side", 1, 1.5, 0), ("side", 3.5, 1.5, 1)]
    assert [path.name for path in dataset.sidecars(two)] == ["sub-02_task-x_events.tsv"]


def test_the_values_of_trial_type_are_drafted_as_classes(tmp_path: Path, recorded: Path) -> None:
    tmp_path /= "BIDS"  # the name of a built-in dataset
    place = tmp_path / "sub-01" / "eeg" / "sub-01_task-x_eeg.edf"
    place.parent.mkdir(parents=True)
    shutil.copy(recorded / "P01_a.edf", place)
    place.with_name("sub-01_task-x_events.tsv").write_text("onset\tduration\ttrial_type\n1\t2\tleft\n4\t2\tright")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    stated = yaml.safe_load(draft(survey(tmp_path)))
    assert (stated["name"], stated["bids"]) == ("my_bids", True)
    assert stated["tasks"] == {
        "trial_type": {"classes": ["left", "right"], "labels": {"bids": "events", "label": "trial_type"}}
    }
