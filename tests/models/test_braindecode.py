"""Weights go to braindecode's class and come back, and mean the same there."""

import json
import warnings

import pytest
import torch

from labram.errors import MisfitWeightsError
from labram.models import weights
from labram.models.braindecode_class import braindecode_class
from labram.models.braindecode_layout import constructor, from_braindecode, to_braindecode
from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official import export_checkpoint, import_checkpoint
from labram.models.tokenizer import Tokenizer
from labram.signals.electrodes import CANONICAL

MONTAGES = {"in order": ["FP1", "C3", "O2"], "odd": ["T6", "FTT9h", "FP1-F7", "A1", "CZ"]}


@pytest.fixture(scope="module")
def theirs():
    """Builds the real class for a model of ours."""
    found = braindecode_class()
    if found is None:
        pytest.skip("braindecode is not installed")

    def build(model, seconds):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the number of channels
            return found(**constructor(model, seconds=seconds)).eval()

    return build


def _varied(model, seed=0):
    """No tensor at its initial value: a wrong name or place would show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.05 * torch.randn(tensor.shape, generator=generator))
    return model.eval()


def _input(channels, seconds):
    return 0.3 * torch.randn(2, channels, seconds, 200, generator=torch.Generator().manual_seed(1))


def _compare(ours, theirs, montage, seconds):
    """Largest differences of pooled features, patch features and logits."""
    x = _input(len(montage), seconds)
    rows = torch.tensor([CANONICAL.index(name) + 1 for name in montage])
    flat = x.flatten(2)
    with torch.no_grad():
        pooled, patches = ours.features(x, rows), ours.patch_features(x, rows)
        found = theirs.forward_features(flat, torch.cat([torch.zeros(1, dtype=torch.long), rows]))
        torch.testing.assert_close(found, pooled, atol=1e-5, rtol=0)
        found = theirs(flat, return_features=True, ch_names=montage)["features"]
        torch.testing.assert_close(found, patches, atol=1e-5, rtol=0)
        torch.testing.assert_close(theirs(flat, ch_names=montage), ours(x, rows), atol=1e-5, rtol=0)


@pytest.mark.parametrize("montage", MONTAGES)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("seconds", [1, 4, 16])
def test_ours_loads_strictly_there_and_computes_the_same(tiny_config, theirs, tmp_path, pooling, seconds, montage):
    ours = _varied(DownstreamModel(tiny_config, 3, pooling=pooling))
    weights.save(ours, tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "out.pth", layout="braindecode", seconds=seconds)
    other = theirs(ours, seconds)
    other.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True), strict=True)
    _compare(ours, other, MONTAGES[montage], seconds)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_theirs_comes_in_whole_and_computes_the_same(tiny_config, theirs, tmp_path, pooling):
    other = _varied(theirs(DownstreamModel(tiny_config, 3, pooling=pooling), 4))
    torch.save(other.state_dict(), tmp_path / "theirs.pth")
    report = import_checkpoint(tmp_path / "theirs.pth", kind="backbone", out=tmp_path / "in")
    assert report.clean
    assert list(report.excused) == ["encoder.time_embed[4:16]"]
    found = weights.load(tmp_path / "in")
    assert (found.outputs, found.pooling) == (3, pooling)
    _compare(found, other, MONTAGES["odd"], 4)


def test_the_real_size_with_every_kind_of_option(theirs, golden):
    """Base, and the variant with biases in its attention and without layer scale."""
    for config in (BackboneConfig.base(), BackboneConfig(depth=2, qkv_bias=True, qk_norm=False, layer_scale=0.0)):
        ours = golden.recipe_weights(DownstreamModel(config, 6))
        other = theirs(ours, 4)
        other.load_state_dict(to_braindecode(ours, seconds=4), strict=True)
        _compare(ours, other, MONTAGES["odd"], 4)


def test_a_pretrained_backbone_goes_out_without_a_head_and_with_its_norm(tiny_config, theirs, tmp_path):
    masked = _varied(MaskedModel(tiny_config))
    weights.save(masked, tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "out.pth", layout="braindecode", seconds=2)
    other = theirs(masked, 2)
    other.load_state_dict(torch.load(tmp_path / "out.pth", weights_only=True), strict=True)
    x, rows = _input(3, 2), torch.tensor([1, 40, 83])
    tokens = other(x.flatten(2), return_all_tokens=True, ch_names=["FP1", "C3", "O2"])
    torch.testing.assert_close(tokens, masked(x, rows), atol=1e-5, rtol=0)
    report = import_checkpoint(tmp_path / "out.pth", kind="backbone", out=tmp_path / "in")
    assert {"head.weight", "head.bias"} < set(report.excused)
    found = weights.load(tmp_path / "in")
    torch.testing.assert_close(found.features(x, rows), tokens[:, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_out_with_all_seconds_and_in_again_changes_nothing(tiny_config, tmp_path, pooling):
    ours = _varied(DownstreamModel(tiny_config, 3, pooling=pooling))
    weights.save(ours, tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "out.pth", layout="braindecode")
    report = import_checkpoint(tmp_path / "out.pth", kind="backbone", out=tmp_path / "again")
    assert not report.excused
    found = weights.load(tmp_path / "again").state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in ours.state_dict().items())
    described = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("ours", "again")]
    assert described[0]["digest"] == described[1]["digest"]


def test_the_temporal_table_is_cut_and_the_row_that_nothing_reads_added(tiny_config):
    ours = _varied(DownstreamModel(tiny_config, 1))
    table = to_braindecode(ours, seconds=5)["temporal_embedding"]
    assert table.shape == (1, 6, 100)
    assert torch.equal(table[:, :5], ours.encoder.time_embed[:, :5])
    official, open_ = from_braindecode({"temporal_embedding": table})
    assert torch.equal(official["time_embed"][:, :5], table[:, :5])
    assert not official["time_embed"][:, 5:].any()
    assert "5 s" in open_["encoder.time_embed[5:16]"]


@pytest.mark.parametrize("seconds", [0, 17])
def test_windows_are_one_to_sixteen_seconds(tiny_config, seconds):
    with pytest.raises(ValueError, match="1 to 16"):
        to_braindecode(MaskedModel(tiny_config), seconds=seconds)


def test_a_tokenizer_has_no_place_there(tiny_tokenizer_config, tmp_path):
    weights.save(Tokenizer(tiny_tokenizer_config), tmp_path / "ours")
    with pytest.raises(MisfitWeightsError, match="no class for a tokenizer"):
        export_checkpoint(tmp_path / "ours", tmp_path / "out.pth", layout="braindecode")
    assert not (tmp_path / "out.pth").exists()
