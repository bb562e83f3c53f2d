import json

import pytest
from typer.testing import CliRunner

from labram.cli import app

TINY = [
    "architecture={width: 100, conv_channels: 4, heads: 5, depth: 1, decoder_depth: 1, codes: 16, code_width: 8}",
    "pretraining.patches=64",
    "pretraining.threads=1",
    "pretraining.checkpoint_every=2",
]


def measured(command):
    changes = [part for setting in TINY for part in ("--set", setting)]
    done = CliRunner().invoke(app, ["bench", command, "--json", "--steps", "4", *changes])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_loop_is_measured_beside_the_bare_step():
    found = measured("step")
    assert found["overhead"] == pytest.approx(found["loop_seconds"] / found["bare_seconds"] - 1)
    assert found["checkpoints"] == 2
    assert found["patches_per_step"] > 64
    assert found["goal"] == 0.05


def test_loading_is_measured_beside_the_bare_step(monkeypatch):
    monkeypatch.setattr("benchmarks.loop_overhead.LOAD_SECONDS", 0.2)
    found = measured("data")
    assert found["ratio"] == pytest.approx(found["loaded_patches_per_s"] / found["step_patches_per_s"])
    assert found["loaded_megabytes_per_s"] == pytest.approx(found["loaded_patches_per_s"] * 400 / 1e6)
    assert found["ratio"] > 1
