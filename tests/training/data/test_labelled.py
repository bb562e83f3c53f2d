import numpy as np
import pytest

from labram.errors import CorpusError, LabelError, RecipeError
from labram.recipe import AlignmentRecipe, TaskRecipe
from labram.training.data.labelled import LabelledWindows

MONTAGE = ("FP1", "FP2")


@pytest.fixture
def ramps(tiny):
    """Two recordings of 10 s whose value in µV is the time in seconds."""
    for name in ("a", "b"):
        tiny.add(name, MONTAGE, np.tile(np.arange(2000) / 200, (2, 1)), subject=f"s-{name}")
    return tiny


def test_windows_are_cut_consecutively_from_the_start_of_each_interval(ramps, task_recipe):
    ramps.label("a", "rhythm", 0.5, 5.0, 1)
    ramps.label("b", "rhythm", 8.0, 2.0, 0)
    windows = LabelledWindows.load(ramps.corpus, ramps.store, task_recipe(), "train")
    (group,) = windows.groups
    assert group.starts.tolist() == [100, 500, 1600]
    assert windows.y.tolist() == [1, 1, 0]
    assert windows.subject_keys.tolist() == ["s-a", "s-a", "s-b"]
    (signals,) = group.signals(3)
    np.testing.assert_allclose(signals[:, 0, 0], [0.5, 2.5, 8.0], atol=0.01)
    assert signals.shape == (3, 2, 400)


def test_training_windows_may_overlap_and_stay_within_their_interval(ramps, task_recipe):
    ramps.label("a", "rhythm", 0.5, 5.0, 1)
    ramps.label("b", "rhythm", 8.0, 1.9, 0)
    (group,) = LabelledWindows.load(ramps.corpus, ramps.store, task_recipe(), "train", overlap=0.75).groups
    assert group.starts.tolist() == [100, 200, 300, 400, 500, 600, 700]


def test_the_model_sees_units_of_100_microvolts(ramps, task_recipe):
    ramps.label("a", "rhythm", 0.0, 10.0, 1)
    windows = LabelledWindows.load(ramps.corpus, ramps.store, task_recipe(), "train")
    (batch,) = windows.batch(np.array([3]))
    assert batch.x.shape == (1, 2, 2, 200)
    np.testing.assert_allclose(batch.x[0, 0, 0, 0] * 100, 6.0, atol=0.01)


def test_nothing_reaches_beyond_the_recording(ramps, task_recipe):
    ramps.label("a", "rhythm", 7.0, 30.0, 1)
    ramps.label("b", "rhythm", 9.5, 4.0, 1)
    windows = LabelledWindows.load(ramps.corpus, ramps.store, task_recipe(), None)
    assert [group.starts.tolist() for group in windows.groups] == [[1400]]


def test_a_window_that_begins_before_the_recording_wraps_around_to_its_end(ramps, task_recipe):
    ramps.label("b", "rhythm", -1.5, 2.0, 1)
    (group,) = LabelledWindows.load(ramps.corpus, ramps.store, task_recipe(), None).groups
    (window,) = next(group.signals(1))
    np.testing.assert_allclose(window[0, [0, 299, 300, 399]], [8.5, 9.995, 0.0, 0.495], atol=0.01)


def test_windows_of_other_splits_tasks_and_datasets_stay_out(mixed, task_recipe):
    for split, names in (("train", {"r0", "r1", "r2"}), ("validation", {"r4", "r5"}), ("test", {"r6"})):
        windows = LabelledWindows.load(mixed.corpus, mixed.store, task_recipe(), split)
        assert set(windows.recording_ids.tolist()) == names
    assert len(LabelledWindows.load(mixed.corpus, mixed.store, task_recipe(dataset="other"), None)) == 0


def test_windows_are_grouped_by_montage_and_numbered_through(mixed, task_recipe):
    windows = LabelledWindows.load(mixed.corpus, mixed.store, task_recipe("regression"), "train")
    assert len(windows.groups) == 2
    assert windows.y.shape == (len(windows), 2)
    order = np.random.default_rng(0).permutation(len(windows))
    parts = windows.batch(order)
    assert sum(part.weight for part in parts) == len(windows)
    assert {part.x.shape[1] for part in parts} == {4, 6}
    one_by_one = np.concatenate([windows.batch(np.array([index]))[0].y for index in range(len(windows))])
    np.testing.assert_array_equal(one_by_one, windows.y)


def test_a_label_that_is_no_class_is_an_error(ramps, task_recipe):
    ramps.label("a", "rhythm", 0.0, 10.0, 7)
    with pytest.raises(LabelError, match="expected a label from 0 to 1, got 7"):
        LabelledWindows.load(ramps.corpus, ramps.store, task_recipe(), None)


def test_a_label_of_the_wrong_width_is_an_error(ramps, task_recipe):
    ramps.label("a", "speed", 0.0, 10.0, 7)
    with pytest.raises(LabelError, match="expected labels with 2 values"):
        LabelledWindows.load(ramps.corpus, ramps.store, task_recipe("regression"), None)


