"""Sizes of steps: profiles, files, and what runs at once on a small node."""

from itertools import combinations
from pathlib import Path

import pytest

from labram.errors import PlatformError
from labram.platform.quantities import parse
from labram.steps.sizes import PROFILES, load
from labram.steps.table import STEPS, steps_of

NEXT_TO_EACH_OTHER = {
    "adapt": [{"load_backbone", "ingest"}, {"load_backbone", "quality"}],
    "study": [{"load_backbone", "ingest"}, {"load_backbone", "quality"}],
}
"""Steps that do not wait for each other, beside the tasks of a loop."""
SERVICES_CPU, SERVICES_GIB = 0.4, 1.75
"""MLflow, its database and the keeper of runs, as the overlay `local` requests them; see tests/k8s."""


@pytest.mark.parametrize("pipeline", ["retrain", "pretrain_only", "adapt", "study"])
def test_what_runs_at_once_with_the_small_profile_fits_into_a_small_node(pipeline) -> None:
    """At most 1.5 CPU and 6 GiB; a driver of KFP, with the defaults of the LimitRange, runs beside."""
    sizes = load("small")
    assert sizes.parallelism == 1
    for together in [{step.name} for step in steps_of(pipeline)] + NEXT_TO_EACH_OTHER.get(pipeline, []):
        requests = [sizes.steps[name] for name in together]
        assert sum(float(parse(size.cpu[0])) for size in requests) + 0.1 + SERVICES_CPU <= 1.5
        assert sum(float(parse(size.memory[0])) for size in requests) / 2**30 + 0.125 + SERVICES_GIB <= 6


def test_the_small_profile_leaves_a_training_the_threads_of_its_recipe() -> None:
    """Fewer would be throttled: two threads on one core wait for each other."""
    assert all(parse(load("small").steps[step.name].cpu[1]) >= 2 for step in STEPS.values() if step.resources.gpus)


def test_the_standard_profile_is_the_table_of_steps() -> None:
    for name, step in STEPS.items():
        size = load("").steps[name]
        assert (size.cpu, size.memory) == (step.resources.cpu, step.resources.memory)
    for first, second in combinations(PROFILES.values(), 2):
        assert first.steps.keys() == second.steps.keys() == STEPS.keys()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text("extends: small\nparallelism: 3\nsteps:\n  tokenizer: {cpu: ['2', '4']}\n")
    sizes = load(str(file))
    assert sizes.parallelism == 3
    assert sizes.steps["tokenizer"].cpu == ("2", "4")
    assert sizes.steps["tokenizer"].memory == load("small").steps["tokenizer"].memory
    assert sizes.steps["pretrain"] == load("small").steps["pretrain"]
    limits = {"limits.cpu": "2", "limits.memory": "6Gi"}
    assert sizes.requests(STEPS["tokenizer"], STEPS["gate"]) == {
        "tokenizer": {"cpu": "2", "memory": "3Gi", **limits, "limits.cpu": "4", "pool": "gpu"},
        "gate": {"cpu": "700m", "memory": "3Gi", **limits},
    }


def test_gpus_of_a_step_are_a_setting_too(tmp_path: Path) -> None:
    """By default trainings have the pipeline's parameter; a number places any step in the pool, 0 takes it out."""
    file = tmp_path / "ours.yaml"
    file.write_text("steps: {tokenizer: {gpus: 1}, finetune: {gpus: 0}, evaluate: {gpus: 2}}\n")
    sizes = load(str(file))
    assert {name for name, step in STEPS.items() if sizes.in_pool(step)} == {"tokenizer", "pretrain", "evaluate"}
    asked = sizes.requests(*STEPS.values())
    pool = {name: request.get("gpus", "parameter") for name, request in asked.items() if "pool" in request}
    assert pool == {"tokenizer": "1", "pretrain": "parameter", "evaluate": "2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: tiny", r"extends: no profile .tiny"),
        ("steps: {tokeniser: {cpu: [1, 2]}}", "steps.tokeniser: no step has this name"),
        ("steps: {tokenizer: {cpu: ['4', '2']}}", "request of at most the limit, got 4 and 2"),
        ("steps: {tokenizer: {memory: [lots, '2']}}", "steps.tokenizer"),
        ("parallelism: 0", "parallelism"),
        ("steps: {tokenizer: {gpu: 1}}", "steps.tokenizer.gpu"),
        ("steps: {tokenizer: {gpus: -1}}", "steps.tokenizer.gpus"),
        ("a: [", "sizes cannot be read"),
    ],
)
def test_a_file_with_an_error_is_named_with_the_field(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "ours.yaml"
    file.write_text(text)
    with pytest.raises(PlatformError, match=said) as error:
        load(str(file))
    assert "ours.yaml" in str(error.value)
