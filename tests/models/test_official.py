"""Published checkpoints come in whole or not at all, run no code, and go out as they came."""

import argparse
import dataclasses
import json
import pickle
import zipfile
from pathlib import Path

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


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_distributed_and_compiled_training_are_taken_off(backbone, state, checkpoint, tmp_path, prefix):
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    import_checkpoint(checkpoint(wrapped), kind="backbone", out=tmp_path / "in")
    assert _same(weights.load(tmp_path / "in"), backbone)


def test_the_averaged_copy_on_demand(tiny_config, backbone, state, checkpoint, tmp_path):
    other = MaskedModel(tiny_config)
    file = checkpoint(state, model_ema=to_official(other))
    import_checkpoint(file, kind="backbone", out=tmp_path / "in", average=True)
    assert _same(weights.load(tmp_path / "in"), other)
    with pytest.raises(WeightsError, match="no averaged weights"):
        import_checkpoint(checkpoint(state), kind="backbone", out=tmp_path / "none", average=True)
    torch.save({"model_ema": state, "epoch": 3}, tmp_path / "average.pth")
    with pytest.raises(WeightsError, match="--ema"):
        import_checkpoint(tmp_path / "average.pth", kind="backbone", out=tmp_path / "none")


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_finetuning_checkpoint_becomes_a_downstream_model(tiny_config, checkpoint, tmp_path, pooling):
    model = DownstreamModel(tiny_config, 4, pooling=pooling)
    import_checkpoint(checkpoint(to_official(model)), kind="backbone", out=tmp_path / "in")
    found = weights.load(tmp_path / "in")
    assert _same(found, model)
    assert (found.outputs, found.pooling) == (4, pooling)


@pytest.fixture
def again(tmp_path):
    """A model after the way out, in the official layout, and in again; and the load report."""

    def pass_on(model, kind="backbone"):
        weights.save(model, tmp_path / "ours")
        export_checkpoint(tmp_path / "ours", tmp_path / "out.pth")
        report = import_checkpoint(tmp_path / "out.pth", kind=kind, out=tmp_path / "again")
        return weights.load(tmp_path / "again"), report

    return pass_on


@pytest.mark.parametrize("compatibility", ["corrected", "published"])
@pytest.mark.parametrize(
    "changes", [{}, {"qk_norm": False, "qkv_bias": True, "heads": 10}, {"layer_scale": 0.0}, {"layer_scale": 0.3}]
)
def test_out_and_in_again_is_the_same_model(tiny_config, again, window, rows, compatibility, changes):
    """Same tensors are not enough: heads and compatibility show in no shape, and change what is computed."""
    config = dataclasses.replace(tiny_config, compatibility=compatibility, **changes)
    for model in (MaskedModel(config).eval(), DownstreamModel(config, 3).eval()):
        found, report = again(model)
        assert _same(found, model)
        assert found.config == config
        assert not report.assumed
        with torch.no_grad():
            assert torch.equal(found(window, rows), model(window, rows))


def test_a_tokenizer_out_and_in_again_is_the_same(tiny_tokenizer_config, again, window, rows):
    config = dataclasses.replace(tiny_tokenizer_config, heads=10, compatibility="published", ema_decay=0.9)
    model = Tokenizer(config).eval()
    found, report = again(model, "tokenizer")
    assert _same(found, model)
    assert found.config == config
    assert not report.assumed
    assert torch.equal(found.encode(window, rows), model.encode(window, rows))


def test_an_exported_file_is_read_without_running_code_and_its_model_strictly(tiny_config, again, tmp_path):
    again(MaskedModel(tiny_config))
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    assert content["model"].keys() == to_official(MaskedModel(tiny_config)).keys()
    assert content["labram"] == {"heads": 5, "layer_scale": 0.1, "compatibility": "corrected", "codes": 48}


