"""Networks learn what is there, nothing where nothing is, and stand beside the linear baselines."""

import numpy as np
import pytest

from labram.evaluation import network_baselines
from labram.evaluation.baselines import fit_all, load_all
from labram.evaluation.cross_validation import cross_validate
from labram.linear.features import WindowGroup
from labram.metrics import score
from labram.recipe import TaskRecipe
from tests.evaluation.conftest import CHANNELS, WORKLOAD, eeg
from tests.evaluation.test_cross_validation import workload
from tests.evaluation.test_probed_models import backbone, probed

__all__ = ["backbone", "probed", "workload"]  # fixtures


def task(**changes):
    return TaskRecipe.model_validate(WORKLOAD.model_dump() | {"seconds": 1, "baselines": ["eegnet"], **changes})


def windows(subjects, *, first=0):
    """12 seconds of each state of some subjects, alpha of 3 or 15 µV; the group, and its labels."""
    parts = [eeg(first + row, alpha=3 if row % 2 else 15, seconds=12) for row in range(2 * subjects)]
    signals = np.concatenate([part.reshape(6, 12, 200).swapaxes(0, 1) for part in parts])
    keys = np.repeat([f"s{first + row // 2}" for row in range(2 * subjects)], 12).tolist()
    return WindowGroup([signals], CHANNELS, keys), np.repeat(np.arange(2 * subjects) % 2, 12).astype(float)


@pytest.mark.parametrize("name", ["eegnet", "shallow-fbcsp"])
def test_a_rhythm_is_learnt_and_stored(name, tmp_path):
    settings = task(baselines=[name])
    group, y = windows(5)
    (fitted,) = fit_all(lambda _: [group], y, settings, CHANNELS)
    others, labels = windows(4, first=100)
    predicted = fitted.predict(lambda _: [others])
    assert score("auroc", "binary", labels, predicted) > 0.95
    fitted.save(tmp_path)
    (again,) = load_all(tmp_path)
    assert (again.name, again.card) == (name, fitted.card)
    np.testing.assert_array_equal(again.predict(lambda _: [others]), predicted)
    assert f"from scratch, 6 channels, {fitted.card.parameters} parameters" in fitted.card.describe()


def test_training_again_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(network_baselines, "EPOCHS", 2)
    group, y = windows(4)
    one, two = (fit_all(lambda _: [group], y, task(), CHANNELS)[0].predict(lambda _: [group]) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_nothing_is_learnt_from_random_labels():
    group, y = windows(6)
    shuffled = np.random.default_rng(0).permutation(y)
    (fitted,) = fit_all(lambda _: [group], shuffled, task(), CHANNELS)
    others, labels = windows(6, first=100)
    random = np.random.default_rng(1).permutation(labels)
    assert abs(score("auroc", "binary", random, fitted.predict(lambda _: [others])) - 0.5) < 0.15


def test_targets_are_predicted_in_their_own_unit():
    group, y = windows(5)
    settings = task(kind="regression", classes=["a", "b"], metric="r2", baselines=["shallow-fbcsp"])
    (fitted,) = fit_all(lambda _: [group], np.stack([100 + y, -y], axis=1), settings, CHANNELS)
    others, labels = windows(4, first=100)
    predicted = fitted.predict(lambda _: [others])
    assert score("r2", "regression", np.stack([100 + labels, -labels], axis=1), predicted) > 0.5


def test_one_subject_is_trained_without_a_choice_of_epoch(monkeypatch):
    monkeypatch.setattr(network_baselines, "EPOCHS_UNSELECTED", 2)
    group, y = windows(1)
    (fitted,) = fit_all(lambda _: [group], y, task(), CHANNELS)
    assert fitted.card.epochs == 2
    assert "One training subject" in fitted.card.note


def test_a_network_is_trained_in_every_fold_beside_the_probe(workload, probed, monkeypatch):
    monkeypatch.setattr(network_baselines, "EPOCHS", 2)
    trained_on = []
    train = network_baselines.train

    def noted(name, signals, y, subjects, *arguments):
        trained_on.append(len(np.unique(subjects)))
        return train(name, signals, y, subjects, *arguments)

    monkeypatch.setattr(network_baselines, "train", noted)
    _, folder, _ = probed(pooling="mean")
    settings = task(seconds=4, baselines=["shallow-fbcsp", "spectral"], adaptation={"strategy": "probe"})
    found = cross_validate(*workload, folder, settings, seed=0)
    assert list(found.baselines) == ["shallow-fbcsp", "spectral"]
    assert trained_on == [4, 4]
    assert np.isfinite(found.baselines["shallow-fbcsp"]).all()
