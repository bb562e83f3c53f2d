"""The downstream model equals the published one, at every width and in every variant."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.weights import backbone_to_downstream, save

pytestmark = pytest.mark.golden

VARIANTS = ["mean_pool_6cls", "cls_token_1cls", "qkvbias_no_qknorm_no_gamma"]


@pytest.fixture(scope="module")
def expected(golden):
    return golden("base_finetune.pt")


@pytest.fixture(scope="module")
def rows(expected):
    return torch.tensor(expected["meta"]["input_chans"][1:])


@pytest.fixture(scope="module")
def base6(golden):
    return golden.recipe_weights(DownstreamModel(BackboneConfig.base(), 6))


def test_base_with_one_output_on_ten_seconds(golden, expected, rows, close):
    model = golden.recipe_weights(DownstreamModel(BackboneConfig.base(), 1))
    x = golden.recipe.fixed_input("base_tuab", (2, 23, 10, 200))
    with torch.no_grad():
        close(model(x, rows), expected["tuab"]["logits"])
        close(model.features(x, rows), expected["tuab"]["features"])
        close(model.patch_features(x, rows)[:, :3], expected["tuab"]["patch_tokens_first"])


def test_base_with_six_outputs_on_five_seconds(golden, base6, expected, rows, close):
    x = golden.recipe.fixed_input("base_tuev", (2, 23, 5, 200))
    with torch.no_grad():
        close(base6(x, rows), expected["tuev"]["logits"])
        close(base6.features(x, rows), expected["tuev"]["features"])


def test_base_with_permuted_channels(golden, base6, expected, rows, close):
    x = golden.recipe.fixed_input("base_tuev", (2, 23, 5, 200))
    order = expected["permuted_channels"]["perm"]
    with torch.no_grad():
        close(base6(x[:, order], rows[order]), expected["permuted_channels"]["logits"])


def test_base_with_every_row_of_the_table(golden, base6, expected, close):
    x = golden.recipe.fixed_input("base_all128", (1, 128, 2, 200))
    with torch.no_grad():
        close(base6(x, torch.arange(1, 129)), expected["all128_none"]["logits"])


@pytest.mark.parametrize("size", ["large_width_depth2", "huge_width_depth1"])
def test_widths_of_large_and_huge(golden, size, close):
    wide = golden("wide_recipe.pt")[size]
    dimensions = wide["kwargs"]
    config = BackboneConfig(
        width=dimensions["embed_dim"],
        conv_channels=dimensions["out_chans"],
        depth=dimensions["depth"],
        heads=dimensions["num_heads"],
    )
    model = golden.recipe_weights(DownstreamModel(config, dimensions["num_classes"]))
    rows = torch.tensor(wide["input_chans"][1:])
    with torch.no_grad():
        close(model.features(wide["x"], rows), wide["features"], 5e-6)
        close(model(wide["x"], rows), wide["logits"], 5e-6)


@pytest.fixture(scope="module")
def tiny(golden):
    return golden("tiny_finetune.pt")


@pytest.mark.parametrize("name", VARIANTS)
def test_tiny_variants_and_their_gradients(golden, tiny, tiny_config, name, close):
    variant, rows = tiny["variants"][name], torch.tensor(tiny["meta"]["input_chans"][1:])
    config = tiny_config
    if name == "qkvbias_no_qknorm_no_gamma":
        config = dataclasses.replace(tiny_config, qkv_bias=True, qk_norm=False, layer_scale=0.0)
    pooling = "cls" if name.startswith("cls") else "mean"
    model = DownstreamModel(config, variant["logits"].shape[1], pooling=pooling)
    golden.weights(model, variant["state_dict"])
    close(model.features(tiny["x"], rows), variant["features"])
    close(model.patch_features(tiny["x"], rows), variant["patch_tokens"])
    logits = model(tiny["x"], rows)
    close(logits, variant["logits"])
    if "loss_bce" in variant:
        loss = functional.binary_cross_entropy_with_logits(logits, variant["targets"])
        assert loss.item() == pytest.approx(variant["loss_bce"], abs=1e-6)
    else:
        loss = functional.cross_entropy(logits, variant["targets"], label_smoothing=0.1)
        assert loss.item() == pytest.approx(variant["loss_label_smoothing_0.1"], abs=1e-6)
    loss.backward()
    gradients = golden.gradients(model)
    assert gradients.keys() == variant["grads"].keys()
    for key, expected in variant["grads"].items():
        close(gradients[key], expected)


def test_from_a_pretrained_backbone_as_published(golden, tiny, tiny_config, tmp_path, close):
    pretrained = golden("tiny_pretrain.pt")
    masked = golden.weights(MaskedModel(tiny_config), pretrained["state_dict"])
    save(masked, tmp_path)
    model, report = backbone_to_downstream(tmp_path, 6)
    new = dict.fromkeys(tiny["mapping"]["missing"], tiny["mapping"]["recipe_seed_for_missing"])
    model.load_state_dict(
        {key: golden.recipe.recipe_tensor(key, model.state_dict()[key].shape, seed) for key, seed in new.items()},
        strict=False,
    )
    assert report.clean
    assert {key for key in report.excused if key.startswith(("fc_norm", "head"))} == set(tiny["mapping"]["missing"])
    with torch.no_grad():
        close(model.eval()(tiny["x"], torch.tensor(tiny["meta"]["input_chans"][1:])), tiny["mapping"]["logits"])


def test_layer_ids_of_the_published_decay_table(golden):
    table = golden("aux.pt")["layer_decay_base_0.65"]
    ids = DownstreamModel(BackboneConfig.base(), 1).layer_ids()
    assert {name.removeprefix("encoder."): layer for name, layer in ids.items()} == {
        name: entry["layer"] for name, entry in table.items()
    }
