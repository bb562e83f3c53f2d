"""Training and tokenizing from the command line, on a store with one corpus."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from labram.cli import app
from labram.corpus.catalogue import Corpus
from labram.store.store import Store, to_patches

SMALL = ("steps=4", "warmup_steps=1", "patches=32", "window_patches=16", "checkpoint_every=2", "threads=1")
SETTINGS = [
    "architecture={width: 100, conv_channels: 4, heads: 5, depth: 1, decoder_depth: 1, codes: 16, code_width: 8}",
    *(f"{stage}.{setting}" for stage in ("tokenizer", "pretraining") for setting in SMALL),
    "tokenizer.min_perplexity=1.0",
]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("LABRAM_STORE", raising=False)
    found, rows = Store(tmp_path / "store"), []
    for index, split in enumerate(("train", "train", "validation")):
        name, montage = f"r{index}", ("FP1", "FP2", "C3")
        noise = np.random.default_rng(index).normal(scale=20, size=(3, 12 * 200)).astype(np.float32)
        found.write(Store.key(name), to_patches(noise), montage)
        facts = {"recording_id": name, "subject_key": name, "content_hash": name, "dataset": "noise", "split": split}
        rows.append(facts | {"montage": montage, "seconds": 12, "store_key": Store.key(name), "verdict": "accepted"})
    Corpus.of(rows, []).save(tmp_path / "judged")
    found.publish(tmp_path / "judged", "noise")
    return tmp_path / "store"


def labram(*arguments, changes=()):
    given = [part for setting in [*SETTINGS, *changes] for part in ("--set", setting)]
    return CliRunner().invoke(app, [*map(str, arguments), *(given if arguments[0] == "train" else [])])


def test_a_tokenizer_is_trained_tokenizes_and_teaches(store, tmp_path):
    done = labram("train", "tokenizer", "--out", tmp_path / "tokenizer", "--store", store, "--json")
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["done"] for line in lines if line["event"] == "progress"] == [1, 2, 3, 4]
    assert lines[-1]["event"] == "finished"
    assert lines[-1]["metrics"]["steps"] == 4
    told = labram("tokenize", tmp_path / "tokenizer", "--store", store)
    assert told.exit_code == 0, told.output
    assert "computed and stored codes of 2 recordings" in told.output
    arguments = (
        "train",
        "pretrain",
        "--from",
        tmp_path / "tokenizer",
        "--out",
        tmp_path / "backbone",
        "--store",
        store,
    )
    done = labram(*arguments, changes=["pretraining.stored_codes=true"])
    assert done.exit_code == 0, done.output
    assert "accuracy" in done.output


def test_a_changed_recipe_is_refused_unless_it_is_allowed(store, tmp_path):
    arguments = ("train", "tokenizer", "--out", tmp_path / "tokenizer", "--store", store)
    assert labram(*arguments).exit_code == 0
    refused = labram(*arguments, changes=["tokenizer.steps=6"])
    assert refused.exit_code == 1
    assert "tokenizer.steps: 4 → 6" in str(refused.exception)
    with pytest.warns(UserWarning, match="written with other settings"):
        allowed = labram(*arguments, "--allow", changes=["tokenizer.steps=6"])
    assert allowed.exit_code == 0, allowed.output
    assert "resuming after step 4 of 6" in allowed.output


def test_a_task_with_swapped_classes_is_not_trained(store, tmp_path):
    arguments = ("train", "finetune", "--task", "abnormal", "--out", tmp_path / "x", "--store", store)
    done = labram(*arguments, "--from", tmp_path, changes=["tasks.abnormal.classes=[abnormal, normal]"])
    assert "classes differ from the labels of dataset" in str(done.exception)


def test_what_a_stage_starts_from_has_to_be_named(store, tmp_path):
    done = labram("train", "pretrain", "--out", tmp_path / "x", "--store", store)
    assert "pre-training needs a tokenizer" in str(done.exception)
