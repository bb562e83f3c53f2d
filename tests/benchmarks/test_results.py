"""The table of results has every row, and the forest plot the best of each kind."""

import json
from pathlib import Path

from benchmarks.results_table import _best_of, write


def row(predictor: str, alignment: str, value: float, task: str = "workload") -> dict[str, object]:
    return {
        "task": task, "metric": "auroc", "subjects": 10, "windows": 240, "predictor": predictor, "alignment": alignment,
        "value": value, "low": value - 0.1, "high": value + 0.1, "recordings": None, "seconds": 1.0,
    }  # fmt: skip


ROWS = [
    row("spectral", "", 0.8),
    row("random mean", "none", 0.6),
    row("random channels, within", "none", 0.7),
    row("random mean + spectral", "none", 0.82),
    row("random mean", "euclidean", 0.75),
]


def test_the_best_probe_and_the_best_stack_of_each_alignment_are_shown_beside_the_baselines() -> None:
    shown = {(found["predictor"], found["alignment"]) for found in _best_of(ROWS)}
    assert shown == {
        ("spectral", ""),
        ("random channels, within", "none"),
        ("random mean + spectral", "none"),
        ("random mean", "euclidean"),
    }


def test_table_rows_and_plot_are_written(tmp_path: Path) -> None:
    write([*ROWS, row("spectral", "", 0.5, task="ssvep")], tmp_path / "out")
    lines = (tmp_path / "out.md").read_text().splitlines()
    assert lines[2] == "| workload | spectral |  | 0.800 [0.700, 0.900] |  |"
    assert len(lines) == 8
    assert len(json.loads((tmp_path / "out.json").read_text())) == 6
    assert (tmp_path / "out.svg").read_text().lstrip().startswith("<?xml")
