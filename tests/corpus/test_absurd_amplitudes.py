"""Finite numbers that no amplifier outputs: they overflow in filters and spectra, and must not become NaN anywhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import IngestResult
from labram.corpus.quality import check_quality
from labram.corpus.signal_metrics import SignalMetrics
from labram.errors import ReadError, Reason
from labram.recipe import QualityRecipe
from labram.signals.preprocessing import BackEnd, preprocess
from labram.signals.recording import Recording
from labram.store.store import Store, to_patches
from labram.training.data.windows import WindowSampler

TakeIn = Callable[..., tuple[IngestResult, Corpus]]
RATE = 250
CHANNELS = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")


def eeg(seconds: int, seed: int = 0) -> np.ndarray:
    """Return noise with the spectrum of EEG, float32 [6, samples] in µV."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((len(CHANNELS), seconds * RATE)))
    spectrum[:, 1:] /= np.sqrt(np.arange(1, spectrum.shape[1]))
    spectrum[:, 0] = 0.0
    noise = np.fft.irfft(spectrum, seconds * RATE)
    return (20 * noise / noise.std()).astype(np.float32)


def absurd(seconds: int, amplitude: float) -> np.ndarray:
    """Return the same with one channel of a sine, which is finite in float32."""
    signal = eeg(seconds)
    signal[2] = amplitude * np.sin(2 * np.pi * 10 * np.arange(signal.shape[1]) / RATE)
    assert np.isfinite(signal).all()
    return signal


def write_float_brainvision(path: Path, signal: np.ndarray) -> None:
    """Write a BrainVision pair of float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".eeg").write_bytes(np.ascontiguousarray(signal.T, "<f4").tobytes())
    lines = [
        "Brain Vision Data Exchange Header File Version 1.0",
        "[Common Infos]",
        "Codepage=UTF-8",
        f"DataFile={path.stem}.eeg",
        "DataFormat=BINARY",
        "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(CHANNELS)}",
        f"SamplingInterval={1_000_000 // RATE}",
        "[Binary Infos]",
        "BinaryFormat=IEEE_FLOAT_32",
        "[Channel Infos]",
        *(f"Ch{number}={name},,1,µV" for number, name in enumerate(CHANNELS, start=1)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("seconds", [20, 60])  # the reference filters, and the fused ones
@pytest.mark.parametrize("amplitude", [1e35, 1e38])
def test_a_recording_with_an_overflowing_channel_is_damaged_and_leaves_no_entry(
    tmp_path: Path, take_in: TakeIn, seconds: int, amplitude: float
) -> None:
    data = tmp_path / "data" / "any"
    write_float_brainvision(data / "P01" / "sound.vhdr", eeg(seconds))
    write_float_brainvision(data / "P02" / "absurd.vhdr", absurd(seconds, amplitude))
    result, corpus = take_in(tmp_path / "data", ["folder"])
    assert (result.recordings, result.quarantined) == (2, 1)
    assert corpus.quarantined()["reasons"].tolist() == [[Reason.DAMAGED.value]]
    store = Store(tmp_path / "store")
    keys = [path.stem for path in store.root.rglob("*.arrow")]
    assert keys == corpus.accepted()["store_key"].tolist()
    assert np.isfinite(store.patches(keys[0])).all()


@pytest.mark.parametrize("back_end", ["fused", "reference"])
def test_the_error_names_the_channel(back_end: BackEnd) -> None:
    recording = Recording(absurd(60, 1e35), CHANNELS, RATE)
    with pytest.raises(ReadError, match=r"channel 3.*too large for any amplifier") as caught:
        list(preprocess(recording, range(len(CHANNELS)), line_freq_hz=50.0, back_end=back_end))
    assert caught.value.reason is Reason.DAMAGED


def test_a_spectrum_that_overflows_in_one_channel_leaves_the_others_as_they_are() -> None:
    sound, broken = (SignalMetrics(CHANNELS, RATE, 50.0) for _ in range(2))
    for metrics, signal in ((sound, eeg(60)), (broken, absurd(60, 1e25))):
        metrics.add_raw(signal)
        metrics.add_patches(to_patches(eeg(75)[:, : 60 * 200]))
    expected, found = sound.row(), broken.row()
    slopes, channels = found["channel_psd_slope"], expected["channel_psd_slope"]
    assert isinstance(slopes, list)
    assert isinstance(channels, list)
    assert slopes[2] is None
    assert slopes[:2] + slopes[3:] == pytest.approx(channels[:2] + channels[3:])
    assert all(value is None or np.isfinite(value) for value in found.values() if isinstance(value, float))


def test_the_seconds_of_an_electrode_that_comes_off_are_excluded_and_a_bad_channel_is_interpolated(
    tmp_path: Path, take_in: TakeIn
) -> None:
    off, bad = eeg(60), eeg(60, seed=1)
    off[2, 30 * RATE + 50 : 30 * RATE + 75] += 5000.0
    bad[4] *= 40.0
    for name, signal in (("P01/off", off), ("P02/bad", bad)):
        write_float_brainvision((tmp_path / "data" / "any" / name).with_suffix(".vhdr"), signal)
    take_in(tmp_path / "data", ["folder"])
    store, shards = Store(tmp_path / "store"), [tmp_path / "shards" / "0-1"]
    check_quality(shards, tmp_path / "corpus", QualityRecipe(), "train", store=store)
    corpus = Corpus.load(tmp_path / "corpus")
    columns = corpus.accepted()[["excluded_seconds", "interpolated_channels"]]
    assert sorted(columns.to_numpy().tolist()) == [[[], ["O1"]], [[30], []]]
    limits = {"patches": 60, "micro_batches": 4, "window_patches": 30, "window_seconds": 5}
    windows = WindowSampler.of(corpus, store, split="train", seed=0, **limits)
    assert max(np.abs(batch.x).max() for step in range(10) for batch in windows.batch(step)) < 3.0
