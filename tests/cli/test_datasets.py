"""`labram datasets`: a folder as a lab would keep it is drafted, checked and shown; `corpus ingest` finds its file."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from labram.corpus.catalogue import Corpus
from labram.store.store import Store

PEOPLE = tuple(f"VP{number:02}" for number in range(1, 7))


@pytest.fixture
def lab(tmp_path: Path, write_edf) -> Path:
    """Six people with two recordings each, and a CSV as a German spreadsheet exports it."""
    folder = tmp_path / "My Study"
    lines = ["Datei;Bedingung;Alter"]
    for seed, name in enumerate(PEOPLE):
        for part, condition in enumerate(("rest", "arithmetic"), start=1):
            write_edf(folder / f"{name}_{part}.edf", seed=10 * seed + part)
            lines.append(f"{name}_{part}.edf;{condition};{20 + seed},5")
    (folder / "Bedingungen.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return folder


def test_a_folder_is_drafted_checked_shown_and_ingested(labram, lab: Path, tmp_path: Path) -> None:
    code, out, errors = labram("datasets", "init", lab)
    assert (code, errors) == (0, "")
    assert f"Next: labram datasets check '{lab}'" in out
    stated = yaml.safe_load((lab / "dataset.yaml").read_text(encoding="utf-8"))
    assert stated["name"] == "my_study"
    assert stated["tasks"] == {
        "bedingung": {
            "classes": ["rest", "arithmetic"],
            "labels": {"table": "Bedingungen.csv", "file": "Datei", "label": "Bedingung"},
        }
    }
    code, out, _ = labram("datasets", "check", lab)
    assert code == 0
    assert "my_study: 12 recordings, 6 subjects, 0.03 hours" in out
    assert "Quality rules, tried on the beginning of 4 recordings: 4 accepted" in out
    code, out, _ = labram("datasets", "show", lab)
    assert yaml.safe_load(out)["tasks"] == {"bedingung": ["rest", "arithmetic"]}
    code, out, _ = labram("corpus", "ingest", lab, "--store", tmp_path / "store", "--workers", 1)
    assert code == 0
    assert "12 recordings, 12 accepted, 0 quarantined" in out
    assert "guessed" not in out


def test_a_check_counts_labels_by_class_and_split_as_a_run_will_draw_it(labram, lab: Path, tmp_path: Path) -> None:
    labram("datasets", "init", lab)
    code, out, _ = labram("datasets", "check", lab, "--json")
    checked = json.loads(out)
    assert code == 0
    assert [(each["name"], each["subjects"], each["recordings"]) for each in checked["classes"]] == [
        ("rest", 6, 6), ("arithmetic", 6, 6),
    ]  # fmt: skip
    labram("corpus", "ingest", lab, "--store", tmp_path / "store", "--workers", 1)
    code, out, _ = labram("corpus", "status", "--store", tmp_path / "store", "--json")
    (status,) = json.loads(out).values()
    assert checked["classes"][0]["splits"] == status["subjects"]["my_study"]


def test_a_check_names_rows_files_and_classes_that_cannot_be_used(labram, lab: Path) -> None:
    labram("datasets", "init", lab)
    table = lab / "Bedingungen.csv"
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    table.write_text("\n".join([lines[0], *lines[1:6], "VP09_1.edf;rest;3"]), encoding="utf-8")
    (lab / "VP07_1.edf").write_bytes(b"no EDF")
    code, out, _ = labram("datasets", "check", lab)
    assert code == 0
    assert "Bedingungen.csv row 7: no recording for 'VP09_1.edf'" in out
    assert "VP07_1.edf: " in out
    assert "Recordings without labels for task 'bedingung': 8" in out
    assert "task 'bedingung': class 'arithmetic' of 2 subjects; each split needs one, at least 3" in out


def test_an_existing_file_is_kept_unless_forced_and_a_missing_one_is_named(labram, lab: Path) -> None:
    code, _, errors = labram("datasets", "check", lab)
    assert code == 1
    assert "labram datasets init" in errors
    (lab / "dataset.yaml").write_text("name: mine")
    assert "Edit it, or pass --force" in labram("datasets", "init", lab)[2]
    assert (lab / "dataset.yaml").read_text() == "name: mine"
    assert labram("datasets", "init", lab, "--force")[0] == 0


def test_doubts_are_in_the_file_and_on_the_terminal(labram, lab: Path) -> None:
    shutil.copy(lab / "VP01_1.edf", lab / "extra_recording.edf")
    (lab / "Bedingungen.csv").write_text("Datei;Farbe\nVP01_1;a\nVP02_1;a\nVP03_1;b\nVP04_1;b\nVP05_1;c\nVP99_1;c")
    (lab / "trials.mat").write_bytes(b"")
    _, out, _ = labram("datasets", "init", lab)
    text = (lab / "dataset.yaml").read_text(encoding="utf-8")
    for doubt in ("the spectra have no clear peak", "1 of 6 rows match no recording", "trials.mat is not used"):
        assert doubt in text
        assert doubt in out


def test_a_recipe_is_drafted_with_windows_as_long_as_the_labels_allow(labram, lab: Path, tmp_path: Path) -> None:
    labram("datasets", "init", lab)
    out = tmp_path / "mine.yaml"
    code, text, _ = labram("recipe", "init", "--dataset", lab / "dataset.yaml", "--out", out)
    assert code == 0
    assert f"Next: labram run --data '{lab}' --recipe {out}" in text
    assert "about 3 minutes" in out.read_text() or "about 4 minutes" in out.read_text()
    code, text, _ = labram("recipe", "show", out, "--data", lab)
    (task,) = yaml.safe_load(text)["tasks"]
    assert (task["kind"], task["classes"], task["seconds"]) == ("binary", ["rest", "arithmetic"], 10)
    assert (task["adaptation"]["strategy"], task["adaptation"]["stack"]) == ("probe", True)
    assert "Pass --out, or --force" in labram("recipe", "init", "--dataset", lab, "--out", out)[2]


def test_of_two_people_models_of_one_person_are_drafted(labram, lab: Path, tmp_path: Path) -> None:
    for path in lab.glob("VP0[3-6]*.edf"):
        path.unlink()
    labram("datasets", "init", lab)
    _, out, _ = labram("datasets", "check", lab)
    assert "2 subjects: models of one person only (split.kind: within-session)" in out
    assert "cannot be trained" not in out
    recipe = tmp_path / "mine.yaml"
    assert "at least 3" not in labram("recipe", "init", "--dataset", lab, "--out", recipe)[1]
    assert yaml.safe_load(recipe.read_text())["split"] == {"kind": "within-session", "pretraining": "all"}


def test_the_file_of_an_id_and_the_id_of_a_file_are_found_with_its_verdict(labram, lab: Path, tmp_path: Path) -> None:
    labram("datasets", "init", lab)
    (lab / "VP07_1.edf").write_bytes(b"no EDF")
    workspace = tmp_path / "ws"
    labram("corpus", "ingest", lab, "--store", workspace / "store", "--workers", 1)
    code, out, _ = labram("corpus", "find", "VP02_1", "--data", lab, "--workspace", workspace)
    assert code == 0
    assert out.startswith("VP02_1.edf: accepted, ")
    ids = [line.split()[1] for line in out.splitlines() if line.startswith("  id ")]
    catalogue = Corpus.load(Store(workspace / "store").corpora()[0])
    assert len(set(ids) & set(catalogue.catalogue["recording_id"])) == 1
    for each in ids:
        assert labram("corpus", "find", each, "--data", lab, "--workspace", workspace)[1] == out
    _, out, _ = labram("corpus", "find", "VP07_1.edf", "--data", lab, "--workspace", workspace)
    assert "VP07_1.edf: quarantined" in out
    assert "copy it again" in out
    code, _, errors = labram("corpus", "find", "VP99", "--data", lab, "--workspace", workspace)
    assert (code, "no recording 'VP99'" in errors) == (1, True)


def test_the_old_name_of_the_list_is_accepted(labram) -> None:
    assert labram("corpus", "datasets", "--json") == labram("datasets", "list", "--json")
