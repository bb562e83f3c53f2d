"""Runs made of numbers out of a generator: what the report's tests write their reports from."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from labram import recipe as recipes
from labram.corpus.catalogue import SPLITS, Corpus
from labram.corpus.rules import recording_rules as quality_rules
from labram.evaluation.predictions import Predictions
from labram.evaluation.record import summarise
from labram.recipe import Recipe, TaskRecipe
from labram.registry.gates import Gate, Verdict
from labram.registry.promotion import Move
from labram.reporting.run_report import RunRecord

TEN_TWENTY = ["FP1", "FP2", "F7", "F3", "FZ", "F4", "F8", "T3", "C3", "CZ", "C4", "T4"]
TEN_TWENTY += ["T5", "P3", "PZ", "P4", "T6", "O1", "O2"]
SETS = {
    "eegmat": (TEN_TWENTY, 500.0, 50.0, "edf", 12),
    "ssvep_exo": (["OZ", "O1", "O2", "POZ", "PO3", "PO4", "PO7", "PO8"], 256.0, 50.0, "gdf", 6),
    "muse": (["TP9", "AF7", "AF8", "TP10"], 256.0, 60.0, "csv", 9),
}


MakeRun = Callable[..., RunRecord]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Gives a function that makes a finished run; see `finished_run` for what can be chosen."""
    return lambda **choices: finished_run(tmp_path / "run", **choices)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """A run of `real-small` in which everything happened, with models that beat their baselines."""
    return finished_run(tmp_path_factory.mktemp("finished"))


def finished_run(folder: Path, *, simulated: bool = False, skill: float = 0.6) -> RunRecord:
    """A run of `real-small` in which everything happened; `skill` is how much the models know."""
    recipe = recipes.load("real-small")
    draw = np.random.default_rng(7)
    _corpus(recipe, draw).save(folder / "corpus")
    rules = [
        asdict(rule) | {"failed": int(rule.code == "gaps"), "recordings": ["muse-000000000063"] * (rule.code == "gaps")}
        for rule in quality_rules(recipe.quality)
    ]
    (folder / "corpus" / "quality.json").write_text(json.dumps(rules))
    _tokenizer(folder / "tokenizer", recipe, draw)
    _backbone(folder / "backbone", recipe, draw)
    for task in recipe.tasks:
        _task(folder / task.name, task, draw, skill)
    verdicts = [
        verdict("labram-tokenizer", "codebook health", "183 codes in use, perplexity 61.2", used=183),
        verdict("labram-backbone", "leakage", "no test subject was seen in pre-training"),
        *(
            verdict(f"labram-{task.name}", "no worse than champion", "there is no champion yet")
            for task in recipe.tasks
        ),
    ]
    return RunRecord(
        run_name="real-small-20260301-101500",
        run_id="0f3a5c7e9b1d4f6080a2c4e6f8091b3d",
        started="2026-03-01T10:15:00+00:00",
        finished="2026-03-01T10:38:12+00:00",
        recipe=recipe,
        corpus_title="made by the test suite" if simulated else "eegmat, ssvep_exo and muse",
        simulated=simulated,
        corpus=folder / "corpus",
        tokenizer=folder / "tokenizer",
        backbone=folder / "backbone",
        tasks={task.name: folder / task.name for task in recipe.tasks},
        verdicts=verdicts,
        promotions=[
            Move(model=f"labram-{task.name}", version="1", previous=None, moved=True, why="") for task in recipe.tasks
        ],
        lineage={
            "git_commit": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            "git_dirty": "false",
            "corpus_version": "sha256-7d865e959b2466918c9863afca942d0f",
            "recipe": recipe.name,
            "recipe_hash": recipe.digest(),
            "code_version": "a3f2c1d0e9b8",
            "python": "3.11.9",
            "torch": "2.13.0",
        },
    )


def verdict(model: str, gate: str, detail: str, *, passed: bool = True, **figures: int | str) -> Verdict:
    """A verdict of one gate."""
    judged = Gate(name=gate, passed=passed, detail=detail, figures=figures)
    return Verdict(model=model, version="1", champion=None, gates=(judged,))


def _corpus(recipe: Recipe, draw: np.random.Generator) -> Corpus:
    rows: list[dict[str, object]] = []
    labels: list[dict[str, object]] = []
    for dataset, (montage, rate, mains, suffix, subjects) in SETS.items():
        for subject in range(subjects):
            row = {
                **_figures(draw, len(montage)),
                "store_key": f"{subject:032x}",
                "recording_id": f"{dataset}-{subject:012x}",
                "dataset": dataset,
                "subject_key": f"{dataset}-{subject:010d}",
                "format": suffix,
                "montage": montage,
                "rate_hz": rate,
                "unit_scale": 1.0,
                "reference": "linked ears",
                "mains_hz": mains,
                "seconds": int(draw.integers(60, 900)),
                "verdict": "accepted",
                "reasons": [],
                "warnings": ["line_noise", "excluded_wrong_response=4"] if subject == 2 else [],
                "split": SPLITS[subject % 3],
            }
            rows.append(row)
            labels += [
                {"recording_id": row["recording_id"], "task": task.name, "start": 10.0 * i, "seconds": 10.0}
                | {"label": [float(draw.uniform(0.2, 0.9)) if task.kind == "regression" else i % len(task.classes)]}
                for task in recipe.tasks
                if task.dataset == dataset
                for i in range(12)
            ]
    for index, reasons in enumerate((["gaps"], ["duplicate_format"], ["flat", "too_short"])):
        rows.append(
            {"recording_id": f"muse-{index + 99:012x}", "dataset": "muse", "format": "csv", "montage": [], "seconds": 0}
            | {
                "verdict": "quarantined",
                "reasons": reasons,
                "warnings": [],
                "split": "",
                "store_key": "",
                "copy_of": "",
            }
            | {"gap_seconds": 4.2, "unit_correction": 1.0}
        )
    return Corpus.of(rows, labels)


