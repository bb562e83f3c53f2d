"""Draft a small recipe for a dataset: windows from its labels, model and steps from its hours and the machine."""

import os
from dataclasses import dataclass
from typing import Any

from labram.corpus.dataset_check import DatasetCheck
from labram.datasets.stated.draft import quoted
from labram.datasets.stated.file_dataset import FileDataset
from labram.input_spec import MAX_PATCHES, MAX_SECONDS
from labram.recipe import FEWEST_TEST_SUBJECTS

_LONG_SPAN, _LONG_WINDOW = 20.0, 10
"""Spans from which windows are ten seconds: shorter ones would have less to tell, longer ones are fewer."""
_REFERENCE = {"tokenizer": 6000.0, "pretraining": 3800.0}
"""Patches per second of the two stages on two cores with a model of width 200 and depth 4 (docs/results.md)."""
_REFERENCE_COST, _REFERENCE_CORES = 200**2 * 4, 2
_OVERHEAD_MINUTES = 2.0
_PATCHES = 1024
_TEST_SHARE = 0.2


@dataclass(frozen=True)
class _Size:
    """Model and training for some hours of recordings."""

    hours: float
    architecture: dict[str, int]
    tokenizer_steps: int
    pretraining_steps: int
    micro_batches: int


_TINY = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 4, "decoder_depth": 2, "codes": 64, "code_width": 32}
_SMALL = {"width": 200, "conv_channels": 8, "heads": 10, "depth": 4, "decoder_depth": 2, "codes": 512, "code_width": 32}
_SIZES = (
    _Size(2.0, _TINY, 250, 250, 2),
    _Size(20.0, _SMALL, 600, 2000, 1),
    _Size(float("inf"), _SMALL, 1500, 6000, 2),
)


def draft_recipe(dataset: FileDataset, checked: DatasetCheck, base: str = "demo") -> str:
    """Return the text of a commented recipe.

    Args:
        dataset: The dataset.
        checked: Its check.
        base: Recipe that it extends.
    """
    size = next(size for size in _SIZES if checked.hours <= size.hours)
    cores = len(os.sched_getaffinity(0))
    lines = [
        f"# Drafted by `labram recipe init` for {checked.hours:.2f} hours of {checked.subjects} subjects.",
        "# `labram recipe keys` explains all settings. What a task does not state here (title, kind, classes, metric),",
        "# dataset.yaml states.",
        f"extends: {base}",
        f"name: {dataset.name}",
        f"description: {quoted(dataset.title)}",
        f"corpus: {{datasets: [{dataset.name}]}}",
        "",
        *_split(checked),
        "",
        f"# A small model: about {_minutes(size, cores):.0f} minutes on the {cores} cores of this machine.",
        f"architecture: {_inline(size.architecture)}",
        f"tokenizer: {_inline({'steps': size.tokenizer_steps, 'micro_batches': size.micro_batches})}",
        f"pretraining: {_inline({'steps': size.pretraining_steps, 'micro_batches': size.micro_batches})}",
        "",
        *_tasks(dataset, checked),
    ]
    return "\n".join(lines) + "\n"


def _split(checked: DatasetCheck) -> list[str]:
    if checked.within_session:
        return [
            f"# Few people ({checked.subjects}): models of one person, tested on other parts of a recording. Scores",
            "# say how well they do for these people, and nothing about others. Pre-training uses all, without labels.",
            "split: {kind: within-session, pretraining: all}",
        ]
    if round(_TEST_SHARE * checked.subjects) < FEWEST_TEST_SUBJECTS:
        return [
            f"# A fifth of {checked.subjects} subjects are too few for tests: every subject is tested once, by models",
            "# that were fitted to others. Pre-training uses all recordings, without labels, and scores say so.",
            "split: {kind: kfold, folds: 5, pretraining: all, validation: 0.2}",
        ]
    return ["# Shares of the subjects.", f"split: {{validation: 0.2, test: {_TEST_SHARE}, few_subjects: reject}}"]


def _minutes(size: _Size, cores: int) -> float:
    """Return the expected minutes of a whole run on CPU cores."""
    cost = size.architecture["width"] ** 2 * size.architecture["depth"] / _REFERENCE_COST
    patches = {"tokenizer": size.tokenizer_steps, "pretraining": size.pretraining_steps}
    seconds = sum(steps * size.micro_batches * _PATCHES * cost / _REFERENCE[stage] for stage, steps in patches.items())
    return _OVERHEAD_MINUTES + seconds / 60 * _REFERENCE_CORES / cores


def _tasks(dataset: FileDataset, checked: DatasetCheck) -> list[str]:
    if not dataset.tasks:
        return ["# dataset.yaml states no task: the run ends with tokenizer and backbone.", "tasks: null"]
    lines = ["tasks:"]
    for task in dataset.tasks:
        seconds = window_seconds(checked, task)
        median = checked.median_label_seconds(task)
        lines += [
            f"  # Labelled spans have a median of {median:.0f} s; windows of {seconds} s are cut from them."
            if median >= 1
            else "  # ? labels of less than a second, or none: state longer spans in dataset.yaml (tmin, tmax)",
            f"  - name: {task}",
            f"    dataset: {dataset.name}",
            f"    seconds: {seconds}",
            "    # A probe of the frozen backbone, stacked with a spectral model; the report states LaBraM's share.",
            "    adaptation: {strategy: probe, pooling: mean, stack: true}",
        ]
    return lines


def window_seconds(checked: DatasetCheck, task: str) -> int:
    """Return the length of a task's windows: that of short spans, ten seconds of long ones, as the montage allows."""
    median = checked.median_label_seconds(task)
    wanted = _LONG_WINDOW if median >= _LONG_SPAN else int(median)
    return max(1, min(wanted, MAX_SECONDS, MAX_PATCHES // max(1, checked.channels)))


def _inline(values: dict[str, Any]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in values.items())}}}"
