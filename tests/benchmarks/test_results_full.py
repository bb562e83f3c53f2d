"""Trained strategies and networks predict every window once, out of fold, and a second run trains nothing."""

import numpy as np
import pytest
import torch

from benchmarks import results_full
from benchmarks.results_full import Bench
from labram.corpus.folds import cross_validated
from labram.evaluation import network_baselines
from labram.metrics import score
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel
from labram.recipe import AdaptationRecipe, SplitRecipe
from labram.training.data.labelled import LabelledWindows
from tests.evaluation.conftest import WORKLOAD, workload

__all__ = ["workload"]  # a fixture


@pytest.fixture
def bench(workload, tmp_path):
    corpus, store = workload
    torch.manual_seed(0)
    config = BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16, patch_embedding="time-frequency")
    weights.save(MaskedModel(config), tmp_path / "random")
    corpus = cross_validated(corpus, SplitRecipe(kind="kfold", folds=4), 0, {"eegmat"})
    return Bench(corpus, store, tmp_path, {"random": tmp_path / "random"})


def test_predictions_are_out_of_fold_and_kept(bench, monkeypatch):
    monkeypatch.setattr(network_baselines, "EPOCHS", 6)
    task = WORKLOAD.model_copy(update={"epochs": 1, "adaptation": AdaptationRecipe(strategy="two-stage")})
    windows = LabelledWindows.load(bench.corpus, bench.store, task, None)
    predict = {
        "shallow-fbcsp": lambda: results_full._network(bench, task, windows, "shallow-fbcsp"),
        "two-stage": lambda: results_full._strategy(
            bench, task, windows, bench.backbones["random"], "random two-stage"
        ),
    }
    first = {name: predicted() for name, predicted in predict.items()}
    assert all(score("auroc", "binary", windows.y, prediction) > 0.9 for prediction, _ in first.values())
    monkeypatch.setattr(network_baselines, "train", lambda *_: pytest.fail("it trains"))
    monkeypatch.setattr(results_full, "train_task_model", lambda *_: pytest.fail("it trains"))
    for name, (prediction, seconds) in first.items():
        again, spent = predict[name]()
        np.testing.assert_array_equal(again, prediction)
        assert spent == seconds
