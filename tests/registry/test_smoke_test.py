"""Every kind of registered model is tried out through its pyfunc, and a damaged one is found."""

import shutil

import pytest

from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import load
from labram.registry import model_registry
from labram.registry.smoke_test import smoke_test

SMALL = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 1, "codes": 16}


def put(name, folder, run_id):
    version = model_registry.register(name, folder, run_id=run_id, recipe=load("demo"), lineage={}, card="# Card")
    return smoke_test(name, version.version)


@pytest.mark.parametrize("kind", ["tokenizer", "backbone", "task"])
def test_each_kind_of_model_loads_and_answers(kind, run_id, task_folder, tmp_path):
    if kind == "tokenizer":
        weights.save(Tokenizer(TokenizerConfig(**SMALL, decoder_depth=1, code_width=8)), tmp_path)
    elif kind == "backbone":
        weights.save(MaskedModel(BackboneConfig(**SMALL)), tmp_path)
    else:
        shutil.copytree(task_folder, tmp_path, dirs_exist_ok=True)
    verdicts = put(f"labram-smoke-{kind}", tmp_path, run_id)
    assert [gate.name for gate in verdicts] == ["weights", "inference"]
    assert all(gate.passed for gate in verdicts), verdicts


def test_damaged_weights_are_found(run_id, task_folder, tmp_path):
    shutil.copytree(task_folder, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"damaged!")
    (gate,) = put("labram-smoke-damaged", tmp_path, run_id)
    assert not gate.passed
    assert gate.name == "weights"
    assert "checksum mismatch" in gate.detail
