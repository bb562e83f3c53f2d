"""Intervals come from subjects, not windows."""

import numpy as np
import pytest

from labram.evaluation import statistics
from labram.evaluation.statistics import Estimate, by_subject, t_interval


def subjects_and_windows(subjects, windows, seed=0):
    generator = np.random.default_rng(seed)
    keys = np.repeat([f"s{index}" for index in range(subjects)], windows)
    y = np.tile([0, 1], subjects * windows // 2)
    return generator, keys, y


def test_draws_are_deterministic_and_do_not_depend_on_the_random_keys_of_subjects():
    one = statistics.bootstrap(["a", "b", "b", "c"], draws=50, seed=4)
    other = statistics.bootstrap(["z", "y", "y", "x"], draws=50, seed=4)
    assert np.array_equal(one.weights, other.weights)
    assert np.array_equal(one.subjects, other.subjects)


def test_every_draw_has_as_many_subjects_as_the_sample():
    draws = statistics.bootstrap(["a", "b", "c"], draws=100, seed=0)
    assert (draws.weights.sum(axis=1) == 3).all()
    assert (draws.weights[0] == 1).all()


def test_more_windows_of_the_same_subjects_do_not_narrow_the_interval():
    def width(windows):
        generator, keys, y = subjects_and_windows(8, windows)
        shift = np.repeat(generator.normal(0, 1, 8), windows)
        scores = statistics.scores(
            "binary", y, 1 / (1 + np.exp(-(y - 0.5) * shift)), statistics.bootstrap(keys, draws=400, seed=1)
        )
        estimate = statistics.estimates(scores, 8)[0]["auroc"]
        return estimate.high - estimate.low

    assert width(200) > 0.7 * width(20)


def test_the_interval_covers_the_true_value_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        means = generator.normal(0.7, 0.1, 20)
        y, keys = np.tile([0, 1], 200), np.repeat(np.arange(20), 20)
        right = generator.uniform(size=400) < np.repeat(means, 20)
        prediction = np.where(right, y, 1 - y).astype(float)
        scores = statistics.scores("binary", y, prediction, statistics.bootstrap(keys, draws=200, seed=0))
        estimate = statistics.estimates(scores, 20)[0]["accuracy"]
        covered += estimate.low <= 0.7 <= estimate.high
    assert 0.85 <= covered / 200 <= 0.99


def test_one_subject_gives_a_value_without_an_interval():
    draws = statistics.bootstrap(["only"] * 10, draws=100, seed=0)
    estimate = statistics.estimates(statistics.scores("binary", np.tile([0, 1], 5), np.tile([0, 1.0], 5), draws), 1)[0]
    assert estimate["auroc"].value == 1
    assert estimate["auroc"].low is None
    assert estimate["auroc"].high is None


def test_draws_with_a_single_class_are_left_out_and_counted():
    keys = np.repeat(["healthy", "ill"], 10)
    y = np.repeat([0, 1], 10)
    draws = statistics.bootstrap(keys, draws=100, seed=0)
    estimates, skipped = statistics.estimates(statistics.scores("binary", y, y * 0.8, draws), 2)
    assert 20 < skipped < 80
    assert estimates["auroc"].low == 1


def test_a_paired_difference_is_surer_than_two_separate_intervals():
    generator, keys, y = subjects_and_windows(12, 40)
    difficulty = np.repeat(generator.uniform(0.1, 0.9, 12), 40)
    noise = generator.normal(size=480)
    worse = y * difficulty + noise
    better = y * (difficulty + 0.5) + noise
    draws = statistics.bootstrap(keys, draws=500, seed=0)
    ours = statistics.scores("binary", y, better, draws)["auroc"]
    theirs = statistics.scores("binary", y, worse, draws)["auroc"]
    difference = statistics.advantage("auroc", ours, theirs, 12)
    separate = statistics.estimates({"ours": ours, "theirs": theirs}, 12)[0]
    assert difference.excludes_zero()
    assert difference.value == pytest.approx(ours[0] - theirs[0])
    assert difference.high - difference.low < separate["ours"].high - separate["theirs"].low


def test_of_an_error_less_is_better():
    assert statistics.advantage("rmse", np.array([1.0]), np.array([3.0]), 1).value == 2
    assert statistics.advantage("r2", np.array([1.0]), np.array([3.0]), 1).value == -2


@pytest.mark.parametrize("subjects", [4, 6, 10])
def test_intervals_of_few_subjects_are_those_of_t_over_subjects_and_cover_as_they_say(subjects):
    """For the mean of one value per subject, where the t interval is exact."""
    from scipy import stats

    generator = np.random.default_rng(subjects)
    covered, too_narrow, ratios = 0, 0, []
    for _ in range(300):
        values = generator.normal(size=subjects)
        draws = statistics.bootstrap(np.arange(subjects), draws=2000, seed=0).weights @ values / subjects
        interval = statistics.estimate(draws, subjects)
        low, high = stats.t.interval(0.95, subjects - 1, values.mean(), stats.sem(values))
        covered += interval.low <= 0 <= interval.high
        percentile = np.quantile(draws[1:], [0.025, 0.975])
        too_narrow += not percentile[0] <= 0 <= percentile[1]
        ratios.append((interval.high - interval.low) / (high - low))
    assert covered / 300 > 0.87
    assert too_narrow / 300 > 1.3 * (1 - covered / 300)
    assert 0.65 < np.median(ratios) < 1.1


def test_a_null_that_must_be_null_is_and_a_difference_is_found_by_exchanging_subjects():
    generator, keys, y = subjects_and_windows(8, 40)
    strong = y + generator.normal(size=320)
    equal = y + generator.normal(size=320)
    weak = 0.1 * y + generator.normal(size=320)

    def p(theirs, draws=128):
        return statistics.swap_test("binary", "auroc", y, strong, theirs, keys, draws=draws, seed=0)

    assert p(equal) > 0.1
    assert p(weak) == pytest.approx(2 / 2**8)
    assert p(weak, draws=60) <= 0.05
    assert p(strong) == 1.0


def test_p_values_of_equal_models_are_small_as_rarely_as_they_say():
    small = 0
    for seed in range(20):
        generator, keys, y = subjects_and_windows(5, 10, seed)
        ours, theirs = (y + 2 * generator.normal(size=50) for _ in range(2))
        small += statistics.swap_test("binary", "auroc", y, ours, theirs, keys, draws=16, seed=0) <= 0.125
    assert small <= 7


def test_the_t_interval_over_subjects_is_that_of_scipy():
    from scipy import stats

    values = np.array([0.7, 0.9, np.nan, 0.8, 0.65])
    found, defined = t_interval(values), values[np.isfinite(values)]
    low, high = stats.t.interval(0.95, 3, loc=defined.mean(), scale=stats.sem(defined))
    assert (found.value, found.low, found.high) == pytest.approx((defined.mean(), low, high))
    assert t_interval(np.array([0.7, np.nan])) == Estimate(value=0.7)
    assert t_interval(np.array([np.nan])) == Estimate(value=None)


def test_each_subject_has_its_own_score_and_none_with_one_class():
    y = np.array([0, 1, 0, 1, 1, 1.0])
    found = by_subject("binary", "auroc", y, np.array([0.1, 0.9, 0.9, 0.1, 0.5, 0.5]), list("aabbcc"))
    np.testing.assert_equal(found, [1.0, 0.0, np.nan])
