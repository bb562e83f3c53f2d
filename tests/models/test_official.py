"""Published checkpoints come in whole or not at all, run no code, and go out as they came."""

import argparse
import json
import pickle

import pytest
import torch

from labram.errors import (
    CodebookSizeError,
    DamagedWeightsError,
    ElectrodeTableError,
    MisfitWeightsError,
    NonFiniteWeightsError,
    UnsafeWeightsError,
    WeightsError,
)
from labram.models import weights
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official import export_checkpoint, import_checkpoint
from labram.models.official_layout import to_official
from labram.models.tokenizer import Tokenizer


@pytest.fixture
def backbone(tiny_config):
    return MaskedModel(tiny_config)


@pytest.fixture
def state(backbone):
    return to_official(backbone) | {"logit_scale": torch.tensor(1.0)}


@pytest.fixture
def checkpoint(tmp_path):
    def write(state, **more):
        file = tmp_path / "published.pth"
        content = {"model": state, "epoch": 49, "args": argparse.Namespace(lr=5e-4), "optimizer": {"state": {}}}
        torch.save(content | more, file)
        return file

    return write


def _same(model, expected):
    found = model.state_dict()
    return found.keys() == expected.state_dict().keys() and all(
        torch.equal(found[name], tensor) for name, tensor in expected.state_dict().items()
    )


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "kind", "model"),
    [
        ("released_layout_backbone.pth", "backbone", MaskedModel),
        ("released_layout_tokenizer.pth", "tokenizer", Tokenizer),
    ],
)
def test_the_released_layout_comes_in_with_nothing_missing(golden, tmp_path, name, kind, model):
    report = import_checkpoint(golden.path(name), kind=kind, out=tmp_path)
    assert report.clean
    assert isinstance(weights.load(tmp_path), model)


def test_a_pretraining_checkpoint_comes_in_with_each_unused_tensor_excused(backbone, state, checkpoint, tmp_path):
    report = import_checkpoint(checkpoint(state), kind="backbone", out=tmp_path / "in")
    assert report.clean
    assert set(report.excused) == {
        *("student.lm_head.weight", "student.lm_head.bias", "projection_head.0.weight", "projection_head.0.bias"),
        "logit_scale",
    }
    found = weights.load(tmp_path / "in")
    assert _same(found, backbone)
    assert found.config.compatibility == "published"


def test_prefixes_of_distributed_training_are_taken_off(backbone, state, checkpoint, tmp_path):
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    import_checkpoint(checkpoint(wrapped), kind="backbone", out=tmp_path / "in")
    assert _same(weights.load(tmp_path / "in"), backbone)


def test_the_averaged_copy_on_demand(tiny_config, backbone, state, checkpoint, tmp_path):
    other = MaskedModel(tiny_config)
    file = checkpoint(state, model_ema=to_official(other))
    import_checkpoint(file, kind="backbone", out=tmp_path / "in", average=True)
    assert _same(weights.load(tmp_path / "in"), other)
    with pytest.raises(WeightsError, match="no averaged weights"):
        import_checkpoint(checkpoint(state), kind="backbone", out=tmp_path / "none", average=True)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_finetuning_checkpoint_becomes_a_downstream_model(tiny_config, checkpoint, tmp_path, pooling):
    model = DownstreamModel(tiny_config, 4, pooling=pooling)
    import_checkpoint(checkpoint(to_official(model)), kind="backbone", out=tmp_path / "in")
    found = weights.load(tmp_path / "in")
    assert _same(found, model)
    assert (found.outputs, found.pooling) == (4, pooling)


def test_out_and_in_again(tiny_tokenizer_config, backbone, tmp_path):
    for kind, model in (("tokenizer", Tokenizer(tiny_tokenizer_config)), ("backbone", backbone)):
        weights.save(model, tmp_path / kind)
        export_checkpoint(tmp_path / kind, tmp_path / "out.pth")
        import_checkpoint(tmp_path / "out.pth", kind=kind, out=tmp_path / f"{kind}-again")
        assert _same(weights.load(tmp_path / f"{kind}-again"), model)


