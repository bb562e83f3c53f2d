"""`labram corpus quality`, as a user types it."""

from pathlib import Path

import edfio
import numpy as np
from typer.testing import CliRunner

from labram.cli import app


def labram(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return done.output if done.exit_code == 0 else f"{done.exit_code}: {done.output}{done.exception}"


def test_a_page_is_written_for_each_corpus_of_a_store(tmp_path: Path) -> None:
    store, pages = tmp_path / "store", tmp_path / "pages"
    assert "the store has no corpus" in labram("corpus", "quality", pages, "--store", store)
    rng = np.random.default_rng(0)
    signals = np.cumsum(rng.normal(0, 5, (3, 3000)), axis=1), rng.uniform(-50, 50, (3, 3000))
    (tmp_path / "data").mkdir()
    for name, channels in zip("ab", signals, strict=True):
        edfio.Edf(
            [
                edfio.EdfSignal(one - one.mean(), 100, label=label, physical_dimension="uV")
                for one, label in zip(channels, ("C3", "Cz", "C4"), strict=True)
            ]
        ).write(tmp_path / "data" / f"{name}.edf")
    labram("corpus", "ingest", tmp_path / "data", "--store", store, "--workers", 1)
    labram("corpus", "quality", pages, "--store", store)
    (page,) = pages.glob("*.html")
    assert "2 recordings: 1 accepted, 0 of them with a warning; 1 quarantined" in page.read_text()
