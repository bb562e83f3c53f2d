import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel, prediction
from labram.models.masked import MaskedModel
from labram.models.spectrum import spectral_targets
from labram.models.tokenizer import Tokenizer
from labram.training.data.labelled import LabelledBatch
from labram.training.data.windows import WindowBatch
from labram.training.objectives.masked_objective import MaskedObjective
from labram.training.objectives.objective import CODES, perplexity, weighted_mean
from labram.training.objectives.task_objective import TaskObjective
from labram.training.objectives.tokenizer_objective import TokenizerObjective

SIZES = {"width": 100, "conv_channels": 4, "depth": 1, "heads": 5, "codes": 32}


def windows(seed=0, count=6, rows=(1, 3, 18), seconds=2):
    x = np.random.default_rng(seed).normal(size=(count, len(rows), seconds, 200)).astype(np.float32)
    return WindowBatch(x, rows, tuple(f"C{row}" for row in rows), ("r",) * count)


@pytest.fixture
def tokenizer():
    torch.manual_seed(0)
    return Tokenizer(TokenizerConfig(**SIZES, code_width=8, decoder_depth=1))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_perplexity_counts_evenly_used_codes():
    assert perplexity(torch.tensor([1.0, 1.0, 1.0, 0.0])) == pytest.approx(3.0)
    assert perplexity(torch.tensor([5, 0])) == pytest.approx(1.0)


def test_weighted_mean_weighs():
    parts = [(1.0, {"a": torch.tensor(0.0)}), (3.0, {"a": torch.tensor(1.0)})]
    assert float(weighted_mean(parts)["a"]) == 0.75


def test_the_codebook_starts_from_windows_of_all_montages(tokenizer):
    batches = [windows(0), windows(1, rows=(81, 83))]
    TokenizerObjective(tokenizer).initialise(batches)
    features = torch.cat(
        [tokenizer.features(torch.from_numpy(b.x), torch.tensor(b.rows)).flatten(0, 1) for b in batches]
    )
    nearest = (functional.normalize(features, dim=-1) @ tokenizer.quantizer.codebook.T).amax(dim=1)
    assert bool(tokenizer.quantizer.initialised)
    assert float(nearest.mean()) > 0.9


def test_the_first_guess_is_the_mean_spectrum(tokenizer):
    batch = windows()
    objective = TokenizerObjective(tokenizer)
    objective.initialise([batch])
    for head in (tokenizer.amplitude_head, tokenizer.phase_head):
        nn.init.zeros_(head[-1].weight)
    figures = objective.validate([batch])
    assert figures["amplitude_vs_mean"] == pytest.approx(1.0, abs=1e-4)
    assert figures["phase_vs_mean"] == pytest.approx(1.0, abs=1e-4)


def test_a_perfect_reconstruction_leaves_nothing_of_the_mean_spectrums_error(tokenizer, monkeypatch):
    amplitude, _ = spectral_targets(torch.from_numpy(windows().x))
    objective = TokenizerObjective(tokenizer)
    guess = float(objective._mean_spectrum_losses(windows())["amplitude"])
    assert guess == pytest.approx(float(amplitude.var(dim=(0, 1), correction=0).mean()))


def test_dead_codes_are_reset_to_patch_vectors_and_others_are_unchanged(tokenizer):
    objective = TokenizerObjective(tokenizer, restart_every=2)
    batch = windows()
    objective.initialise([batch])
    quantizer = tokenizer.quantizer
    quantizer.usage.fill_(1.0)
    quantizer.usage[:4] = 0.0
    before = quantizer.codebook.clone()
    objective.after_step(1, [batch])
    assert torch.equal(quantizer.codebook, before)
    objective.after_step(2, [batch])
    assert torch.equal(quantizer.codebook[4:], before[4:])
    assert not torch.equal(quantizer.codebook[:4], before[:4])
    torch.testing.assert_close(quantizer.codebook.norm(dim=1), torch.ones(32))
    assert bool((quantizer.usage > 0).all())


def test_without_restarts_the_codebook_moves_by_its_averages_alone(tokenizer):
    objective = TokenizerObjective(tokenizer)
    before = tokenizer.quantizer.codebook.clone()
    objective.after_step(10, [windows()])
    torch.testing.assert_close(tokenizer.quantizer.codebook, before)


def test_the_codebook_moves_once_a_step_by_all_its_micro_batches(tokenizer):
    parts = [windows(seed=seed) for seed in range(2)]
    objective = TokenizerObjective(tokenizer)
    objective.initialise(parts)
    quantizer = tokenizer.train().quantizer
    before = quantizer.codebook.clone()
    for part in parts:
        objective.loss(part, generator(0))
    assert torch.equal(quantizer.codebook, before)
    counts, sums = (total.clone() for total in objective.step_statistics)
    objective.after_step(1, parts)
    assert counts.sum() == sum(part.weight for part in parts)
    hit = counts > 0
    mean = nn.functional.normalize(sums[hit] / counts[hit, None], dim=-1)
    expected = nn.functional.normalize(quantizer.decay * before[hit] + (1 - quantizer.decay) * mean, dim=-1)
    torch.testing.assert_close(quantizer.codebook[hit], expected)
    assert all(not total.any() for total in objective.step_statistics)


