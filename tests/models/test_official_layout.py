"""Our models have the published tensors: names, shapes, counts, for all ten published variants."""

import pytest
import torch

from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.official_layout import UNUSED, from_official, to_official
from labram.models.tokenizer import Tokenizer

pytestmark = pytest.mark.golden

VARIANTS = {
    "vqnsp_base": lambda: Tokenizer(TokenizerConfig.base()),
    "vqnsp_large": lambda: Tokenizer(TokenizerConfig.large()),
    "pretrain_base": lambda: MaskedModel(BackboneConfig.base()),
    "pretrain_large": lambda: MaskedModel(BackboneConfig.large()),
    "pretrain_huge": lambda: MaskedModel(BackboneConfig.huge()),
    "finetune_base_mean_pool_1cls": lambda: DownstreamModel(BackboneConfig.base(), 1),
    "finetune_large_mean_pool_1cls": lambda: DownstreamModel(BackboneConfig.large(), 1),
    "finetune_huge_mean_pool_1cls": lambda: DownstreamModel(BackboneConfig.huge(), 1),
    "finetune_base_cls_token_6cls": lambda: DownstreamModel(BackboneConfig.base(), 6, pooling="cls"),
    "finetune_base_qkv_bias_1cls": lambda: DownstreamModel(BackboneConfig(qkv_bias=True), 1),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_state_dict_has_the_published_names_shapes_and_counts(golden, variant):
    table = golden("state_dicts.json")[variant]
    with torch.device("meta"):
        model = VARIANTS[variant]()
        official = to_official(model)
    assert {name: list(tensor.shape) for name, tensor in official.items()} == {row[0]: row[1] for row in table["rows"]}
    trainable = {row[0] for row in table["rows"] if row[4]}
    unused = sum(official[name].numel() for name in trainable & UNUSED)
    assert sum(p.numel() for p in model.parameters()) + unused == table["n_trainable"]


def test_layout_survives_the_round_trip(tiny_tokenizer_config, tiny_config):
    for model in (Tokenizer(tiny_tokenizer_config), MaskedModel(tiny_config), DownstreamModel(tiny_config, 2)):
        ours = model.state_dict()
        back = from_official(type(model), to_official(model), ours)
        assert back.keys() == ours.keys()
        assert all(torch.equal(back[name], ours[name]) for name in ours)


def test_tables_cover_all_ten_variants(golden):
    assert set(VARIANTS) == set(golden("state_dicts.json"))