def test_a_number_of_heads_that_no_tensor_shows_is_reported(tiny_config, checkpoint, tmp_path):
    config = dataclasses.replace(tiny_config, qk_norm=False)
    report = import_checkpoint(checkpoint(to_official(MaskedModel(config))), kind="backbone", out=tmp_path / "in")
    assert report.assumed["heads"].startswith("5, as published for width 100")
    assert report.to_json()["assumed"] == report.assumed
    report = import_checkpoint(checkpoint(to_official(MaskedModel(tiny_config))), kind="backbone", out=tmp_path / "in")
    assert not report.assumed


def test_what_is_ignored_is_reported(state, checkpoint, tmp_path):
    more = {"teacher.norm.weight": torch.zeros(3), "loss_scale": torch.zeros(()), "scaling": torch.ones(1), "step": 7}
    report = import_checkpoint(checkpoint(state | more), kind="backbone", out=tmp_path / "in")
    assert more.keys() < report.excused.keys()
    assert report.excused["teacher.norm.weight"] == "the published loader ignores this prefix"
    assert report.excused["step"] == "not a tensor"


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
    refused(file, DamagedWeightsError, "not a PyTorch checkpoint")


def test_an_absent_or_foreign_file_is_damaged(tmp_path, refused):
    refused(tmp_path / "nowhere.pth", DamagedWeightsError, "file not found")
    refused(tmp_path, DamagedWeightsError, "is a folder")
    (tmp_path / "text.pth").write_text("hello, this is no checkpoint")
    refused(tmp_path / "text.pth", DamagedWeightsError, "not a PyTorch checkpoint")


class _Code:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_a_pickle_with_code_is_refused_and_the_code_not_run(state, checkpoint, refused, tmp_path):
    refused(checkpoint(state, args=_Code()), UnsafeWeightsError, "was not read")
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps({"model": _Code()}, protocol=2))
    refused(bare, UnsafeWeightsError, "was not read")


def test_a_bare_pickle_of_a_newer_protocol_is_refused_without_a_warning(refused, tmp_path, recwarn):
    bare = tmp_path / "bare.pth"
    bare.write_bytes(pickle.dumps({"model": _Code()}, protocol=4))
    refused(bare, UnsafeWeightsError, "was not read")
    assert not recwarn.list


def test_values_that_are_not_finite_are_refused(state, checkpoint, refused):
    state["student.norm.weight"][3] = torch.nan
    refused(checkpoint(state), NonFiniteWeightsError, "NaN")


def test_values_that_float32_cannot_hold_are_refused(state, checkpoint, refused):
    state["student.norm.weight"] = torch.full((100,), 1e300, dtype=torch.float64)
    refused(checkpoint(state), NonFiniteWeightsError, "too large")


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool])
def test_numbers_of_another_kind_are_refused(state, checkpoint, refused, dtype):
    state["student.norm.weight"] = torch.ones(100, dtype=dtype)
    refused(checkpoint(state), MisfitWeightsError, "1 tensors of another type .* encoder.norm.weight")


def _block_without_number(state):
    state["student.blocks.x.norm1.weight"] = torch.zeros(100)


def _block_out_of_reach(state):
    state["student.blocks.99999999.norm1.weight"] = torch.zeros(100)


def _no_block(state):
    for name in [name for name in state if ".blocks." in name]:
        del state[name]


def _no_dimension(state):
    state["student.cls_token"] = torch.tensor(0.0)


def _nothing_in_a_head(state):
    state["student.blocks.0.attn.q_norm.weight"] = torch.zeros(0)


def _sparse(state):
    state["student.cls_token"] = state["student.cls_token"].to_sparse()


def _odd_width(state):
    state["student.cls_token"] = torch.zeros(1, 1, 101)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_block_without_number, "1 tensors unexpected"),
        (_block_out_of_reach, "100000000 blocks"),
        (_no_block, "published.pth, student.blocks: the weights have no block"),
        (_no_dimension, r"student.cls_token: wrong shape: expected 3 non-empty dimensions, got \(\)"),
        (_nothing_in_a_head, r"q_norm.weight: wrong shape: expected 1 non-empty dimensions, got \(0,\)"),
        (_sparse, "1 tensors are sparse"),
        (_odd_width, "published.pth: the weights have impossible dimensions: width"),
    ],
)
def test_tensors_that_give_no_dimensions_are_refused(state, checkpoint, refused, change, match):
    change(state)
    refused(checkpoint(state), MisfitWeightsError, match)