@pytest.fixture
def refused(tmp_path):
    """Import must fail with the given error and write nothing."""

    def check(file, error, match, kind="backbone"):
        with pytest.raises(error, match=match):
            import_checkpoint(file, kind=kind, out=tmp_path / "in")
        assert not (tmp_path / "in").exists()

    return check


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_truncated_checkpoint_is_damaged(state, checkpoint, refused, share):
    file = checkpoint(state)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    refused(file, DamagedWeightsError, "not a whole")


def test_an_absent_or_foreign_file_is_damaged(tmp_path, refused):
    refused(tmp_path / "nowhere.pth", DamagedWeightsError, "not a whole")
    (tmp_path / "text.pth").write_text("hello, this is no checkpoint")
    refused(tmp_path / "text.pth", DamagedWeightsError, "not a whole")


class _Code:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_a_pickle_with_code_is_refused_and_the_code_not_run(state, checkpoint, refused, tmp_path):
    refused(checkpoint(state, args=_Code()), UnsafeWeightsError, "was not read")
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps({"model": _Code()}, protocol=2))
    refused(bare, UnsafeWeightsError, "was not read")


def test_values_that_are_not_finite_are_refused(state, checkpoint, refused):
    state["student.norm.weight"][3] = torch.nan
    refused(checkpoint(state), NonFiniteWeightsError, "NaN")


def test_a_missing_block_is_refused(state, checkpoint, refused):
    """Published: a non-strict load, and a random block."""
    holed = {name: tensor for name, tensor in state.items() if "blocks.0.mlp" not in name}
    refused(checkpoint(holed), MisfitWeightsError, "4 tensors missing")


def test_a_wrong_kind_is_refused_and_the_right_one_named(state, checkpoint, refused):
    refused(checkpoint(state), MisfitWeightsError, "--as backbone", kind="tokenizer")


def test_other_peoples_weights_are_refused(checkpoint, refused):
    refused(checkpoint({"fc.weight": torch.zeros(2, 2)}), MisfitWeightsError, "not LaBraM's")


def test_a_spatial_table_of_another_size_is_refused(state, checkpoint, refused):
    state["student.pos_embed"] = torch.zeros(1, 137, 100)
    refused(checkpoint(state), MisfitWeightsError, "another shape .* encoder.pos_embed")


def test_a_codebook_of_two_sizes_is_refused(tiny_tokenizer_config, checkpoint, refused):
    state = to_official(Tokenizer(tiny_tokenizer_config))
    state["quantize.cluster_size"] = torch.zeros(64)
    refused(checkpoint(state), CodebookSizeError, "48 codes in one tensor and 64", kind="tokenizer")


def test_our_weights_with_a_permuted_electrode_table_are_refused(backbone, tmp_path):
    weights.save(backbone, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["electrodes"][0], config["electrodes"][1] = config["electrodes"][1], config["electrodes"][0]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ElectrodeTableError, match="another order"):
        weights.load(tmp_path)


def test_defect_4_a_finetuned_checkpoint_is_never_taken_for_an_empty_pretrained_one(tiny_config, checkpoint, tmp_path):
    """Published: the prefix filter leaves nothing, the load is not strict, and the model is random."""
    import_checkpoint(checkpoint(to_official(DownstreamModel(tiny_config, 2))), kind="backbone", out=tmp_path / "in")
    with pytest.raises(WeightsError, match="downstream, not a pre-trained backbone"):
        weights.backbone_to_downstream(tmp_path / "in", 2)


def test_defect_23_the_argument_namespace_and_the_stray_scalar_do_no_harm(state, checkpoint, tmp_path):
    assert "logit_scale" in import_checkpoint(checkpoint(state), kind="backbone", out=tmp_path / "in").excused


def test_defect_25_dimensions_of_the_codebook_come_from_the_checkpoint(tiny_tokenizer_config, checkpoint, tmp_path):
    """Published: a flag, whose default does not fit the released tokenizer."""
    import_checkpoint(checkpoint(to_official(Tokenizer(tiny_tokenizer_config))), kind="tokenizer", out=tmp_path / "in")
    assert weights.load(tmp_path / "in").config == tiny_tokenizer_config
