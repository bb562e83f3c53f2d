"""Several processes, as `torchrun` starts them, over gloo on the CPU."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from labram.training.loop import _Training
from labram.training.ranks import Ranks

PROGRAM = Path(__file__).with_name("rank_program.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_mixed, architecture, tokenizer_recipe, pretraining_recipe):
    """The same trainings by one process and by two; gives the folder."""
    folder = tmp_path_factory.mktemp("ranks")
    make_mixed(folder / "store").corpus.save(folder / "corpus")
    (folder / "architecture.json").write_text(architecture.to_json())
    settings = {"steps": 12, "log_every": 1, "validate_every": 6, "checkpoint_every": 6}
    (folder / "tokenizer.json").write_text(tokenizer_recipe(**settings, restart_every=4).to_json())
    (folder / "masked.json").write_text(pretraining_recipe(**settings).to_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Training, "_clip", _Training._clip)  # put back what the program replaces
        runpy.run_path(str(PROGRAM))["train"](folder, "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(PROGRAM), str(folder), "two"], check=True, timeout=200, env=environment)
    return folder


def rows(folder, name):
    return [json.loads(line) for line in (folder / name / "history.jsonl").read_text().splitlines()]


def test_two_processes_were_at_work(trained):
    assert [json.loads((trained / f"rank-{rank}.json").read_text()) for rank in (0, 1)] == [2, 2]


@pytest.mark.parametrize("model", ["Tokenizer", "MaskedModel"])
def test_gradients_of_two_processes_are_those_of_one_with_the_doubled_batch(trained, model):
    one, two = (torch.load(trained / name / f"{model}.pt", weights_only=True) for name in ("one", "two"))
    assert len(one) == len(two) > 10
    for alone, shared in zip(one, two, strict=True):
        torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stage", ["tokenizer", "masked"])
def test_losses_and_figures_are_the_same_for_one_and_two_processes(trained, stage):
    one, two = rows(trained / "one", stage), rows(trained / "two", stage)
    assert len(one) == 14
    for alone, shared in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-3)
        assert shared["grad_norm" if "grad_norm" in alone else "loss"] > 0


def test_the_codebook_moved_the_same(trained):
    one, two = (load_file(trained / name / "tokenizer" / "model.safetensors") for name in ("one", "two"))
    (usage,) = (name for name in one if name.endswith("usage"))
    torch.testing.assert_close(two[usage], one[usage], rtol=0.1, atol=0.5)
    codebook = usage.replace("usage", "codebook")
    assert (one[codebook] * two[codebook]).sum(dim=1).mean() > 0.99


def test_shares_are_all_micro_batches_once():
    shares = [Ranks(rank, 3) for rank in range(3)]
    assert sorted(number for ranks in shares for number in range(9)[ranks.share]) == list(range(9))
    assert [ranks.number(1) for ranks in shares] == [3, 4, 5]


def test_one_process_agrees_with_itself():
    alone, tensor = Ranks.here(), torch.ones(2)
    alone.add_up([tensor])
    alone.copy_first([tensor])
    assert tensor.tolist() == [1, 1]
    assert (alone.total(3), alone.first_says(lambda: "so"), alone.all_say(["a"])) == (3, "so", ["a"])
