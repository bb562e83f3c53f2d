"""Reconstruction from codes: exact if the tokenizer is, and errors in the unit that they claim."""

import mne
import numpy as np
import pytest

from labram.errors import MisfitWeightsError, PlatformError, ReadError
from labram.inference.find_recordings import find_recordings
from labram.inference.predictor import Predictor
from labram.inference.prepare import Settings, prepare
from labram.inference.reconstruct import reconstruct, require_usable, write_errors, write_signals
from labram.inference.unlabelled import cut
from labram.models.spectrum import spectral_targets
from labram.models.tokenizer import Reconstruction
from labram.recipe import AlignmentRecipe
from labram.store.store import Store
from tests.fixtures.small_models import write_edf


@pytest.fixture
def predictor(tokenizer):
    return Predictor(tokenizer, device="cpu")


@pytest.fixture
def windows(tmp_path, predictor):
    path = write_edf(tmp_path / "a.edf", 1, seconds=9)
    store = Store(tmp_path / "store")
    settings = Settings(predictor.preprocessing, predictor.quality)
    return cut([prepare(find_recordings([path])[0], store=store, settings=settings)], store, 4, AlignmentRecipe())


def test_a_perfect_tokenizer_gives_the_signal_back(windows, predictor, monkeypatch):
    def exact(x_BNAT, rows_N):
        return Reconstruction(*spectral_targets(x_BNAT), *spectral_targets(x_BNAT))

    monkeypatch.setattr(predictor.model, "reconstruct", exact)
    result = reconstruct(predictor, windows)
    assert result.original.shape == (2, 6, 800)
    assert result.rebuilt == pytest.approx(result.original, abs=0.01)
    assert result.errors == pytest.approx(0, abs=1e-4)
    assert result.correlation == pytest.approx(1, abs=1e-6)
    amplitude = np.abs(np.fft.rfft(result.original.reshape(2, 6, 4, 200))).mean(axis=(0, 2)) / 100
    assert result.amplitude == pytest.approx(amplitude, rel=1e-4)


def test_amplitudes_of_zero_have_an_error_of_one(windows, predictor, monkeypatch):
    def silent(x_BNAT, rows_N):
        amplitude, phase = spectral_targets(x_BNAT)
        return Reconstruction(amplitude * 0 - 1e3, phase, amplitude, phase)

    monkeypatch.setattr(predictor.model, "reconstruct", silent)
    result = reconstruct(predictor, windows)
    assert result.errors == pytest.approx(1)
    assert result.rebuilt == pytest.approx(0)


def test_signals_and_errors_are_written(windows, predictor, tmp_path):
    result = reconstruct(predictor, windows)
    for name in ("a_raw.fif", "a.edf", "a.npz"):
        write_signals(result, tmp_path / name)
    expected = result.rebuilt.swapaxes(0, 1).reshape(6, -1)
    fif = mne.io.read_raw_fif(tmp_path / "a_raw.fif", verbose="error")
    assert fif.ch_names == list(result.channels)
    assert fif.get_data() * 1e6 == pytest.approx(expected, abs=1e-3)
    edf = mne.io.read_raw_edf(tmp_path / "a.edf", verbose="error")
    assert edf.get_data() * 1e6 == pytest.approx(expected, abs=float(np.ptp(expected)) / 2**15)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["rebuilt"] == pytest.approx(result.rebuilt)
        assert arrays["starts"].tolist() == [0.0, 4.0]
    write_errors(result, tmp_path / "errors.csv")
    rows = (tmp_path / "errors.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "channel,correlation,error_delta,error_theta,error_alpha,error_beta,error_gamma"
    assert [row.partition(",")[0] for row in rows[1:]] == list(result.channels)
    with pytest.raises(PlatformError, match=r"\.fif, \.edf, \.npz"):
        write_signals(result, tmp_path / "a.wav")


def test_what_cannot_be_reconstructed_is_named(windows, backbone, tmp_path):
    with pytest.raises(MisfitWeightsError, match="only a tokenizer"):
        reconstruct(Predictor(backbone, device="cpu"), windows)
    settings = Settings(Predictor(backbone).preprocessing, Predictor(backbone).quality)
    (tmp_path / "empty.edf").touch()
    with pytest.raises(ReadError, match=r"empty\.edf"):
        require_usable(prepare(find_recordings([tmp_path / "empty.edf"])[0], store=Store(tmp_path), settings=settings))
