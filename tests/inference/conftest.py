"""A folder of recordings in the layout of eegmat, and a workload model that has learnt nothing."""

from pathlib import Path

import edfio
import numpy as np
import pytest
import torch

from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from labram.recipe import AlignmentRecipe, TaskRecipe
from labram.training.task_metadata import TaskMetadata

SMALL = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 2, "codes": 16}
NAMES = ("EEG Fp1", "EEG Fp2", "EEG C3", "EEG C4", "EEG O1", "EEG O2", "ECG ECG")


def write_edf(path: Path, seed: int, *, seconds: int = 16, rate: int = 250, names=NAMES) -> Path:
    random = np.random.default_rng(seed)
    times = np.arange(seconds * rate) / rate
    waves = (3 + seed % 3 * 5) * np.sin(2 * np.pi * (10 * times + random.random((len(names), 1))))
    data = waves + random.normal(scale=10, size=(len(names), len(times))).cumsum(axis=1) * 0.2
    signals = [
        edfio.EdfSignal(row, rate, label=name, physical_dimension="uV") for row, name in zip(data, names, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    edfio.Edf(signals).write(path)
    return path


def write_task_model(folder: Path, *, alignment: str = "none", seconds: int = 4) -> Path:
    torch.manual_seed(0)
    model = DownstreamModel(BackboneConfig(**SMALL), 1)
    torch.nn.init.normal_(model.head.weight, std=0.3)
    weights.save(model, folder)
    recipe = TaskRecipe(
        name="workload",
        title="Workload",
        dataset="eegmat",
        kind="binary",
        classes=("rest", "arithmetic"),
        metric="auroc",
        seconds=seconds,
        alignment=AlignmentRecipe(kind=alignment),
    )
    TaskMetadata(recipe=recipe).write(folder)
    return folder


@pytest.fixture(scope="session")
def eegmat(tmp_path_factory) -> Path:
    """Two subjects with two recordings each."""
    folder = tmp_path_factory.mktemp("eegmat")
    for subject in (1, 2):
        for part in (1, 2):
            write_edf(folder / f"Subject{subject:02d}_{part}.edf", 10 * subject + part)
    return folder
