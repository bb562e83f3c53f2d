"""Where a run starts from is fixed once, by address and digest, and is a backbone."""

import pytest
import torch

from labram.errors import WeightsError
from labram.evaluation.leakage import PRETRAINING, Ledger, Seen
from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.masked import MaskedModel
from labram.models.official import export_checkpoint
from labram.models.tokenizer import Tokenizer
from labram.steps.load_backbone import copy_backbone, pin

SMALL = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 1, "codes": 16}


def save(folder, seed=0):
    torch.manual_seed(seed)
    weights.save(MaskedModel(BackboneConfig(**SMALL)), folder)
    return folder


def test_a_folder_is_named_by_its_weights_and_brought_with_its_ledger(tmp_path):
    folder, out = save(tmp_path / "backbone"), tmp_path / "out"
    Ledger().after(PRETRAINING, Seen.of(["s"], ["c"])).write(folder)
    start = pin(str(folder))
    assert start == f"{folder}#{weights.digest(folder)[:16]}"
    copy_backbone(start, out)
    assert weights.digest(out) == weights.digest(folder)
    assert Ledger.read(out) == Ledger.read(folder)


def test_weights_that_changed_since_the_start_are_an_error(tmp_path):
    start = pin(str(save(tmp_path / "backbone")))
    save(tmp_path / "backbone", seed=1)
    with pytest.raises(WeightsError, match="weights have changed since the run started"):
        copy_backbone(start, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_published_checkpoint_is_imported_and_has_no_ledger(tmp_path):
    folder, file, out = save(tmp_path / "backbone"), tmp_path / "labram-base.pth", tmp_path / "out"
    export_checkpoint(folder, file, layout="official", seconds=16)
    copy_backbone(pin(str(file)), out)
    assert weights.digest(out) == weights.digest(folder)
    assert Ledger.read(out) == Ledger()


def test_a_tokenizer_is_no_backbone(tmp_path):
    folder = tmp_path / "tokenizer"
    weights.save(Tokenizer(TokenizerConfig(**SMALL, decoder_depth=1, code_width=8)), folder)
    with pytest.raises(WeightsError, match=r"not those of a pre-trained backbone.*models:/labram-backbone@champion"):
        copy_backbone(pin(str(folder)), tmp_path / "out")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json"):
        pin(str(tmp_path / "nothing"))