def _figures(draw: np.random.Generator, channels: int) -> dict[str, object]:
    return {
        "median_sd_uv": float(draw.lognormal(2.5, 0.4)),
        "band_rms_uv": float(draw.lognormal(2.3, 0.4)),
        "line_noise_ratio": float(draw.lognormal(-4, 1)),
        "psd_slope": float(draw.normal(-1.4, 0.2)),
        "spectral_flatness": float(draw.uniform(0.5, 0.9)),
        "channel_correlation": float(draw.uniform(0.2, 0.8)),
        "held_fraction": float(draw.uniform(0, 0.1)),
        "gap_seconds": 0.0,
        "channel_sd_uv": [12.0] * channels,
    }


def _history(folder: Path, rows: list[dict[str, float | str]]) -> None:
    folder.mkdir(parents=True)
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _fall(step: int, start: float, end: float, draw: np.random.Generator) -> float:
    return end + (start - end) * float(np.exp(-step / 80)) + float(draw.normal(0, 0.01 * start))


def _tokenizer(folder: Path, recipe: Recipe, draw: np.random.Generator) -> None:
    rows: list[dict[str, float | str]] = []
    for step in range(10, 301, 10):
        amplitude, phase = _fall(step, 1.0, 0.42, draw), _fall(step, 1.02, 0.91, draw)
        losses = {"amplitude_loss": amplitude, "phase_loss": phase, "loss": amplitude + phase + 0.02}
        rows.append({"step": step, **losses, "perplexity": _fall(step, 140, 62, draw)})
        if step % 50 == 0:
            compared = {"amplitude_vs_mean": amplitude, "phase_vs_mean": phase, "perplexity": 61.2}
            worse = {key: 1.05 * value for key, value in losses.items()}
            rows.append({"step": step, "phase": "validation", **worse, **compared})
    _history(folder, rows)
    codes = recipe.architecture.codes
    counts = np.sort(draw.multinomial(4096, np.exp(-np.arange(codes) / 45) / np.exp(-np.arange(codes) / 45).sum()))
    (folder / "codebook.json").write_text(
        json.dumps(
            {
                "counts": counts.tolist(),
                "perplexity": 61.2,
                "used": int((counts > 0).sum()),
                "datasets": {"eegmat": {"used": 120, "perplexity": 50.3}, "muse": {"used": 1, "perplexity": 1.0}},
            }
        )
    )
    hertz = np.arange(101.0)
    original = 3 * np.exp(-hertz / 9) + draw.gamma(1.2, 0.25, (6, 101)) + np.exp(-((hertz - 10) ** 2) / 4)
    original = (original - original.mean(1, keepdims=True)) / original.std(1, keepdims=True)
    smooth = np.apply_along_axis(lambda row: np.convolve(np.pad(row, 2, "edge"), np.ones(5) / 5, "valid"), 1, original)
    names = np.array([f"{channel}, eegmat" for channel in ("F3", "O1", "CZ", "AF7", "OZ", "T4")])
    np.savez(folder / "examples.npz", original=original, reconstructed=smooth, frequencies=hertz, names=names)


def _backbone(folder: Path, recipe: Recipe, draw: np.random.Generator) -> None:
    rows: list[dict[str, float | str]] = []
    for step in range(10, 301, 10):
        accuracy = 0.14 - 0.12 * float(np.exp(-step / 120)) + float(draw.normal(0, 0.003))
        rows.append({"step": step, "loss": _fall(step, 6.2, 4.6, draw), "accuracy": accuracy, "majority": 0.061})
        rows[-1]["target_entropy"] = 2.7
        if step % 50 == 0:
            loss = _fall(step, 6.2, 4.8, draw)
            rows.append({"step": step, "phase": "validation", "loss": loss, "accuracy": accuracy, "majority": 0.058})
    _history(folder, rows)
    (folder / "resumed.json").write_text("[80, 210]")


def _task(folder: Path, task: TaskRecipe, draw: np.random.Generator, skill: float) -> None:
    rows: list[dict[str, float | str]] = []
    for step in range(20, 401, 20):
        rows.append({"step": step, "loss": _fall(step, 0.69, 0.4, draw)})
        rows.append({"step": step, "phase": "validation", "loss": 0.6, task.metric: 0.6 - _fall(step, 0.4, 0.1, draw)})
    _history(folder, rows)
    n = 320
    classes = len(task.classes)
    keys = np.array([f"{task.dataset}-{i % 8:010d}" for i in range(n)], dtype=object)
    if task.kind == "regression":
        y = draw.uniform(0.25, 0.9, n)
        model, baseline = (s * y + (1 - s) * y.mean() + draw.normal(0, 0.12, n) for s in (skill, 0.2))
    elif task.kind == "binary":
        y = draw.integers(0, 2, n).astype(float)
        model, baseline = (1 / (1 + np.exp(-(3 * s * (2 * y - 1) + draw.normal(0, 1.2, n)))) for s in (skill, 0.25))
    else:
        y = draw.integers(0, classes, n).astype(float)
        model, baseline = (
            3 * s * np.eye(classes)[y.astype(int)] + draw.normal(0, 1, (n, classes)) for s in (skill, 0.5)
        )
    predictions = Predictions(keys, keys, np.arange(n, dtype=float), y, model, baseline)
    summarise(
        predictions,
        task,
        split="test",
        corpus_version="sha256-7d865e959b2466918c9863afca942d0f",
        bootstrap=200,
        seed=0,
        baseline_method="log power in five bands, 19 channels, balanced logistic regression",
    ).write(folder / "evaluation.json")