@pytest.mark.parametrize(
    "wrong", [{"heads": 0}, {"heads": "5"}, {"compatibility": "else"}, {"layer_scale": torch.nan}, {"other": 1}]
)
def test_a_file_that_states_the_impossible_is_refused(state, checkpoint, refused, wrong):
    refused(checkpoint(state, labram=wrong), WeightsError, f"labram.{next(iter(wrong))}")
    refused(checkpoint(state, labram={"heads": 3}), WeightsError, "divisor of width")


def test_a_place_that_cannot_be_written_is_named_and_nothing_left(backbone, state, checkpoint, tmp_path):
    file = checkpoint(state)
    before = file.read_bytes()
    for out in (file, file / "in", Path("/proc/nowhere")):
        with pytest.raises(WeightsError, match=f"{out}: the folder cannot be created"):
            import_checkpoint(file, kind="backbone", out=out)
    weights.save(backbone, tmp_path / "ours")
    present = sorted(tmp_path.rglob("*"))
    for out, says in (
        (tmp_path / "ours", "is a folder"),
        (Path(), "is a folder"),
        (file / "out.pth", "cannot be written"),
        (Path("/proc/out.pth"), "cannot be written"),
    ):
        with pytest.raises(WeightsError, match=says):
            export_checkpoint(tmp_path / "ours", out)
    assert sorted(tmp_path.rglob("*")) == present
    assert file.read_bytes() == before


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
    refused(checkpoint(state), CodebookSizeError, "number of codes: 48 and 64", kind="tokenizer")


def test_a_head_of_two_sizes_is_refused(state, checkpoint, refused):
    state["lm_head.bias"] = torch.zeros(64)
    refused(checkpoint(state), CodebookSizeError, "number of codes: 48 and 64")


def test_a_description_with_another_number_of_codes_is_refused(tiny_tokenizer_config, backbone, tmp_path):
    for model in (backbone, Tokenizer(tiny_tokenizer_config)):
        weights.save(model, tmp_path)
        config = json.loads((tmp_path / "config.json").read_text())
        config["config"]["codes"] = 64
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(CodebookSizeError, match="expected 64, got 48"):
            weights.load(tmp_path)


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
    with pytest.raises(WeightsError, match="expected a pre-trained backbone, got a downstream"):
        weights.backbone_to_downstream(tmp_path / "in", 2)


def test_defect_23_the_argument_namespace_and_the_stray_scalar_do_no_harm(state, checkpoint, tmp_path):
    assert "logit_scale" in import_checkpoint(checkpoint(state), kind="backbone", out=tmp_path / "in").excused


def test_defect_25_dimensions_of_the_codebook_come_from_the_checkpoint(tiny_tokenizer_config, checkpoint, tmp_path):
    """Published: a flag, whose default does not fit the released tokenizer."""
    import_checkpoint(checkpoint(to_official(Tokenizer(tiny_tokenizer_config))), kind="tokenizer", out=tmp_path / "in")
    assert weights.load(tmp_path / "in").config == tiny_tokenizer_config


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused(checkpoint, state, tmp_path):
    file = checkpoint(state | {"cls_token": torch.zeros(1 << 22)})
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member))
    with pytest.raises(DamagedWeightsError):
        import_checkpoint(packed, kind="backbone", out=tmp_path / "model")


def test_a_tensor_that_repeats_a_value_without_end_is_refused(checkpoint, state, tmp_path):
    file = checkpoint(state | {"lm_head.weight": torch.zeros(1).expand(1 << 40)})
    with pytest.raises(DamagedWeightsError, match="more values than the file has"):
        import_checkpoint(file, kind="backbone", out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_width_that_no_tensor_fills_is_refused(checkpoint, state, tmp_path):
    name = next(name for name in state if name.endswith("cls_token"))
    file = checkpoint(state | {name: torch.zeros(1, 1, 25 << 12)})
    with pytest.raises(WeightsError):
        import_checkpoint(file, kind="backbone", out=tmp_path / "model")
