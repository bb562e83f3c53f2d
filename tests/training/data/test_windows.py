from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labram.corpus.catalogue import Corpus
from labram.errors import CorpusError
from labram.signals.electrodes import CANONICAL
from labram.training.data.windows import WindowSampler, catalogue_digest

LIMITS = {"patches": 48, "micro_batches": 2, "window_patches": 24, "window_seconds": 16}


def sampler(tiny, **changes):
    return WindowSampler.of(tiny.corpus, tiny.store, **{"split": "train", "seed": 0, **LIMITS, **changes})


def same(left, right):
    return all(
        np.array_equal(a.x, b.x) and a.recording_ids == b.recording_ids for a, b in zip(left, right, strict=True)
    )


def test_a_step_is_a_function_of_seed_step_and_catalogue(mixed):
    one, other = sampler(mixed), sampler(mixed)
    other.batch(3)
    assert same(one.batch(7), other.batch(7))
    assert not same(one.batch(7), one.batch(8))
    assert not same(one.batch(7), sampler(mixed, seed=1).batch(7))


def test_the_order_of_the_catalogue_does_not_matter(mixed):
    corpus = mixed.corpus
    turned = Corpus(corpus.catalogue.iloc[::-1], corpus.labels.iloc[::-1])
    again = WindowSampler.of(turned, mixed.store, split="train", seed=0, **LIMITS)
    assert same(sampler(mixed).batch(0), again.batch(0))
    assert catalogue_digest(turned) == catalogue_digest(corpus)


def test_windows_are_the_recordings_in_units_of_100_microvolts(tiny):
    ramp = np.linspace(-500, 500, 2 * 4 * 200).reshape(2, 800)
    tiny.add("ramp", ("FP1", "FP2"), ramp)
    (batch,) = sampler(tiny, micro_batches=1, window_seconds=2).batch(0)
    assert batch.x.dtype == np.float32
    assert batch.rows == (1, 3)
    window = batch.x[0].reshape(2, -1)
    offset = int(np.argmin(np.abs(ramp[0] / 100 - window[0, 0])))
    np.testing.assert_allclose(window, ramp[:, offset : offset + 400] / 100, atol=2e-3)


def test_windows_start_at_any_sample(tiny):
    tiny.add("ramp", ("FP1",), np.arange(4000, dtype=float)[None] / 4)
    batches = [batch for step in range(20) for batch in sampler(tiny, window_seconds=1).batch(step)]
    starts = np.concatenate([batch.x[:, 0, 0, 0] * 400 for batch in batches])
    assert np.count_nonzero(np.round(starts) % 200) > 0.9 * len(starts)


def test_one_montage_a_micro_batch_and_several_in_a_step(mixed):
    for step in range(10):
        batches = sampler(mixed, micro_batches=4).batch(step)
        assert len({batch.montage for batch in batches}) == 2
        assert all(batch.x.shape[1] == len(batch.montage) == len(batch.rows) for batch in batches)


def test_recordings_too_short_for_a_full_window_give_shorter_ones(mixed):
    pools = sampler(mixed).pools
    assert {(len(pool.montage), pool.seconds) for pool in pools} == {(6, 4), (4, 6), (4, 1)}


def test_windows_keep_to_the_budget_of_patches_and_seconds(mixed):
    for limit in (4, 24, 256):
        for batch in sampler(mixed, window_patches=limit, window_seconds=5, patches=96).batch(0):
            windows, channels, seconds, samples = batch.x.shape
            assert samples == 200
            assert seconds <= 5
            assert channels * seconds <= max(limit, channels)
            assert windows * channels * seconds <= 96


