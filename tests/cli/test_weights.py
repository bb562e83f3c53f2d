"""`labram weights`: published weights come in whole or not at all, whatever is wrong with them; ours go out."""

import argparse
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official_layout import to_official
from labram.models.tokenizer import Tokenizer

SMALL = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 3, "codes": 16}
LABRAM = Path(sys.executable).with_name("labram")


@pytest.fixture
def published(tmp_path):
    """Writes a pre-training checkpoint as the published scripts do, after a change to its tensors."""

    def write(change=lambda tensors: None, model=None, **more):
        tensors = to_official(model or MaskedModel(BackboneConfig(**SMALL))) | {"logit_scale": torch.tensor(1.0)}
        change(tensors)
        file = tmp_path / "published.pth"
        torch.save({"model": tensors, "epoch": 49, "args": argparse.Namespace(lr=5e-4)} | more, file)
        return file

    return write


def _tokenizer():
    return Tokenizer(TokenizerConfig(**SMALL, decoder_depth=1, code_width=8))


def test_a_checkpoint_comes_in_and_each_tensor_is_accounted_for(labram, published, tmp_path):
    code, out, _ = labram("weights", "import", published(), "--as", "backbone", "--out", tmp_path / "in")
    assert code == 0
    assert "loaded    " in out
    assert "logit_scale" in out
    assert "read by no computation" in out
    assert "MaskedModel: width 100, depth 3" in out
    assert isinstance(weights.load(tmp_path / "in"), MaskedModel)