def test_validation_changes_neither_codebook_nor_usage(tokenizer):
    objective = TokenizerObjective(tokenizer.eval())
    before = {name: value.clone() for name, value in tokenizer.state_dict().items()}
    figures = objective.validate([windows()])
    assert all(torch.equal(value, before[name]) for name, value in tokenizer.state_dict().items())
    assert {"loss", "amplitude_loss", "phase_loss", "commitment", "perplexity", "used_codes"} <= set(figures)


def test_masks_are_drawn_from_the_generator_and_the_tokenizer_is_frozen(tokenizer):
    objective = MaskedObjective(MaskedModel(BackboneConfig(**SIZES)), tokenizer, mask_ratio=0.5, symmetric=True)
    losses = [float(objective.loss(windows(), generator(seed))[0]) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert not tokenizer.training
    objective.loss(windows(), generator())[0].backward()
    assert all(parameter.grad is None for parameter in tokenizer.parameters())


def test_without_symmetric_masking_there_is_one_accuracy(tokenizer):
    objective = MaskedObjective(MaskedModel(BackboneConfig(**SIZES)), tokenizer, mask_ratio=0.5, symmetric=False)
    _, metrics = objective.loss(windows(), generator())
    assert set(metrics) == {"loss", "accuracy", CODES}
    assert all(torch.isfinite(value).all() for value in metrics.values())


def test_majority_is_the_accuracy_of_predicting_the_most_frequent_code(tokenizer):
    objective = MaskedObjective(MaskedModel(BackboneConfig(**SIZES)), tokenizer, mask_ratio=0.5, symmetric=True)
    batch = windows()
    codes = tokenizer.encode(torch.from_numpy(batch.x), torch.tensor(batch.rows)).flatten()
    figures = objective.validate([batch])
    assert figures["majority"] == pytest.approx(float(torch.bincount(codes).max()) / len(codes))
    assert 0 <= figures["target_entropy"] <= np.log(32)


def labelled(y, seed=0):
    batch = windows(seed, count=len(y))
    return LabelledBatch(batch.x, np.asarray(y, dtype=float), batch.rows, batch.recording_ids)


def task_model(outputs):
    torch.manual_seed(0)
    model = DownstreamModel(BackboneConfig(**SIZES), outputs=outputs).eval()
    nn.init.normal_(model.head.weight, std=0.3)
    return model


def test_binary_loss_is_cross_entropy_with_class_weights():
    model, batch = task_model(1), labelled([0, 1, 1])
    logits = model(torch.from_numpy(batch.x), torch.tensor(batch.rows))[:, 0]
    each = functional.binary_cross_entropy_with_logits(logits, torch.tensor([0.0, 1.0, 1.0]), reduction="none")
    loss, _ = TaskObjective(model, "binary", class_weights=np.array([2.0, 0.5])).loss(batch, generator())
    torch.testing.assert_close(loss, (each * torch.tensor([2.0, 0.5, 0.5])).mean())


def test_multiclass_loss_is_label_smoothed():
    model, batch = task_model(3), labelled([0, 2])
    logits = model(torch.from_numpy(batch.x), torch.tensor(batch.rows))
    loss, _ = TaskObjective(model, "multiclass", label_smoothing=0.1).loss(batch, generator())
    log = logits.log_softmax(dim=1)
    expected = -(0.9 * log[[0, 1], [0, 2]] + 0.1 * log.mean(dim=1)).mean()
    torch.testing.assert_close(loss, expected)


def test_regression_targets_are_standardised_and_predictions_are_in_their_unit():
    model, batch = task_model(2), labelled([[10.0, -3.0], [14.0, -1.0]])
    objective = TaskObjective(model, "regression", target_mean=(12.0, -2.0), target_sd=(2.0, 1.0))
    output = model(torch.from_numpy(batch.x), torch.tensor(batch.rows)).detach()
    loss, _ = objective.loss(batch, generator())
    torch.testing.assert_close(loss.detach(), functional.mse_loss(output, torch.tensor([[-1.0, -1.0], [1.0, 1.0]])))
    predicted = prediction(output, "regression", objective.target_mean, objective.target_sd)
    np.testing.assert_allclose(predicted, output.numpy() * [2.0, 1.0] + [12.0, -2.0], rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("kind", "outputs", "y"), [("binary", 1, [0, 1, 1]), ("multiclass", 3, [0, 1, 2])])
def test_validation_scores_all_windows_at_once(kind, outputs, y):
    model = task_model(outputs)
    objective = TaskObjective(model, kind)
    together = objective.validate([labelled(y)])
    parts = [labelled(y)]
    halves = [
        LabelledBatch(part.x[half], part.y[half], part.rows, ("r",) * len(part.y[half]))
        for part in parts
        for half in (slice(0, 1), slice(1, 3))
    ]
    assert objective.validate(halves) == pytest.approx(together, rel=1e-5)