def test_lengths_of_windows_are_drawn_where_the_recipe_says_so(mixed):
    seen = Counter()
    for step in range(40):
        for batch in sampler(mixed, min_seconds=2).batch(step):
            seen[len(batch.montage), batch.x.shape[2]] += 1
            assert batch.weight <= LIMITS["patches"]
            assert batch.x.shape[1] * batch.x.shape[2] <= LIMITS["window_patches"]
    assert {seconds for channels, seconds in seen if channels == 6} == {2, 3, 4}
    assert {seconds for channels, seconds in seen if channels == 4} <= {1, 2, 3, 4, 5, 6}
    assert min(seen.values()) > 0


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    channels=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    limits=st.tuples(st.integers(1, 256), st.integers(1, 16), st.integers(1, 512)),
    ranks=st.sampled_from([1, 2, 3, 6]),
    seed=st.integers(0, 1000),
)
def test_the_global_batch_is_the_same_for_any_number_of_ranks_and_keeps_to_its_budget(
    tmp_path_factory, make_tiny, channels, lengths, limits, ranks, seed
):
    tiny = make_tiny(tmp_path_factory.mktemp("store"))
    names = tuple(CANONICAL)[:20]
    for index, seconds in enumerate(lengths):
        montage = names[: channels[index % len(channels)]]
        values = np.random.default_rng(index).normal(size=(len(montage), seconds * 200))
        tiny.add(f"r{index}", montage, values)
    window_patches, window_seconds, patches = limits
    windows = sampler(
        tiny,
        seed=seed,
        micro_batches=6,
        patches=patches,
        window_patches=window_patches,
        window_seconds=window_seconds,
    )
    whole = windows.batch(3)
    shares = [windows.batch(3, slice(rank, None, ranks)) for rank in range(ranks)]
    assert same(whole, [shares[micro % ranks][micro // ranks] for micro in range(6)])
    for batch in whole:
        count, width, seconds, _ = batch.x.shape
        assert width * seconds <= max(window_patches, width)
        assert seconds <= window_seconds
        assert count * width * seconds <= max(patches, width * seconds)
    due = {pool.montage for pool in windows.pools if pool.weight >= sum(p.weight for p in windows.pools) / 6}
    assert due <= {batch.montage for batch in whole}, "a montage due once a step is in every step"


@settings(max_examples=10, deadline=None, derandomize=True)
@given(lengths=st.lists(st.integers(1, 60), min_size=2, max_size=5), seed=st.integers(0, 1000))
def test_every_recording_is_visited_in_proportion_to_its_hours(tmp_path_factory, make_tiny, lengths, seed):
    tiny = make_tiny(tmp_path_factory.mktemp("store"))
    montages = [("FP1", "FP2", "C3"), ("O1",)]
    for index, seconds in enumerate(lengths):
        montage = montages[index % 2]
        tiny.add(f"r{index}", montage, np.zeros((len(montage), seconds * 200)))
    visited = Counter()
    windows = sampler(tiny, seed=seed, window_seconds=4, micro_batches=3)
    for step in range(150):
        for batch in windows.batch(step):
            for name in batch.recording_ids:
                visited[name] += batch.x.shape[2]
    share = np.array([visited[f"r{index}"] for index in range(len(lengths))]) / visited.total()
    due = np.array(lengths) / sum(lengths)
    np.testing.assert_allclose(share, due, atol=0.04)


def test_at_temperature_zero_every_montage_is_as_frequent(mixed):
    drawn = Counter()
    windows = sampler(mixed, temperature=0.0)
    for step in range(100):
        drawn.update(len(batch.montage) for batch in windows.batch(step))
    assert drawn[4] == drawn[6]


def test_validation_windows_are_fixed_and_cover_every_montage(mixed):
    held_out = sampler(mixed, split="validation")
    first, again = held_out.fixed(1), held_out.fixed(1)
    assert same(first, again)
    assert {batch.montage for batch in first} == held_out.montages
    assert len(held_out.montages) == 2
    assert len(held_out.fixed(5)) == 5
    assert {name for batch in first for name in batch.recording_ids} == {"r4", "r5"}


def test_the_end_of_recordings_can_be_kept_from_training(tiny):
    tiny.add("ramp", ("FP1",), np.arange(20 * 200, dtype=float)[None])
    tiny.add("second", ("FP1",), np.zeros((1, 200)))
    before, after = sampler(tiny, span="beginning"), sampler(tiny, span="end")
    seen = np.concatenate([batch.x.ravel() for step in range(40) for batch in before.batch(step)])
    held = np.concatenate([batch.x.ravel() for batch in after.fixed(20)])
    assert seen.max() < 0.9 * 40 <= held.min() + 0.04
    assert "second" in before.pools[0].recording_ids
    assert all("second" not in pool.recording_ids for pool in after.pools)


def test_a_split_without_recordings_is_an_error_with_a_remedy(tiny):
    tiny.add("only", ("FP1",), np.zeros((1, 400)))
    with pytest.raises(CorpusError, match="validation split"):
        sampler(tiny, split="validation")


def test_the_digest_sees_what_training_depends_on(mixed):
    before = catalogue_digest(mixed.corpus)
    mixed.rows[0]["split"] = "test"
    assert catalogue_digest(mixed.corpus) != before


def test_no_window_has_an_excluded_second(tiny):
    signal = np.full((2, 40 * 200), 10.0)
    for second in (7, 20, 21):
        signal[:, second * 200 : (second + 1) * 200] = 9000.0
    tiny.add("loud", ("FP1", "FP2"), signal, excluded_seconds=[7, 20, 21])
    windows = sampler(tiny, window_seconds=5)
    assert [(pool.first.tolist(), pool.lengths.tolist(), pool.seconds) for pool in windows.pools] == [
        ([0, 8, 22], [7, 12, 18], 5)
    ]
    assert all(batch.x.max() < 1 for step in range(30) for batch in windows.batch(step))
    assert windows.excluded == 40 // 5 - (7 // 5 + 12 // 5 + 18 // 5)


def test_segments_shorter_than_the_recordings_windows_are_left_out(tiny):
    tiny.add("loud", ("FP1",), np.zeros((1, 4000)), excluded_seconds=[3, 12])
    (pool,) = sampler(tiny, window_seconds=8).pools
    assert (pool.seconds, pool.first.tolist(), pool.lengths.tolist()) == (8, [4], [8])


def test_bad_channels_are_interpolated_in_windows_and_kept_in_the_store(tiny):
    signal = np.tile(np.array([[10.0], [20.0], [30_000.0]]), (1, 2000))
    tiny.add("bad", ("TP9", "AF7", "AF8"), signal, interpolated_channels=["AF8"])
    (batch, _) = sampler(tiny).batch(0)
    np.testing.assert_allclose(batch.x[:, 2], 0.15, atol=1e-3)
    assert tiny.store.read(tiny.rows[0]["store_key"], 0, 1)[2].min() > 29_000


def test_what_windows_lack_is_part_of_the_catalogues_digest(tiny, make_tiny, tmp_path):
    digests = set()
    for number, columns in enumerate(({}, {"excluded_seconds": [3]}, {"interpolated_channels": ["FP1"]})):
        corpus = make_tiny(tmp_path / str(number))
        corpus.add("same", ("FP1", "FP2"), np.zeros((2, 2000)), **columns)
        digests.add(catalogue_digest(corpus.corpus))
    assert len(digests) == 3
