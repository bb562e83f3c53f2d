"""The masked model equals the published one: tokens, logits, losses, gradients, masks."""

import dataclasses

import pytest
import torch

from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel, random_mask
from labram.signals.electrodes import CANONICAL
from labram.signals.electrodes import rows as spatial_rows

pytestmark = pytest.mark.golden

MONTAGES = {
    "TUH23": (
        *("FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8"),
        *("T3", "T4", "T5", "T6", "A1", "A2", "FZ", "CZ", "PZ", "T1", "T2"),
    ),
    "SIX": ("FP1", "F3", "C3", "PZ", "O2", "T8"),
}
"""The montages whose rows the published code was asked for."""


@pytest.fixture(scope="module")
def base(golden):
    return golden.recipe_weights(MaskedModel(BackboneConfig(compatibility="published")))


@pytest.fixture(scope="module")
def expected(golden):
    return golden("base_pretrain.pt")


@pytest.fixture(scope="module")
def rows(expected):
    return torch.tensor(expected["meta"]["input_chans"][1:])


@pytest.mark.parametrize("which", ["masked", "sym"])
def test_base_tokens_and_logits_under_both_masks(base, expected, rows, which, close):
    mask = expected["mask"] if which == "masked" else ~expected["mask"]
    digest = expected["logits" if which == "masked" else "logits_sym"]
    with torch.no_grad():
        tokens = base(expected["x"], rows, mask)
        close(tokens, expected[f"tokens_{which}"])
        logits = base.lm_head(tokens[:, 1:][mask])
    close(logits[:, :32], digest["first32"])
    close(logits.logsumexp(-1), digest["logsumexp"])
    close(logits.gather(1, expected["codes"][mask].unsqueeze(1)).squeeze(1), digest["label_logit"])
    assert torch.equal(logits.argmax(-1), digest["argmax"])


def test_base_losses_in_one_doubled_batch(base, expected, rows):
    with torch.no_grad():
        both = base.loss(expected["x"], rows, expected["mask"], expected["codes"])
        one = base.loss(expected["x"], rows, expected["mask"], expected["codes"], symmetric=False)
    assert both.loss.item() == pytest.approx(expected["loss"], abs=2e-6)
    assert one.loss.item() == pytest.approx(expected["loss_rec"], abs=2e-6)


@pytest.fixture(scope="module")
def tiny(golden):
    return golden("tiny_pretrain.pt")


@pytest.fixture
def tiny_model(golden, tiny, tiny_config):
    published = dataclasses.replace(tiny_config, compatibility="published")
    return golden.weights(MaskedModel(published), tiny["state_dict"])


@pytest.fixture
def tiny_rows(tiny):
    return torch.tensor(tiny["meta"]["input_chans"][1:])


def test_tiny_tokens_and_logits(tiny, tiny_model, tiny_rows, close):
    x, mask = tiny["x"], tiny["mask"]
    with torch.no_grad():
        close(tiny_model(x, tiny_rows), tiny["tokens_unmasked"])
        for hidden, tokens, logits in ((mask, "tokens_masked", "logits"), (~mask, "tokens_sym", "logits_sym")):
            found = tiny_model(x, tiny_rows, hidden)
            close(found, tiny[tokens])
            close(tiny_model.lm_head(found[:, 1:][hidden]), tiny[logits])


def test_tiny_loss_accuracies_and_gradients(tiny, tiny_model, tiny_rows, golden, close):
    output = tiny_model.loss(tiny["x"], tiny_rows, tiny["mask"], tiny["codes"])
    output.loss.backward()
    assert output.loss.item() == pytest.approx(tiny["loss"], abs=2e-6)
    assert output.accuracy.item() == pytest.approx(tiny["mlm_acc"])
    assert output.accuracy_symmetric.item() == pytest.approx(tiny["mlm_acc_sym"])
    gradients = golden.gradients(tiny_model)
    assert gradients.keys() == tiny["grads"].keys()
    for name, expected in tiny["grads"].items():
        close(gradients[name], expected, 1e-7)
    norm = torch.nn.utils.get_total_norm(gradients.values())
    assert norm.item() == pytest.approx(tiny["grad_norm_before_clip"], abs=1e-5)


@pytest.mark.parametrize("length", [24, 92, 253, 256])
def test_random_masks_of_seed_42(golden, length):
    expected = golden("aux.pt")["random_masking_seed42_cpu"][length]
    torch.manual_seed(42)
    assert torch.equal(random_mask(len(expected), length, 0.5), expected)
    generator = torch.Generator().manual_seed(42)
    assert torch.equal(random_mask(len(expected), length, 0.5, generator), expected)


def test_rows_of_the_spatial_table_stand_for_the_published_names(golden):
    """Published names beyond the 128th have no row (defect 5)."""
    published = golden("aux.pt")["standard_1020"]
    assert [name.upper() for name in CANONICAL] == [name.upper() for name in published[: len(CANONICAL)]]


@pytest.mark.parametrize("montage", MONTAGES)
def test_rows_of_a_montage_are_the_published_ones(golden, montage):
    cls_row, *expected = golden("aux.pt")["input_chans"][montage]
    assert cls_row == 0
    assert list(spatial_rows(MONTAGES[montage])) == expected