def _in_a_process(*arguments):
    done = subprocess.run([LABRAM, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.golden
@pytest.mark.parametrize(("kind", "separate"), [("backbone", True), ("tokenizer", False)])
def test_the_released_layout_makes_the_round_trip_of_processes_too(kind, separate, labram, tmp_path, monkeypatch):
    released = Path(__file__).parents[3] / "shared" / "golden" / f"released_layout_{kind}.pth"
    if not released.exists():
        pytest.skip(f"{released.name} is not here")
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ("import", released, "--as", kind, "--out", "in"),
        ("export", "in", "--layout", "official", "--out", "out.pth"),
        ("import", "out.pth", "--as", kind, "--out", "again"),
    ):
        code, _, errors = (_in_a_process if separate else labram)("weights", *arguments)
        assert code == 0, errors
    first, again = (load_file(tmp_path / folder / "model.safetensors") for folder in ("in", "again"))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_weights_go_to_braindecode_and_back(labram, tmp_path):
    model = DownstreamModel(BackboneConfig(**SMALL), 3)
    weights.save(model, tmp_path / "ours")
    file = tmp_path / "out.pth"
    code, out, _ = labram("weights", "export", tmp_path / "ours", "--layout", "braindecode", "--out", file)
    assert code == 0
    assert "braindecode.models.Labram(n_times=3200, n_outputs=3," in out
    assert labram("weights", "import", file, "--as", "backbone", "--out", tmp_path / "again")[0] == 0
    assert weights.digest(tmp_path / "again") == weights.digest(tmp_path / "ours")


def test_a_pretrained_backbone_goes_to_braindecode_and_back_with_a_head_of_zeros(labram, tmp_path):
    weights.save(MaskedModel(BackboneConfig(**SMALL)), tmp_path / "ours")
    file = tmp_path / "out.pth"
    _, out, _ = labram("weights", "export", tmp_path / "ours", "--layout", "braindecode", "--out", file)
    assert "sets the head to zero" in out
    _, out, _ = labram("weights", "import", file, "--as", "backbone", "--out", tmp_path / "in")
    assert "the file has no head: it starts from zero" in out
    model = weights.load(tmp_path / "in")
    assert not model.head.weight.any()
    assert not model.head.bias.any()
    labram("weights", "import", file, "--as", "backbone", "--out", tmp_path / "again")
    assert weights.digest(tmp_path / "again") == weights.digest(tmp_path / "in")


def test_an_assumed_number_of_heads_is_said(labram, published, tmp_path):
    file = published(model=_tokenizer())
    _, out, _ = labram("weights", "import", file, "--as", "tokenizer", "--out", tmp_path / "in")
    assert "assumed" in out
    assert "5, as published for width 100" in out


class _Code:
    def __reduce__(self):
        return (exec, ("raise RuntimeError('code ran')",))


def _truncated(published):
    file = published()
    file.write_bytes(file.read_bytes()[:-500])
    return file


def _averaged_only(published):
    file = published()
    torch.save({"model_ema": torch.load(file, weights_only=False)["model"]}, file)
    return file


def _nan(tensors):
    tensors["student.blocks.1.norm1.weight"][0] = torch.nan


def _hole(tensors):
    for name in [name for name in tensors if ".blocks.1." in name]:
        del tensors[name]


def _other_width(tensors):
    tensors["student.blocks.1.mlp.fc1.weight"] = torch.zeros(4, 4)


def _other_codes(tensors):
    tensors["student.lm_head.weight"] = torch.zeros(32, 100)


BAD = {
    "truncated": (_truncated, "not a PyTorch checkpoint"),
    "with code in it": (lambda published: published(args=_Code()), "was not read"),
    "not a number": (lambda published: published(_nan), "NaN, infinite"),
    "of a wrong depth": (lambda published: published(_hole), "tensors missing"),
    "of a wrong shape": (lambda published: published(_other_width), "of another shape"),
    "with another codebook": (lambda published: published(_other_codes), "number of codes: 16 and 32"),
    "of another kind": (lambda published: published(model=_tokenizer()), "holds a tokenizer, not a backbone"),
    "absent": (lambda published: Path("nowhere.pth"), "file not found"),
    "averaged only": (_averaged_only, "Import it with --ema"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_checkpoint_is_refused_in_one_sentence_and_nothing_is_written(labram, published, tmp_path, what):
    make, says = BAD[what]
    code, out, err = labram("weights", "import", make(published), "--as", "backbone", "--out", tmp_path / "in")
    assert code == 1
    assert out == ""
    assert says in err
    assert not (tmp_path / "in").exists()


def test_a_misfit_names_every_tensor(labram, published, tmp_path):
    _, _, err = labram("weights", "import", published(_hole), "--as", "backbone", "--out", tmp_path / "in")
    assert len([line for line in err.splitlines() if line.startswith("missing  encoder.blocks.1.")]) == 17


def _permute(description):
    description["electrodes"][:2] = reversed(description["electrodes"][:2])


def _deeper(description):
    description["config"]["depth"] += 1


def _more_codes(description):
    description["config"]["codes"] = 32


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_permute, "in another order"),
        (_deeper, r"tensors missing (such as encoder.blocks.3."),
        (_more_codes, "expected 32, got 16"),
    ],
)
def test_a_folder_whose_description_does_not_fit_is_not_exported(labram, tmp_path, change, says):
    weights.save(MaskedModel(BackboneConfig(**SMALL)), tmp_path / "ours")
    file = tmp_path / "ours" / "config.json"
    description = json.loads(file.read_text())
    change(description)
    file.write_text(json.dumps(description))
    code, _, err = labram("weights", "export", tmp_path / "ours", "--layout", "official", "--out", tmp_path / "o.pth")
    assert code == 1
    assert says in err
    assert not (tmp_path / "o.pth").exists()


def test_a_bare_pickle_with_code_runs_nothing(labram, tmp_path):
    file = tmp_path / "bare.pth"
    file.write_bytes(pickle.dumps({"model": _Code()}, protocol=2))
    code, _, err = labram("weights", "import", file, "--as", "backbone", "--out", tmp_path / "in")
    assert code == 1
    assert "was not read" in err


def test_the_bench_is_one_json_object(labram):
    small = ("--batch", 1, "--channels", 2, "--seconds", 1, "--repeats", 1, "--mode", "eager", "--precision", "fp32")
    code, out, _ = labram("bench", "model", "--json", "--step", "inference", *small)
    found = json.loads(out)
    assert code == 0
    assert {one["implementation"] for one in found["measurements"]} >= {"labram"}
    assert all(one["patches_per_second"] > 0 for one in found["measurements"])
    assert len(found["times_braindecode"]) == len(found["measurements"]) - 1
    code, out, _ = labram("bench", "model", "--step", "tokenizer", *small)
    assert "tokenizer" in out
    assert labram("bench", "model", "--step", "tokeniser")[0] == 2
