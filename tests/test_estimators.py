"""scikit-learn estimators: they pass its checks, find what is there, and never see a held-out subject."""

import mne
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_predict, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from labram import Labram, LabramClassifier, LabramEmbedder, LabramRegressor, score_groups
from labram.errors import RecipeError, WindowError
from labram.metrics import score
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel

NAMES = ("FP1", "CZ", "O2")
EXPECTED_FAILURES: dict[str, str] = {}
"""Checks of scikit-learn that fail, with the reason."""


@parametrize_with_checks(
    [LabramClassifier(penalty=0.01), LabramRegressor(penalty=1e-4)],
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("backbone")
    weights.save(MaskedModel(BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16)), folder)
    return Labram.from_pretrained(folder, device="cpu")


@pytest.fixture(scope="module")
def states():
    """Windows of six subjects with their own gains: alpha in one state, beta in the other."""
    random = np.random.default_rng(0)
    seconds = np.arange(400) / 200
    y, groups = np.tile([0, 1], 24), np.repeat(np.arange(6), 8)
    waves = np.stack([30 * np.sin(2 * np.pi * ((10, 25)[state] * seconds + random.random((3, 1)))) for state in y])
    x = (waves + random.normal(scale=5, size=waves.shape)) * (1 + groups[:, None, None] / 10)
    return x.astype(np.float32), np.array(["rest", "task"])[y], groups


def test_states_are_told_apart_in_subjects_that_were_held_out(model, states):
    x, y, groups = states
    classifier = LabramClassifier(model, NAMES, sfreq=200)
    found = cross_val_score(classifier, x, y, groups=groups, cv=GroupKFold(3))
    assert found.mean() > 0.85
    features = LabramEmbedder(model, NAMES, sfreq=200).fit_transform(x)
    assert cross_val_score(LabramClassifier(), features, y, groups=groups, cv=GroupKFold(3)) == pytest.approx(found)
    shuffled = np.random.default_rng(1).permutation(y)
    assert cross_val_score(LabramClassifier(), features, shuffled, groups=groups, cv=GroupKFold(3)).mean() < 0.7


def test_the_penalty_is_chosen_over_groups(model, states):
    x, y, groups = states
    fitted = LabramClassifier(model, NAMES, sfreq=200).fit(x, y, groups=groups)
    assert fitted.cv_score_ > 0.9
    assert fitted.classes_.tolist() == ["rest", "task"]
    assert fitted.predict_proba(x).sum(axis=1) == pytest.approx(1)
    assert set(fitted.predict(x)) == {"rest", "task"}
    assert clone(fitted).get_params()["model"] is model or clone(fitted).get_params()["model"].width == model.width


@pytest.mark.parametrize("alignment", ["euclidean", "zscore"])
def test_aligned_groups_are_told_apart_whatever_their_gain(model, states, alignment):
    x, y, groups = states
    louder = x * 3.0
    fitted = LabramClassifier(model, NAMES, sfreq=200, alignment=alignment, penalty=0.1).fit(x, y, groups)
    assert fitted.predict_proba(louder, groups) == pytest.approx(fitted.predict_proba(x, groups), abs=1e-4)
    alone = np.concatenate([fitted.predict_proba(x[groups == group]) for group in range(6)])
    assert alone == pytest.approx(fitted.predict_proba(x, groups), abs=1e-5)


def test_epochs_are_fitted_as_their_array(model, states):
    x, y, _ = states
    info = mne.create_info(list(NAMES), 200.0, "eeg")
    epochs = mne.EpochsArray(x.astype(float) * 1e-6, info, verbose="error")
    by_epochs = LabramClassifier(model, penalty=0.1).fit(epochs, y).predict_proba(epochs)
    by_array = LabramClassifier(model, NAMES, sfreq=200, penalty=0.1).fit(x, y).predict_proba(x)
    assert by_epochs == pytest.approx(by_array, abs=1e-3)


def test_values_are_predicted_in_their_own_unit(model, states):
    x, y, groups = states
    amplitude = np.where(y == "rest", 10.0, 25.0)
    fitted = LabramRegressor(model, NAMES, sfreq=200).fit(x, amplitude, groups)
    assert np.abs(fitted.predict(x) - amplitude).mean() < 2
    two = LabramRegressor(model, NAMES, sfreq=200, penalty=0.01).fit(x, np.stack([amplitude, -amplitude], 1), groups)
    assert two.predict(x)[:, 0] == pytest.approx(-two.predict(x)[:, 1], abs=1e-6)


def test_scores_have_intervals_over_groups(model, states):
    x, y, groups = states
    features = LabramEmbedder(model, NAMES, sfreq=200).fit_transform(x)
    held_out = cross_val_predict(
        LabramClassifier(), features, y, groups=groups, cv=GroupKFold(3), method="predict_proba"
    )[:, 1]
    found = score_groups("binary", y == "task", held_out, groups)
    assert found["auroc"].value == pytest.approx(score("auroc", "binary", (y == "task").astype(float), held_out))
    assert found["auroc"].low <= found["auroc"].value <= found["auroc"].high


def test_what_is_missing_is_named(states):
    x, y, _ = states
    with pytest.raises(WindowError, match="models:/labram-backbone@champion"):
        LabramClassifier(channels=NAMES).fit(x, y)
    with pytest.raises(RecipeError, match="labram adapt"):
        LabramClassifier(strategy="full").fit(x[:, 0], y)
    with pytest.raises(ValueError, match="one class: 'rest'"):
        LabramClassifier().fit(x[:, 0], ["rest"] * len(x))
    with pytest.raises(ValueError, match="a group for each of 48 windows"):
        LabramClassifier().fit(x[:, 0], y, groups=[1, 2])
