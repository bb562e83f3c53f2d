"""`labram bench` where the benchmarks are, and where they are not."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from labram.cli import bench
from labram.errors import PlatformError


def test_without_a_checkout_one_sentence_says_where_the_benchmarks_are(tmp_path: Path):
    app = typer.Typer()
    app.callback()(lambda: None)
    bench.add_to(app, tmp_path)
    done = CliRunner().invoke(app, ["bench", "model", "--json"])
    assert isinstance(done.exception, PlatformError)
    assert "not part of the installed package" in str(done.exception)


def test_a_checkout_has_all_benchmarks():
    app = typer.Typer()
    app.callback()(lambda: None)
    bench.add_to(app)
    done = CliRunner().invoke(app, ["bench", "--help"])
    assert done.exit_code == 0
    assert all(name in done.output for name in ("model", "step", "data", "throughput", "hours"))
