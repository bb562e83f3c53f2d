"""Fresh models are distributed like freshly made published ones."""

import math

import pytest
import torch

from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official_layout import UNUSED, to_official
from labram.models.tokenizer import Tokenizer

pytestmark = pytest.mark.golden

MODELS = {
    "vqnsp_base": lambda: Tokenizer(TokenizerConfig.base()),
    "pretrain_base": lambda: MaskedModel(BackboneConfig.base()),
    "finetune_base_6cls": lambda: DownstreamModel(BackboneConfig.base(), 6),
}
CODEBOOK = "quantize.embedding.weight"


@pytest.mark.parametrize("name", MODELS)
def test_mean_deviation_and_range_of_every_tensor(golden, name):
    torch.manual_seed(0)
    official = to_official(MODELS[name]())
    for key, expected in golden("init_stats.json")[name].items():
        if key in UNUSED or key == CODEBOOK:
            continue
        tensor = official[key]
        deviation = tensor.std().item() if tensor.numel() > 1 else 0.0
        noise = 6 / math.sqrt(tensor.numel())
        assert tensor.mean().item() == pytest.approx(expected["mean"], abs=1e-9 + noise * expected["std"]), key
        assert deviation == pytest.approx(expected["std"], rel=noise, abs=1e-9), key
        largest = max(abs(expected["min"]), abs(expected["max"]))
        assert tensor.abs().max().item() <= 2.5 * largest + 1e-9, key


def test_codebook_starts_as_unit_vectors_until_kmeans_sets_it(tiny_tokenizer_config):
    quantizer = Tokenizer(tiny_tokenizer_config).quantizer
    torch.testing.assert_close(quantizer.codebook.norm(dim=-1), torch.ones(48))
    assert quantizer.initialised.item() == 0
