import numpy as np
import pytest
import torch

from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import OptimiserRecipe
from labram.training.optimiser import (
    LR_SCALE,
    adamw,
    has_weight_decay,
    learning_rate,
    parameter_groups,
    set_learning_rate,
)

SMALL = {"width": 100, "conv_channels": 4, "depth": 2, "heads": 5, "codes": 8}


def rates(**changes):
    schedule = {"steps": 20, "warmup_steps": 5, "peak": 1.0, "floor": 0.1, **changes}
    return [learning_rate(step, **schedule) for step in range(schedule["steps"])]


def test_warm_up_is_linear_and_ends_at_the_peak():
    np.testing.assert_allclose(rates()[:5], [0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_cosine_starts_at_the_peak_and_approaches_the_floor_as_published():
    falling = rates()[5:]
    assert falling[0] == 1.0
    expected = [0.1 + 0.45 * (1 + np.cos(np.pi * index / 15)) for index in range(15)]
    np.testing.assert_allclose(falling, expected)
    assert 0.1 < falling[-1] < 0.12


def test_no_warm_up_starts_at_the_peak():
    assert rates(warmup_steps=0)[0] == 1.0


def test_a_training_that_is_all_warm_up_has_a_schedule():
    assert rates(steps=5, warmup_steps=5)[-1] == 1.0


@pytest.mark.parametrize(
    "model",
    [
        Tokenizer(TokenizerConfig(**SMALL, code_width=4, decoder_depth=1)),
        MaskedModel(BackboneConfig(**SMALL)),
        DownstreamModel(BackboneConfig(**SMALL), outputs=2),
    ],
    ids=["tokenizer", "masked", "downstream"],
)
def test_biases_norms_and_tables_do_not_decay_and_the_mask_token_does(model):
    decayed = {name for name, parameter in model.named_parameters() if has_weight_decay(name, parameter)}
    spared = {name for name, _ in model.named_parameters()} - decayed
    assert all(name.endswith("weight") or name == "mask_token" for name in decayed)
    assert not any("norm" in name or name.endswith(("bias", "_embed", "cls_token")) for name in decayed)
    tables = ("bias", "_embed", "cls_token", "gamma_1", "gamma_2")
    assert all("norm" in name or name.endswith(tables) for name in spared)
    assert ("mask_token" in decayed) == isinstance(model, MaskedModel)


def test_every_parameter_is_in_one_group():
    model = MaskedModel(BackboneConfig(**SMALL))
    groups = parameter_groups(model, 0.05)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())


def test_deeper_layers_learn_faster():
    model = DownstreamModel(BackboneConfig(**SMALL), outputs=2)
    groups = parameter_groups(model, 0.05, layer_ids=model.layer_ids(), layer_decay=0.5)
    optimiser = adamw(groups, OptimiserRecipe())
    set_learning_rate(optimiser, 1e-3)
    rate = {id(parameter): group["lr"] for group in optimiser.param_groups for parameter in group["params"]}
    by_name = {name: rate[id(parameter)] for name, parameter in model.named_parameters()}
    assert by_name["head.weight"] == 1e-3
    assert by_name["encoder.blocks.1.mlp.fc1.weight"] == pytest.approx(0.5e-3)
    assert by_name["encoder.blocks.0.mlp.fc1.weight"] == pytest.approx(0.25e-3)
    assert by_name["encoder.patch_embed.conv1.weight"] == pytest.approx(0.125e-3)
    assert all(LR_SCALE in group for group in optimiser.param_groups)


def test_a_step_flagged_as_not_finite_leaves_the_parameters_alone():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimiser = adamw([{"params": [parameter], "weight_decay": 0.0, LR_SCALE: 1.0}], OptimiserRecipe())
    for flag, moved in ((1.0, False), (0.0, True)):
        parameter.grad = torch.full((3,), torch.nan if flag else 1.0)
        optimiser.found_inf = torch.tensor(flag)
        optimiser.step()
        assert torch.equal(parameter.detach(), torch.ones(3)) != moved
    assert optimiser.state[parameter]["step"].item() == 1
