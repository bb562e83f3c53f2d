"""Folders as labs keep them: drafted, edited in at most three lines, checked and run. Trials, arrays, triads, BIDS."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import scipy.io
import yaml

from labram.corpus.folds import cross_validated
from labram.datasets.stated.task_defaults import load_recipe
from labram.evaluation.folds import folds_of
from labram.store.store import Store
from labram.training.data.labelled import LabelledWindows
from tests.fixtures.recordings import CHANNELS, pink

RATE, SECONDS, TRIALS = 100, 2, 12
Y = np.arange(TRIALS) % 2


def trials(seed: int) -> np.ndarray:
    """Trials [12, 6, 200] in µV; class 1 has a rhythm of 10 Hz over C3."""
    random = np.random.default_rng(seed)
    data = np.stack([pink(random, len(CHANNELS), RATE * SECONDS, 20.0) for _ in range(TRIALS)])
    data[:, 2] += 15 * Y[:, None] * np.sin(2 * np.pi * 10 * np.arange(RATE * SECONDS) / RATE)
    return data


def matlab(folder: Path) -> None:
    for number in range(1, 7):
        scipy.io.savemat(folder / f"sub{number:02}_trials.mat", {"X": trials(number), "y": Y + 1, "fs": 100.0})
    (folder / "channels.txt").write_text("\n".join(CHANNELS))


def triads(folder: Path) -> None:
    info = mne.create_info(list(CHANNELS), RATE, "eeg", verbose="error")
    events = np.c_[np.arange(TRIALS) * 200, np.zeros(TRIALS, int), Y]
    for number, person in ((number, person) for number in range(1, 7) for person in "ABC"):
        data = trials(10 * number + ord(person)) * 1e-6
        epochs = mne.EpochsArray(data, info, events, event_id={"alone": 0, "together": 1}, verbose="error")
        epochs.save(folder / f"triad{number:02}_{person}-epo.fif", verbose="error")


def arrays(folder: Path) -> None:
    np.save(folder / "X.npy", np.concatenate([trials(number) for number in range(6)]).astype(np.float32))
    np.save(folder / "y.npy", np.tile(Y, 6))
    rows = [f"P{number},{trial // 6},{20 + number}" for number in range(6) for trial in range(TRIALS)]
    (folder / "meta.csv").write_text("\n".join(["participant,session,age", *rows]))
    (folder / "channels.txt").write_text("\n".join(CHANNELS))


def bids(folder: Path) -> None:
    """Two people with one recording each, as of eegmmidb."""
    (folder / "dataset_description.json").write_text('{"Name": "Motor", "BIDSVersion": "1.10.0"}')
    info = mne.create_info(list(CHANNELS), RATE, "eeg", verbose="error")
    for number in (1, 2):
        path = folder / f"sub-{number:03}" / "eeg" / f"sub-{number:03}_task-motor_eeg.edf"
        path.parent.mkdir(parents=True)
        signals = trials(number).transpose(1, 0, 2).reshape(len(CHANNELS), -1) * 1e-6
        mne.export.export_raw(path, mne.io.RawArray(signals, info, verbose="error"), verbose="error")
        rows = [f"{SECONDS * trial}\t{SECONDS}\t{'right' if y else 'left'}" for trial, y in enumerate(Y)]
        path.with_name(path.name.replace("_eeg.edf", "_events.tsv")).write_text(
            "\n".join(["onset\tduration\ttrial_type", *rows])
        )
        path.with_suffix(".json").write_text(json.dumps({"TaskName": "motor", "PowerLineFrequency": 60}))


STUDIES: dict[str, tuple[Callable[[Path], None], tuple[tuple[str, str], ...]]] = {
    "matlab": (matlab, (("class 1", "left"), ("class 2", "right"))),
    "triads": (triads, ()),
    "arrays": (arrays, (("sampling_rate_hz: 250", "sampling_rate_hz: 100"),)),
    "bids": (bids, ()),
}
"""Each study, and the texts that are edited in its draft."""


@pytest.fixture(params=STUDIES)
def study(request: pytest.FixtureRequest, tmp_path: Path, labram, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drafted folder after the edits, with its drafted recipe beside it."""
    write, edits = STUDIES[request.param]
    folder = tmp_path / request.param
    folder.mkdir()
    write(folder)
    monkeypatch.chdir(tmp_path)
    assert labram("datasets", "init", folder.name)[0] == 0
    path = folder / "dataset.yaml"
    before = path.read_text(encoding="utf-8")
    after = before
    for old, new in edits:
        assert old in after
        after = after.replace(old, new)
    path.write_text(after, encoding="utf-8")
    changed = sum(one != other for one, other in zip(before.splitlines(), after.splitlines(), strict=True))
    assert changed <= 3
    code, out, _ = labram("datasets", "check", folder.name)
    assert code == 0
    assert "Cannot be used" not in out
    assert "4 accepted" in out or "2 accepted" in out
    assert labram("recipe", "init", "--dataset", folder.name, "--out", f"{folder.name}.yaml")[0] == 0
    return folder


def test_every_trial_of_a_drafted_study_is_tested_once_and_apart_from_its_group(
    study: Path, take_in, tmp_path: Path
) -> None:
    recipe = load_recipe(f"{study.name}.yaml", data=study)
    (task,) = recipe.tasks
    _, corpus = take_in(study)
    assert corpus.catalogue["verdict"].eq("accepted").all()
    corpus = cross_validated(corpus, recipe.split, 0, {task.dataset})
    windows = LabelledWindows.load(corpus, Store(tmp_path / "store"), task, None)
    people = {"matlab": 6, "triads": 18, "arrays": 6, "bids": 2}[study.name]
    assert (len(windows), len(set(windows.subject_keys))) == (people * TRIALS, people)
    assert pd.Series(windows.y).value_counts().tolist() == [people * TRIALS // 2] * 2
    folds = folds_of(corpus, windows, task.dataset)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(windows)))
    groups = dict(zip(corpus.catalogue["subject_key"], corpus.catalogue["group_key"], strict=True))
    assert len(set(groups.values()) - {""}) == (6 if study.name == "triads" else 0)
    for fold in folds if study.name == "triads" else ():
        train, test = ({groups[key] for key in windows.subject_keys[part]} for part in (fold.train, fold.test))
        assert not train & test


@pytest.mark.attack
def test_the_run_of_a_drafted_study_ends(study: Path, labram, tmp_path: Path) -> None:
    code, out, _ = labram(
        "run", "--data", study.name, "--recipe", f"{study.name}.yaml", "--debug", "-w", tmp_path / "w"
    )
    assert code == 3  # a debug run promotes nothing
    (task,) = yaml.safe_load((study / "dataset.yaml").read_text(encoding="utf-8"))["tasks"]
    assert re.search(rf"\b{task}\b", out)