def test_windows_of_more_than_256_patches_are_an_error_with_a_remedy(tiny, task_recipe):
    from labram.signals.electrodes import CANONICAL

    tiny.add("big", CANONICAL[:128], np.zeros((128, 4 * 200)))
    tiny.label("big", "rhythm", 0.0, 4.0, 1)
    with pytest.raises(RecipeError, match="Set it to 2 or less"):
        LabelledWindows.load(tiny.corpus, tiny.store, task_recipe(seconds=4), None)


def test_windows_with_an_excluded_second_are_left_out_and_counted(tiny, task_recipe):
    tiny.add("a", MONTAGE, np.zeros((2, 2000)), excluded_seconds=[4])
    tiny.label("a", "rhythm", 0.5, 9.0, 1)
    windows = LabelledWindows.load(tiny.corpus, tiny.store, task_recipe(), "train")
    assert windows.groups[0].starts.tolist() == [100, 1300]
    assert windows.excluded == 2


def test_a_window_that_wraps_around_has_the_seconds_of_both_ends(tiny, task_recipe):
    for name, second in (("a", 8), ("b", 0), ("c", 5)):
        tiny.add(name, MONTAGE, np.zeros((2, 2000)), excluded_seconds=[second])
        tiny.label(name, "rhythm", -1.5, 2.0, 1)
    windows = LabelledWindows.load(tiny.corpus, tiny.store, task_recipe(), None)
    assert windows.recording_ids.tolist() == ["c"]


def test_bad_channels_of_labelled_windows_are_interpolated(tiny, task_recipe):
    signal = np.tile(np.array([[10.0], [20.0], [30_000.0]]), (1, 2000))
    tiny.add("a", ("TP9", "AF7", "AF8"), signal, interpolated_channels=["AF8"])
    tiny.label("a", "rhythm", 0.0, 4.0, 1)
    (group,) = LabelledWindows.load(tiny.corpus, tiny.store, task_recipe(), "train").groups
    np.testing.assert_allclose(next(group.signals(2))[:, 2], 15.0, atol=1e-3)


@pytest.mark.parametrize("split", ["train", "validation", "test", None])
def test_no_window_is_of_a_dataset_with_guessed_subjects(ramps, task_recipe, split):
    ramps.label("a", "rhythm", 0.0, 10.0, 1)
    ramps.rows[1]["subject_source"] = "guessed"
    with pytest.raises(CorpusError, match=r"corpus\.subject: the subjects of 1 recordings"):
        LabelledWindows.load(ramps.corpus, ramps.store, task_recipe(), split)


@pytest.fixture
def loud_and_quiet(tiny, task_recipe):
    """Two subjects in two recordings each and one montage, and a third in another montage for 2 s only."""
    random = np.random.default_rng(0)
    names = ("FP1", "FP2", "C3", "C4")
    for subject, gain in (("loud", 60.0), ("quiet", 6.0)):
        mixing = gain * random.normal(size=(4, 4))
        for part in "ab":
            name = f"{subject}-{part}"
            tiny.add(name, names, mixing @ random.normal(size=(4, 12 * 200)), subject=subject)
            tiny.label(name, "rhythm", 0.0, 12.0, part == "b")
    tiny.add("short", names[:3], 30 * random.normal(size=(3, 400)), subject="short")
    tiny.label("short", "rhythm", 0.0, 2.0, 1)

    def load(kind):
        recipe = task_recipe().model_copy(update={"alignment": AlignmentRecipe(kind=kind, shrinkage=0.0)})
        return LabelledWindows.load(tiny.corpus, tiny.store, recipe, "train")

    return load


def test_each_subject_is_aligned_on_all_of_its_windows_whatever_their_labels(loud_and_quiet):
    windows = loud_and_quiet("euclidean")
    group = next(group for group in windows.groups if len(group.montage) == 4)
    signals = np.concatenate(list(group.signals(5)))
    for subject in ("loud", "quiet"):
        mine = signals[group.subject_keys == subject]
        assert len(mine) == 12
        centred = mine - mine.mean(axis=-1, keepdims=True)
        covariance = np.einsum("ncs,nds->cd", centred, centred) / (len(mine) * mine.shape[-1])
        np.testing.assert_allclose(covariance, 100 * np.eye(4), atol=0.5)
    batch = group.batch(np.array([7, 0]))
    np.testing.assert_allclose(batch.x.reshape(2, 4, -1) * 100, signals[[7, 0]], rtol=1e-4, atol=1e-3)


def test_the_report_line_names_the_seconds_and_the_subjects_that_are_too_short(loud_and_quiet):
    line, notes = loud_and_quiet("euclidean").describe_alignment()
    assert line.startswith("Euclidean alignment")
    assert "(2 to 24 s each)" in line
    assert notes == ("1 of 3 subjects are too short to align (2 s of 3 channels): only their amplitude is.",)
    assert loud_and_quiet("zscore").describe_alignment()[1] == ()
    assert loud_and_quiet("none").describe_alignment() == ("none", ())


