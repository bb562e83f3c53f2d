"""Probes: linear models of embeddings, alone or stacked with the spectral model."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from labram.errors import DamagedFileError
from labram.linear import model
from labram.linear.features import WindowGroup
from labram.linear.model import LinearCard, as_predictions
from labram.linear.probe import Probe, ProbeCard, stack

RANDOM = np.random.default_rng(0)


def card(kind="binary", classes=1, **settings):
    fields = {"features": "embedding", "channels": ("O1",), "penalty": 0.1, "pooling": "mean"}
    return LinearCard(kind=kind, classes=classes, **(fields | settings))


def separated(windows, width, by=1.0, seed=0):
    """Features whose first column tells the classes apart."""
    random = np.random.default_rng(seed)
    y = np.tile([0.0, 1.0], windows // 2)
    table = random.normal(size=(windows, width))
    table[:, 0] += by * (2 * y - 1)
    return table, y


def test_a_model_with_more_features_than_windows_is_that_without_rotation():
    table, y = separated(40, 90, by=2.0)
    fitted = model.fit(table, y, card())
    standard = (table - table.mean(axis=0)) / table.std(axis=0)
    plain = LogisticRegression(C=1 / (0.1 * 40), class_weight="balanced", tol=1e-6).fit(standard, y)
    np.testing.assert_allclose(fitted.outputs(table)[:, 0], plain.decision_function(standard), atol=0.02)


def test_the_penalty_is_chosen_on_subjects_that_the_model_has_not_seen():
    table, y = separated(80, 60, by=2.0)
    chosen = model.choose([(card(), table)], y, np.repeat(np.arange(8), 10), "auroc")
    assert chosen.out_of_fold.shape == (80, 1)
    assert chosen.score == pytest.approx(0.9, abs=0.1)
    own = model.fit(table, y, chosen.card).outputs(table)
    assert not np.allclose(own, chosen.out_of_fold)


def test_labels_without_any_relation_to_the_features_are_not_predicted():
    table, _ = separated(200, 30)
    null = model.choose(
        [(card(), table)], RANDOM.permutation(np.tile([0.0, 1.0], 100)), np.repeat(range(10), 20), "auroc"
    )
    assert null.score == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_stack_takes_the_part_that_predicts_and_leaves_the_one_that_does_not(kind):
    y = np.tile([0.0, 1.0, 2.0] if kind == "multiclass" else [0.0, 1.0], 60)
    wide = {"binary": (2 * y - 1)[:, None], "multiclass": 3 * np.eye(3)[y.astype(int)], "regression": y[:, None]}[kind]
    noise = np.random.default_rng(1).normal(size=wide.shape)
    useless = np.random.default_rng(2).normal(size=wide.shape)
    found = stack(kind, [useless, wide + 0.5 * noise], y)
    assert found.share < 0.2
    assert found.weights[1] > 0.5
    assert stack(kind, [wide + 0.5 * noise, useless], y).share > 0.8


def test_two_parts_that_err_independently_are_better_together():
    y = np.tile([0.0, 1.0], 200)
    parts = [((2 * y - 1) + 1.5 * np.random.default_rng(seed).normal(size=400))[:, None] for seed in (1, 2)]
    weights, _, share = stack("binary", parts, y)
    assert share == pytest.approx(0.5, abs=0.15)
    together = as_predictions("binary", weights[0] * parts[0] + weights[1] * parts[1])
    right = [((as_predictions("binary", p) > 0.5) == y).mean() for p in parts]
    assert ((together > 0.5) == y).mean() > max(right)


@pytest.fixture
def stacked():
    """A probe of two-value embeddings that are the means of two channels, and band power."""
    group = windows(np.tile([0.0, 1.0], 10))
    embedding = card(channels=("O1", "O2"), within_subject=True)
    bands = card(channels=("O1", "O2"), features="bands", pooling="")
    tables = (np.column_stack([RANDOM.normal(size=20), np.tile([0.0, 1.0], 10)]), RANDOM.normal(size=(20, 10)))
    parts = tuple(model.fit(t, np.tile([0.0, 1.0], 10), c) for t, c in zip(tables, (embedding, bands), strict=True))
    return Probe(ProbeCard(parts=(embedding, bands), weights=(1.0, 0.25), share=0.8), parts), group


def windows(offsets, subjects=None):
    signals = RANDOM.normal(size=(len(offsets), 2, 400)).astype(np.float32) + np.reshape(offsets, (-1, 1, 1))
    return WindowGroup([signals.astype(np.float32)], ("O1", "O2"), subjects or ["a"] * len(offsets))


def embed(signals, channels):
    assert tuple(channels) == ("O1", "O2")
    return signals.mean(axis=-1)


def test_a_saved_probe_predicts_the_same(stacked, tmp_path):
    probe, group = stacked
    probe.save(tmp_path)
    again = Probe.load(tmp_path)
    np.testing.assert_array_equal(again.predict(lambda _: [group], embed), probe.predict(lambda _: [group], embed))
    assert again.card.describe() == probe.card.describe()
    assert again.within_subject
    assert Probe.load(tmp_path / "elsewhere") is None


def test_a_probe_whose_arrays_were_changed_is_an_error(stacked, tmp_path):
    stacked[0].save(tmp_path)
    (tmp_path / Probe.ARRAYS).write_bytes((tmp_path / Probe.ARRAYS).read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match=r"probe\.npz"):
        Probe.load(tmp_path)


def test_standardisation_within_subjects_removes_what_differs_between_them(stacked):
    probe, _ = stacked
    alone = Probe(ProbeCard(parts=probe.card.parts[:1], weights=(1.0,)), probe.parts[:1])
    offsets = np.tile([0.0, 1.0], 10)
    low = alone.predict(lambda _: [windows(offsets)], embed)
    high = alone.predict(lambda _: [windows(offsets + 500)], embed)
    np.testing.assert_allclose(low > 0.5, high > 0.5)


def test_one_part_is_calibrated():
    y = np.tile([0.0, 1.0], 500)
    logits = ((2 * y - 1) + np.random.default_rng(3).normal(size=1000))[:, None]  # true log odds: twice that
    assert stack("binary", [logits], y).weights[0] == pytest.approx(2, abs=0.3)
    assert stack("binary", [40 * logits], y).weights[0] == pytest.approx(0.05, abs=0.01)


def test_targets_that_no_part_predicts_are_predicted_by_their_mean():
    y = 100 + np.random.default_rng(4).normal(size=(300, 2))
    guesses = 100 + 5 * np.random.default_rng(5).normal(size=(300, 2))
    found = stack("regression", [guesses], y)
    assert found.weights[0] == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(found.offset, [100, 100], atol=2.5)
