import numpy as np
import pytest

from labram.signals.interpolation import interpolate

MONTAGE = ("FP1", "FPZ", "FP2", "F3", "FZ", "F4", "C3", "CZ", "C4", "P3", "PZ", "P4", "O1", "OZ", "O2", "CB1")


def smooth(montage: tuple[str, ...]) -> np.ndarray:
    """Return a field that varies linearly over the head, float32 [C, 2, 200] in µV."""
    import mne

    positions = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    by_capitals = {name.upper(): position for name, position in positions.items()}
    heights = np.array([by_capitals.get(name, np.zeros(3)) @ [300.0, 200.0, 100.0] for name in montage])
    return (heights[:, None, None] * np.linspace(-1, 1, 400).reshape(2, 200)).astype(np.float32)


def test_a_bad_channel_of_a_smooth_field_becomes_what_it_was() -> None:
    signals = smooth(MONTAGE)
    expected = signals.copy()
    signals[7] = 32_767.0
    interpolate(signals, MONTAGE, ["CZ"])
    np.testing.assert_array_equal(np.delete(signals, 7, 0), np.delete(expected, 7, 0))
    assert np.abs(signals[7] - expected[7]).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("montage", "bad"),
    [(("TP9", "AF7", "AF8", "TP10"), "AF8"), (MONTAGE, "CB1"), (("FP1-F7", "F7-T7", "FP2-F8"), "FP2-F8")],
    ids=["few channels", "no position", "bipolar"],
)
def test_without_positions_a_bad_channel_becomes_the_mean_of_the_others(montage: tuple[str, ...], bad: str) -> None:
    signals = np.random.default_rng(0).normal(size=(len(montage), 2, 200)).astype(np.float32)
    row = montage.index(bad)
    expected = np.delete(signals, row, 0).mean(axis=0)
    interpolate(signals, montage, [bad])
    np.testing.assert_allclose(signals[row], expected, atol=1e-5)


def test_without_bad_channels_nothing_changes() -> None:
    signals = np.ones((4, 1, 200), np.float32)
    assert interpolate(signals, ("TP9", "AF7", "AF8", "TP10"), []) is signals
