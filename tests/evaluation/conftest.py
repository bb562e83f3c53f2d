"""A small labelled corpus in a store, and task models that have learnt nothing."""

import numpy as np
import pytest
import torch

from labram.corpus.catalogue import Corpus
from labram.evaluation import random_weights
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from labram.recipe import TaskRecipe
from labram.store.store import Store, to_patches
from labram.training.task_metadata import TaskMetadata

WORKLOAD = TaskRecipe(
    name="workload",
    title="Workload",
    dataset="eegmat",
    kind="binary",
    classes=("rest", "arithmetic"),
    metric="auroc",
    seconds=4,
    baselines=("spectral",),
)
CHANNELS = ("FP1", "FP2", "C3", "C4", "O1", "O2")


def eeg(seed, *, alpha, channels=6, seconds=24, rate=200):
    """Noise of 10 µV with a 10-Hz rhythm of `alpha` µV."""
    random = np.random.default_rng(seed)
    times = np.arange(seconds * rate) / rate
    rhythm = alpha * np.sin(2 * np.pi * (10 * times + random.random((channels, 1))))
    return (rhythm + random.normal(scale=10, size=(channels, seconds * rate))).astype(np.float32)


@pytest.fixture(autouse=True)
def two_draws(monkeypatch):
    """Two draws of random weights instead of five, which take their time."""
    monkeypatch.setattr(random_weights, "DRAWS", 2)


@pytest.fixture
def workload(tmp_path):
    """Eight subjects, a recording of each state each; rest has more alpha; one subject lacks a channel."""
    store = Store(tmp_path / "store")
    rows, labels = [], []
    splits = ["train"] * 3 + ["validation"] * 2 + ["test"] * 3
    for subject, split in enumerate(splits):
        montage = CHANNELS if subject else CHANNELS[1:]
        for state in (0, 1):
            name = f"r{subject}{state}"
            signal = eeg(2 * subject + state, alpha=3 if state else 15, channels=len(montage))
            store.write(Store.key(name), to_patches(signal), montage)
            rows.append(
                {
                    "recording_id": name,
                    "dataset": "eegmat",
                    "subject_key": f"s{subject}",
                    "content_hash": f"hash of {name}",
                    "montage": list(montage),
                    "seconds": 24,
                    "store_key": Store.key(name),
                    "verdict": "accepted",
                    "reasons": [],
                    "split": split,
                }
            )
            labels.append(
                {"recording_id": name, "task": "workload", "start": 0.0, "seconds": 24.0, "label": [float(state)]}
            )
    return Corpus.of(rows, labels), store


@pytest.fixture
def model(tmp_path):
    """Folder of a workload model with random weights."""
    folder = tmp_path / "model"
    torch.manual_seed(0)
    weights.save(DownstreamModel(BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16), 1), folder)
    TaskMetadata(recipe=WORKLOAD).write(folder)
    return folder
