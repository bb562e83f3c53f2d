"""The tokenizer equals the published one: codes, losses, spectra, gradients, codebook."""

import dataclasses

import pytest
import torch

from labram.models.config import TokenizerConfig
from labram.models.quantizer import spherical_kmeans
from labram.models.spectrum import spectral_targets
from labram.models.tokenizer import Tokenizer

pytestmark = pytest.mark.golden


@pytest.fixture(scope="module")
def base(golden):
    return golden.recipe_weights(Tokenizer(TokenizerConfig.base()))


@pytest.fixture(scope="module")
def expected(golden):
    return golden("base_vqnsp.pt")


@pytest.fixture(scope="module")
def rows(expected):
    return torch.tensor(expected["meta"]["input_chans"][1:])


@pytest.fixture(scope="module")
def x(expected):
    return expected["x"].unflatten(-1, (4, 200))


def test_base_codes_are_the_published_ones(base, expected, x, rows):
    assert torch.equal(base.encode(x, rows), expected["codebook_indices"])


def test_base_features_before_quantisation(base, expected, x, rows, close):
    with torch.no_grad():
        close(base.features(x, rows), expected["trace"]["to_quantizer"])


def test_base_losses(base, expected, x, rows):
    with torch.no_grad():
        output = base(x, rows)
    log = expected["eval_log"]
    assert output.loss.item() == pytest.approx(expected["eval_loss"], abs=1e-6)
    assert output.commitment.item() == pytest.approx(log["val/quant_loss"], abs=1e-7)
    assert output.amplitude_loss.item() == pytest.approx(log["val/rec_loss"], abs=1e-6)
    assert output.phase_loss.item() == pytest.approx(log["val/rec_angle_loss"], abs=1e-6)


def test_base_reconstructed_and_true_spectra(base, expected, x, rows, close):
    spectra = base.reconstruct(x, rows)
    slices = expected["trace_f32_slices"]
    close(spectra.amplitude[..., :8], slices["rec_amplitude"])
    close(spectra.phase[..., :8], slices["rec_angle"])
    close(spectra.amplitude_target[..., :8], slices["target_amplitude"])
    close(spectra.phase_target[..., :8], slices["target_angle"])


def test_base_codes_of_one_second_windows(base, expected, x, rows):
    assert torch.equal(base.encode(x[:, :, :1], rows), expected["codebook_indices_first_second_only"])


def test_mirrored_half_spectrum_equals_the_full_transform(x):
    amplitude, phase = spectral_targets(x)
    full = torch.fft.fft(x.double().flatten(1, 2))
    for found, reference in ((amplitude, full.abs()), (phase, full.angle())):
        mean, deviation = reference.mean((1, 2), keepdim=True), reference.std((1, 2), keepdim=True)
        torch.testing.assert_close(found.double(), (reference - mean) / deviation, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def tiny(golden):
    return golden("tiny_vqnsp.pt")


@pytest.fixture
def tiny_model(golden, tiny, tiny_tokenizer_config):
    return golden.weights(Tokenizer(tiny_tokenizer_config), tiny["state_dict"])


@pytest.fixture
def tiny_rows(tiny):
    return torch.tensor(tiny["meta"]["input_chans"][1:])


def _windows(tiny):
    return [x.unflatten(-1, (4, 200)) for x in tiny["x"]]


def test_tiny_evaluation_step_by_step(tiny, tiny_model, tiny_rows, close):
    x, trace = _windows(tiny)[0], tiny["eval_trace"]
    with torch.no_grad():
        patches = tiny_model.encoder.patch_embed(x)
        close(patches, trace["patch_embed"])
        close(tiny_model.encoder(patches, tiny_rows)[:, 1:], trace["enc_tokens"])
        features = tiny_model.features(x, tiny_rows)
        close(features, trace["to_quantizer"])
        quantized = tiny_model.quantizer(features)
        assert torch.equal(quantized.codes, trace["indices"])
        close(quantized.commitment, trace["emb_loss"], 1e-7)
        close(quantized.vectors, trace["quantize_b_d_n_a"].flatten(2).transpose(1, 2))
        decoder = tiny_model.decoder
        close(decoder(decoder.patch_embed(quantized.vectors), tiny_rows)[:, 1:], trace["dec_tokens"])
        spectra = tiny_model.reconstruct(x, tiny_rows)
        close(spectra.amplitude, trace["rec_amplitude"])
        close(spectra.phase, trace["rec_angle"])
        assert tiny_model(x, tiny_rows).loss.item() == pytest.approx(tiny["eval_loss"], abs=1e-6)


def test_tiny_training_gradients_and_codebook(tiny, tiny_model, tiny_rows, golden, close):
    tiny_model.train()
    for x, step in zip(_windows(tiny), tiny["train_steps"], strict=True):
        tiny_model.zero_grad()
        output = tiny_model(x, tiny_rows)
        output.loss.backward()
        assert output.loss.item() == pytest.approx(step["loss"], abs=1e-6)
        gradients = golden.gradients(tiny_model)
        assert gradients.keys() == step["grads"].keys()
        for name, expected in step["grads"].items():
            close(gradients[name], expected, 1e-7)
        close(tiny_model.quantizer.codebook, step["buffers_after"]["codebook"], 1e-7)
        close(tiny_model.quantizer.usage, step["buffers_after"]["quantize.cluster_size"], 1e-7)


def test_tiny_usage_counts_with_the_published_evaluation_updates(tiny, tiny_tokenizer_config, tiny_rows, golden, close):
    published = dataclasses.replace(tiny_tokenizer_config, compatibility="published")
    model = golden.weights(Tokenizer(published), tiny["state_dict"])
    x = _windows(tiny)
    with torch.no_grad():
        model(x[0], tiny_rows)
    close(model.quantizer.usage, tiny["eval_buffers_after"]["quantize.cluster_size"], 1e-7)
    close(model.quantizer.codebook, tiny["eval_buffers_after"]["codebook"], 0.0)


@pytest.mark.parametrize("case", [0, 1], ids=["more_vectors_than_codes", "fewer_vectors_than_codes"])
def test_kmeans(tiny, case, close):
    case = tiny["kmeans"][case]
    torch.manual_seed(case["seed"])
    means, counts = spherical_kmeans(case["samples"], len(case["codebook"]))
    close(means, case["codebook"], 1e-6)
    assert torch.equal(counts, case["cluster_size"])