def test_windows_can_be_read_with_another_alignment(loud_and_quiet):
    plain = loud_and_quiet("none")
    assert plain.aligned(AlignmentRecipe(shrinkage=0.0)) is plain
    aligned = plain.aligned(AlignmentRecipe(kind="euclidean", shrinkage=0.0))
    ours, theirs = aligned.groups[-1].batch(range(3)).x, loud_and_quiet("euclidean").groups[-1].batch(range(3)).x
    np.testing.assert_array_equal(ours, theirs)
    assert plain.groups[-1].alignments == {}


@pytest.fixture
def rested(tiny, task_recipe):
    """Two subjects with 6 s without a label, 8 s of rest and 8 s of work each, mixed differently; one has less."""
    random = np.random.default_rng(1)
    names = ("FP1", "FP2", "C3")
    for subject, seconds in (("a", 22), ("b", 22), ("c", 12)):
        mixing = random.normal(scale=20, size=(3, 3))
        work = 3.0 if seconds == 22 else 1.0
        gains = np.repeat([1.0, 1.0, work], [6 * 200, 8 * 200, 8 * 200])[: seconds * 200]
        tiny.add(subject, names, mixing @ random.normal(size=(3, seconds * 200)) * gains, subject=subject)
        if seconds == 22:
            tiny.label(subject, "rhythm", 6.0, 8.0, 0)
            tiny.label(subject, "rhythm", 14.0, 8.0, 1)
        else:
            tiny.label(subject, "rhythm", 0.0, 12.0, 1)

    def load(**alignment):
        settings = task_recipe().model_dump() | {"classes": ["rest", "work"], "alignment": alignment}
        return LabelledWindows.load(tiny.corpus, tiny.store, TaskRecipe.model_validate(settings), "train")

    return load


def sizes(windows, subject):
    """SD over all channels of a subject's aligned windows, by label."""
    (group,) = windows.groups
    signals = np.concatenate(list(group.signals(64)))
    mine = group.subject_keys == subject
    return [float(signals[mine & (group.y == label)].std()) for label in (0, 1)]


def test_an_alignment_on_rest_leaves_its_windows_out_and_keeps_what_work_differs_in(rested):
    everything = rested(kind="euclidean", shrinkage=0.0)
    (all_windows,) = everything.groups
    windows = rested(kind="euclidean", shrinkage=0.0, **{"from": "rest"}, seconds=4)
    (group,) = windows.groups
    for subject in ("a", "b"):
        scored = group.starts[(group.subject_keys == subject) & (group.y == 0)] / 200
        assert scored.tolist() == [10.0, 12.0], "the first 4 s of rest are for the alignment"
        rest, work = sizes(windows, subject)
        assert rest == pytest.approx(10, rel=0.1)
        assert work == pytest.approx(30, rel=0.1)
        assert sizes(everything, subject)[1] < 15, "alignment on everything shrinks the work"
    assert len(all_windows) - len(group) == 4
    line, notes = windows.describe_alignment()
    assert "on 4 s of rest of each subject, known by their labels and not scored (calibrated) (0 to 4 s each)" in line
    assert notes[0].endswith("only their amplitude is (without any signal: nothing is).")


def test_an_alignment_on_unlabelled_signal_uses_none_of_the_tasks_windows(rested):
    windows = rested(kind="euclidean", shrinkage=0.0, source="unlabelled")
    (group,) = windows.groups
    assert len(group) == len(rested(kind="none").groups[0])
    for subject in ("a", "b"):
        assert group.alignments[subject].seconds == 6
        assert sizes(windows, subject) == pytest.approx([10, 30], rel=0.1)
    assert group.alignments["c"].seconds == 0
    np.testing.assert_array_equal(group.alignments["c"].matrix, np.eye(3))


def test_an_alignment_on_the_first_seconds_uses_no_others(rested):
    (group,) = rested(kind="zscore", seconds=4).groups
    assert {subject: one.seconds for subject, one in group.alignments.items()} == {"a": 4, "b": 4, "c": 4}


def test_fewer_seconds_than_channels_are_an_error_before_training(rested):
    with pytest.raises(RecipeError, match=r"alignment of 3 channels needs 3 s of each subject, not 2 s"):
        rested(kind="euclidean", seconds=2)


@pytest.mark.parametrize(
    ("alignment", "says"),
    [
        ({"kind": "euclidean", "from": "rest"}, "source: rest needs seconds"),
        ({"source": "unlabelled"}, "only for kind: euclidean or zscore"),
        ({"kind": "zscore", "source": "rest", "seconds": 60}, "needs a class named 'rest', not low, high"),
    ],
)
def test_alignments_without_what_they_need_are_errors_of_the_recipe(task_recipe, alignment, says):
    settings = task_recipe().model_dump() | {"classes": ["low", "high"], "alignment": alignment}
    with pytest.raises(ValueError, match=says):
        TaskRecipe.model_validate(settings)
