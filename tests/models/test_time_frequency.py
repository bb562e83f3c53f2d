"""The time-frequency patch embedding: log spectra in physical units, beside the paper's temporal encoder."""

import dataclasses

import pytest
import torch

from labram.errors import MisfitWeightsError, WeightsError
from labram.input_spec import PATCH_SAMPLES, SCALE_UV
from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official import export_checkpoint
from labram.models.patch_embed import SMALLEST_POWER, TemporalEncoder, TimeFrequencyEncoder
from labram.models.tokenizer import Tokenizer

SIZES = {"width": 100, "conv_channels": 4, "depth": 1, "heads": 5, "codes": 16}
TIME = torch.arange(PATCH_SAMPLES) / PATCH_SAMPLES
TIME_FREQUENCY = BackboneConfig(**SIZES, patch_embedding="time-frequency")


def squared_amplitudes(signal_uv):
    """Squared amplitudes in µV² at 1 to 69 Hz [69]."""
    encoder = TimeFrequencyEncoder(4)
    log_power = encoder.log_power((signal_uv / SCALE_UV).reshape(1, 1, 1, PATCH_SAMPLES))
    return 10 ** (log_power + encoder.typical).flatten()


@pytest.mark.parametrize("phase", [0.0, 0.7, 2.0])
def test_a_line_has_its_amplitude_at_any_phase_beside_slow_activity_a_hundred_times_as_large(phase):
    line = 0.5 * torch.sin(2 * torch.pi * 13 * TIME + phase)
    found = squared_amplitudes(line + 50 * torch.sin(2 * torch.pi * 2 * TIME + 0.3))
    assert found[12].sqrt().item() == pytest.approx(0.5, rel=1e-3)
    assert found[1].sqrt().item() == pytest.approx(50, rel=1e-3)
    assert found[20].sqrt().item() < 0.01


def test_a_flat_patch_is_finite():
    assert squared_amplitudes(torch.zeros(PATCH_SAMPLES)).numpy() == pytest.approx(SMALLEST_POWER, rel=1e-3)


def test_without_the_map_of_the_spectrum_it_is_the_papers_encoder(window):
    both, temporal = TimeFrequencyEncoder(4), TemporalEncoder(4)
    temporal.load_state_dict({name: value for name, value in both.state_dict().items() if "spectrum" not in name})
    torch.nn.init.zeros_(both.spectrum.weight)
    torch.nn.init.zeros_(both.spectrum.bias)
    torch.testing.assert_close(both(window), temporal(window), rtol=0, atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Tokenizer(TokenizerConfig(**SIZES, code_width=8, patch_embedding="time-frequency")),
        lambda: MaskedModel(TIME_FREQUENCY),
        lambda: DownstreamModel(TIME_FREQUENCY, 1),
    ],
    ids=["tokenizer", "masked", "downstream"],
)
def test_every_model_has_it_trains_it_and_comes_back_with_it(make, window, rows, tmp_path):
    model = make()
    spectrum = model.encoder.patch_embed.spectrum
    assert 0.2 < spectrum.weight.std().item() < 0.28
    weights.save(model, tmp_path)
    again = weights.load(tmp_path)
    assert again.config == model.config
    torch.testing.assert_close(again.encoder.patch_embed.spectrum.weight, spectrum.weight, rtol=0, atol=0)
    codes, mask = torch.zeros(2, 6, dtype=torch.int64), torch.arange(12).reshape(2, 6) % 2 == 0
    loss = model.loss(window, rows, mask, codes).loss if isinstance(model, MaskedModel) else model(window, rows)
    (loss.loss if isinstance(model, Tokenizer) else loss.sum()).backward()
    assert spectrum.weight.grad.abs().sum() > 0


def test_the_configuration_of_the_papers_model_is_as_before():
    described = BackboneConfig(**SIZES).to_json()
    assert "patch_embedding" not in described
    assert BackboneConfig.from_json(described) == BackboneConfig(**SIZES)
    assert BackboneConfig.from_json(TIME_FREQUENCY.to_json()) == TIME_FREQUENCY


def test_an_unknown_patch_embedding_is_refused():
    with pytest.raises(WeightsError, match="patch_embedding"):
        dataclasses.replace(TIME_FREQUENCY, patch_embedding="wavelets")


def test_no_checkpoint_layout_has_it(tmp_path):
    weights.save(MaskedModel(TIME_FREQUENCY), tmp_path / "model")
    with pytest.raises(MisfitWeightsError, match=r"patch_embedding.*time-frequency.*architecture\.patch_embedding"):
        export_checkpoint(tmp_path / "model", tmp_path / "labram.pth")
    assert not (tmp_path / "labram.pth").exists()
