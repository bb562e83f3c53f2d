"""Tiny corpora, written directly to a store without reading or filtering recordings."""

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.recipe import ArchitectureRecipe, PretrainingRecipe, TaskRecipe, TokenizerRecipe
from labram.store.store import Store, to_patches

WIDE = ("FP1", "FP2", "C3", "C4", "O1", "O2")
NARROW = ("TP9", "AF7", "AF8", "TP10")


class TinyCorpus:
    """A corpus with its store, built recording by recording."""

    def __init__(self, folder):
        self.store = Store(folder)
        self.rows, self.labels = [], []

    def add(self, name, montage, signal, *, subject="", split="train", dataset="tiny", **columns):
        key = Store.key(name)
        patches = to_patches(np.asarray(signal, dtype=np.float32))
        self.store.write(key, patches, montage)
        self.rows.append(
            {
                "recording_id": name,
                "dataset": dataset,
                "subject_key": subject or name,
                "content_hash": name,
                "montage": list(montage),
                "seconds": len(patches),
                "store_key": key,
                "verdict": "accepted",
                "split": split,
                **columns,
            }
        )

    def label(self, name, task, start, seconds, *label):
        self.labels.append(
            {"recording_id": name, "task": task, "start": start, "seconds": seconds, "label": [float(v) for v in label]}
        )

    @property
    def corpus(self):
        return Corpus.of(self.rows, self.labels)


def noise(seed, channels, seconds, rhythm_hz=0.0):
    random = np.random.default_rng(seed)
    times = np.arange(seconds * 200) / 200
    wave = np.sin(2 * np.pi * (rhythm_hz * times + random.random((channels, 1))))
    return 10 * random.normal(size=(channels, seconds * 200)).cumsum(axis=1).clip(-8, 8) + 30 * bool(rhythm_hz) * wave


@pytest.fixture(scope="session")
def make_tiny():
    """For tests that need several corpora."""
    return TinyCorpus


@pytest.fixture
def tiny(tmp_path):
    return TinyCorpus(tmp_path / "store")


def fill(tiny):
    """Two montages, three splits, recordings of 1 to 40 s; labelled rest (0) or 10-Hz rhythm (1)."""
    for index, (montage, seconds, split) in enumerate(
        [
            (WIDE, 40, "train"),
            (WIDE, 20, "train"),
            (NARROW, 30, "train"),
            (NARROW, 1, "train"),
            (WIDE, 12, "validation"),
            (NARROW, 12, "validation"),
            (WIDE, 12, "test"),
        ]
    ):
        name = f"r{index}"
        rhythm = 10.0 * (index % 2)
        tiny.add(name, montage, noise(index, len(montage), seconds, rhythm), split=split)
        tiny.label(name, "rhythm", 0.0, seconds, index % 2)
        tiny.label(name, "speed", 0.0, seconds, 5.0 + rhythm, -rhythm)
    return tiny


@pytest.fixture
def mixed(tiny):
    """See `fill`."""
    return fill(tiny)


@pytest.fixture(scope="session")
def make_mixed():
    """For tests that share a corpus."""
    return lambda folder: fill(TinyCorpus(folder))


ARCHITECTURE = ArchitectureRecipe(width=100, conv_channels=4, heads=5, depth=1, decoder_depth=1, codes=16, code_width=8)
SMALL = {
    "steps": 6,
    "warmup_steps": 2,
    "micro_batches": 2,
    "patches": 48,
    "window_patches": 24,
    "window_seconds": 4,
    "log_every": 2,
    "validate_every": 3,
    "validation_batches": 2,
    "checkpoint_every": 2,
    "threads": 1,
}
TASKS = {
    "binary": {"name": "rhythm", "classes": ["rest", "ten_hz"], "metric": "auroc"},
    "regression": {"name": "speed", "classes": ["left", "right"], "metric": "r2"},
}


@pytest.fixture(scope="session")
def architecture():
    return ARCHITECTURE


@pytest.fixture(scope="session")
def tokenizer_recipe():
    """The smallest useful recipe, with changes."""
    return lambda **changes: TokenizerRecipe.model_validate({**SMALL, "min_perplexity": 1.0, **changes})


@pytest.fixture(scope="session")
def pretraining_recipe():
    return lambda **changes: PretrainingRecipe.model_validate({**SMALL, **changes})


@pytest.fixture(scope="session")
def task_recipe():
    settings = {"title": "Task", "dataset": "tiny", "seconds": 2, "epochs": 3, "batch": 8}
    return lambda kind="binary", **changes: TaskRecipe.model_validate(
        {**settings, "kind": kind, **TASKS[kind], **changes}
    )
