"""The golden outputs of the published code, and models that hold the weights behind them."""

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.official_layout import LabramModel, from_official, official_names, to_official

HERE = Path(__file__).parents[1] / "golden"
SHARED = Path(os.environ.get("LABRAM_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
NUMPY_IN_AUX = [np._core.multiarray._reconstruct, np.ndarray, np.dtype, type(np.dtype("f8"))]


def _recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_recipe", HERE / "recipe.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Golden:
    """Reads golden files and fills models as they were filled."""

    recipe = _recipe()

    def __call__(self, name: str) -> Any:
        file = HERE / name if (HERE / name).exists() else SHARED / name
        if not file.exists():
            pytest.skip(f"{name} is not among the small golden files and {SHARED.name}/ is not here")
        if file.suffix == ".json":
            return json.loads(file.read_text())
        with torch.serialization.safe_globals(NUMPY_IN_AUX):
            return torch.load(file, weights_only=True)

    def path(self, name: str) -> Path:
        if not (SHARED / name).exists():
            pytest.skip(f"{name} is not here")
        return SHARED / name

    def recipe_weights(self, model: LabramModel, seed: int = 0) -> Any:
        """The model, with the weights that are a function of their published names."""
        official = to_official(model)
        return self.weights(model, self.recipe.recipe_state_dict({k: v.shape for k, v in official.items()}, seed))

    def weights(self, model: LabramModel, official: dict[str, Tensor]) -> Any:
        model.load_state_dict(from_official(type(model), official, model.state_dict()))
        return model.eval()

    def gradients(self, model: LabramModel) -> dict[str, Tensor]:
        names = official_names(type(model), model.state_dict())
        return {names[name]: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden()


@pytest.fixture
def tiny_tokenizer_config() -> TokenizerConfig:
    return TokenizerConfig(width=100, conv_channels=4, depth=2, heads=5, codes=48, decoder_depth=1, code_width=16)


@pytest.fixture
def tiny_config() -> BackboneConfig:
    return BackboneConfig(width=100, conv_channels=4, depth=2, heads=5, codes=48)


@pytest.fixture
def window() -> Tensor:
    """Three channels, two seconds, batch of two."""
    return 0.3 * torch.randn(2, 3, 2, 200, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def rows() -> Tensor:
    return torch.tensor([1, 40, 83])


def close(found: Tensor, expected: Tensor, tolerance: float = 2e-6) -> None:
    """Equal within the tolerance that held between the published code and an independent implementation.

    It is relative to the largest value, and absolute below 1: kernels of other processors sum in another order.
    """
    assert found.shape == expected.shape
    assert (found.detach() - expected).abs().max().item() <= tolerance * max(1.0, expected.abs().max().item())


@pytest.fixture(name="close")
def _close() -> Any:
    return close
