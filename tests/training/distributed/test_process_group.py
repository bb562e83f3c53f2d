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

from labram.training.distributed.process_group import ProcessGroup
from labram.training.loop import _Loop

PROGRAM = Path(__file__).with_name("rank_program.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_mixed, architecture, tokenizer_recipe, pretraining_recipe):
    """Folder of equal trainings by one process and by two, sharded or not, or resumed half-way."""
    folder = tmp_path_factory.mktemp("ranks")
    make_mixed(folder / "store").corpus.save(folder / "corpus")
    (folder / "architecture.json").write_text(architecture.to_json())
    settings = {"steps": 12, "log_every": 1, "validate_every": 6, "checkpoint_every": 6}
    (folder / "tokenizer.json").write_text(tokenizer_recipe(**settings, restart_every=4).to_json())
    (folder / "masked.json").write_text(pretraining_recipe(**settings).to_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Loop, "_clip", _Loop._clip)  # put back what the program replaces
        program = runpy.run_path(str(PROGRAM))
        program["train"](folder, "one")
        program["half_way"](folder, "one", "taken over")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, str(PROGRAM), str(folder)], check=True, timeout=200, env=environment)
        program["half_way"](folder, "shared out", "alone again")
        program["pretrain"](folder, "alone again")
    return folder


def rows(folder, name):
    return [json.loads(line) for line in (folder / name / "history.jsonl").read_text().splitlines()[:-1]]


def test_two_processes_took_part(trained):
    assert [json.loads((trained / f"rank-{rank}.json").read_text()) for rank in (0, 1)] == [2, 2]


@pytest.mark.parametrize(
    ("name", "objective"),
    [("two", "TokenizerObjective"), ("two", "MaskedObjective"), ("shared out", "MaskedObjective")],
)
def test_gradients_of_two_processes_are_those_of_one_with_the_doubled_batch(trained, name, objective):
    one, two = (torch.load(trained / place / f"{objective}.pt", weights_only=True) for place in ("one", name))
    assert len(one) == len(two) > 10
    for alone, shared in zip(one, two, strict=True):
        torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("two", "tokenizer"),
        ("two", "masked"),
        ("shared out", "masked"),
        ("taken over", "masked"),
        ("alone again", "masked"),
    ],
)
def test_losses_and_metrics_are_the_same_for_one_and_two_processes(trained, name, stage):
    one, two = rows(trained / "one", stage), rows(trained / name, stage)
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


@pytest.mark.parametrize("name", ["two", "shared out", "taken over", "alone again"])
def test_weights_are_unsharded_and_the_same_for_any_sharding(trained, name):
    """Two sharded processes start anew or resume the checkpoint of one; one process resumes theirs."""
    one, other = (load_file(trained / place / "masked" / "model.safetensors") for place in ("one", name))
    assert one.keys() == other.keys()
    whole, difference = (
        torch.cat([value.flatten() for value in values])
        for values in (one.values(), [other[key] - one[key] for key in one])
    )
    assert difference.norm() < 3e-4 * whole.norm()


def test_a_checkpoint_of_a_sharded_model_has_the_same_files_and_tensors(trained):
    one, shared = (trained / name / "b" / "step-000012" for name in ("one", "shared out"))
    assert sorted(file.name for file in one.iterdir()) == sorted(file.name for file in shared.iterdir())
    for name in ("weights", "optimiser", "running"):
        plain, whole = (load_file(place / f"{name}.safetensors") for place in (one, shared))
        assert {key: value.shape for key, value in plain.items()} == {key: value.shape for key, value in whole.items()}


def test_local_slices_partition_the_micro_batches():
    shares = [ProcessGroup(rank, 3) for rank in range(3)]
    assert sorted(number for ranks in shares for number in range(9)[ranks.local_slice]) == list(range(9))
    assert [ranks.global_index(1) for ranks in shares] == [3, 4, 5]


def test_collectives_of_one_process_are_the_identity():
    alone, tensor = ProcessGroup.current(), torch.ones(2)
    alone.all_reduce([tensor])
    alone.broadcast([tensor])
    assert tensor.tolist() == [1, 1]
    assert (alone.sum_on_host(3), alone.compute_on_main(lambda: "so"), alone.all_gather(["a"])) == (3, "so", ["a"])
