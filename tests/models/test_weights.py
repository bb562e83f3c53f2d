"""Weights are saved whole and loaded whole, or not at all."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from labram.checksums import hash_file
from labram.errors import WeightsError
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer


@pytest.fixture
def models(tiny_tokenizer_config, tiny_config):
    return {
        "tokenizer": Tokenizer(tiny_tokenizer_config),
        "masked": MaskedModel(tiny_config),
        "downstream": DownstreamModel(tiny_config, 3, pooling="cls"),
    }


@pytest.fixture
def saved(models, tmp_path):
    weights.save(models["masked"], tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", ["tokenizer", "masked", "downstream"])
def test_a_model_comes_back_as_it_was_saved(models, kind, tmp_path):
    value = weights.save(models[kind], tmp_path)
    found = weights.load(tmp_path)
    assert type(found) is type(models[kind])
    assert found.config == models[kind].config
    assert not found.training
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in models[kind].state_dict().items())
    assert weights.digest(tmp_path) == value


def test_saving_again_replaces_and_leaves_no_scrap(models, saved):
    weights.save(models["tokenizer"], saved)
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    assert isinstance(weights.load(saved), Tokenizer)


def test_whoever_may_read_the_configuration_may_read_the_weights(saved):
    assert (saved / "model.safetensors").stat().st_mode == (saved / "config.json").stat().st_mode


def test_a_loaded_tokenizer_keeps_its_codebook_in_training(models, tmp_path, window, rows):
    tokenizer = models["tokenizer"].train()
    tokenizer(window, rows)
    weights.save(tokenizer, tmp_path)
    found = weights.load(tmp_path).train()
    before = found.quantizer.codebook.clone()
    found(window, rows)
    assert (found.quantizer.codebook - before).abs().max() < 0.1


def _rewrite(folder, change):
    """Change the tensors and state the right digest of the result."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["digest"] = hash_file(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def test_damaged_weights_are_refused(saved):
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="checksum mismatch"):
        weights.load(saved)


def test_absent_weights_are_refused(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="weights not found"):
        weights.load(saved)


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="configuration cannot be read"):
        weights.load(tmp_path)


def test_missing_tensors_are_refused(saved):
    _rewrite(saved, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(WeightsError, match=r"1 tensors missing \(such as lm_head.weight\)"):
        weights.load(saved)


def test_unexpected_tensors_are_refused(saved):
    _rewrite(saved, lambda tensors: tensors.update(surplus=torch.zeros(1)))
    with pytest.raises(WeightsError, match="unexpected"):
        weights.load(saved)


def test_tensors_of_another_shape_are_refused(saved):
    _rewrite(saved, lambda tensors: tensors.update({"lm_head.bias": torch.zeros(5)}))
    with pytest.raises(WeightsError, match="another shape"):
        weights.load(saved)


def test_weights_that_are_not_finite_are_refused(saved):
    _rewrite(saved, lambda tensors: tensors["encoder.norm.bias"].fill_(torch.nan))
    with pytest.raises(WeightsError, match=r"NaN, .* encoder.norm.bias"):
        weights.load(saved)


def test_configuration_with_an_unknown_field_is_refused(saved):
    config = json.loads((saved / "config.json").read_text())
    config["config"]["dpeth"] = config["config"].pop("depth")
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="depth, dpeth"):
        weights.load(saved)


def test_a_downstream_model_carries_the_whole_backbone_over(models, saved):
    model, report = weights.backbone_to_downstream(saved, 4)
    backbone = models["masked"].encoder.state_dict()
    carried = model.encoder.state_dict()
    assert all(torch.equal(carried[name], backbone[name]) for name in carried)
    assert report.clean
    assert len(report.matched) == len(carried)
    assert set(report.excused) == {
        *("fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"),
        *("lm_head.weight", "lm_head.bias", "mask_token", "encoder.norm.weight", "encoder.norm.bias"),
    }


def test_a_tokenizer_is_no_backbone(models, tmp_path):
    weights.save(models["tokenizer"], tmp_path)
    with pytest.raises(WeightsError, match="expected a pre-trained backbone, got a tokenizer"):
        weights.backbone_to_downstream(tmp_path, 2)


CHANGES = {
    "width in words": {"width": "100"},
    "heads 0": {"heads": 0},
    "heads negative": {"heads": -1},
    "depth true": {"depth": True},
    "layer scale not finite": {"layer_scale": float("nan")},
    "flag as a number": {"qk_norm": 1},
    "layers without end": {"depth": 1 << 40},
    "terabytes of codes": {"codes": 1 << 36},
    "terabytes of width": {"width": 25 << 18, "conv_channels": 1 << 18, "heads": 1},
}


@pytest.mark.parametrize("name", CHANGES)
def test_dimensions_of_another_type_or_beyond_the_file_are_refused_before_a_model_is_built(saved, name):
    description = json.loads((saved / "config.json").read_text())
    description["config"] |= CHANGES[name]
    (saved / "config.json").write_text(json.dumps(description))
    with pytest.raises(WeightsError):
        weights.load(saved)


@pytest.mark.parametrize(
    "change", [{"config": []}, {"electrodes": 5}, {"kind": []}, {"kind": "downstream", "outputs": "2"}]
)
def test_a_configuration_of_another_shape_is_refused(saved, change):
    description = json.loads((saved / "config.json").read_text()) | change
    (saved / "config.json").write_text(json.dumps(description))
    with pytest.raises(WeightsError):
        weights.load(saved)


@pytest.mark.parametrize("content", ["[" * 200_000, " " * (1 << 21), "\xff"])
def test_a_configuration_that_is_too_deep_too_large_or_no_text_is_refused(saved, content):
    (saved / "config.json").write_text(content, encoding="latin1")
    with pytest.raises(WeightsError, match=r"config\.json"):
        weights.load(saved)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device")
def test_a_configuration_without_end_is_refused(tmp_path):
    (tmp_path / "config.json").symlink_to("/dev/zero")
    with pytest.raises(WeightsError, match="configuration cannot be read"):
        weights.load(tmp_path)
