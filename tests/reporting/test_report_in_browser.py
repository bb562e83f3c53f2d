"""The report in a real browser: it renders, in full, and the browser has nothing to complain about."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.image as images
import numpy as np
import numpy.typing as npt
import pytest

from labram import recipe as recipes
from labram.reporting import run_report
from labram.reporting.run_report import RunRecord

pytestmark = pytest.mark.browser
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page: pixels in 0..1 [height, width, 3], and what it wrote to its console."""

    pixels: npt.NDArray[np.float32]
    console: list[str]

    def rows_with_ink(self) -> npt.NDArray[np.bool_]:
        """Rows of pixels that are not of one colour."""
        return np.ptp(self.pixels.mean(axis=2), axis=1) > 0.1


@pytest.fixture(scope="session")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        reason = f"no browser here: install one of {', '.join(BROWSERS)}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    return found


@pytest.fixture
def look(browser: str, tmp_path: Path) -> Callable[..., Seen]:
    def look(page: Path, *, width: int = 1280, height: int = 8000) -> Seen:
        picture = tmp_path / "screenshot.png"
        where = (
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--screenshot={picture}",
            f"--window-size={width},{height}",
        )
        done = subprocess.run([browser, *QUIET, *where, page.as_uri()], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return Seen(images.imread(picture)[..., :3], [line for line in done.stderr.splitlines() if "CONSOLE" in line])

    return look


def test_the_whole_report_renders_without_a_complaint(
    finished: RunRecord, look: Callable[..., Seen], tmp_path: Path
) -> None:
    seen = look(run_report.write(finished, tmp_path / "report.html"))
    assert seen.console == []
    assert seen.pixels.shape[:2] == (8000, 1280)
    ink = np.flatnonzero(seen.rows_with_ink())
    assert ink[0] < 100, "the page begins at the top"
    assert ink[-1] > 5000, "sections, tables and figures take their room"
    assert np.diff(ink).max() < 150, "nothing is missing in between"
    colourful = np.ptp(seen.pixels, axis=2).max(axis=1) > 0.3
    assert colourful[ink[-1] // 2 : ink[-1]].any(), "figures are painted, not only words"


def test_a_narrow_screen_does_not_cut_the_report_off(
    finished: RunRecord, look: Callable[..., Seen], tmp_path: Path
) -> None:
    """A page wider than its window would be laid out on more columns of pixels than the margin leaves white."""
    seen = look(run_report.write(finished, tmp_path / "report.html"), width=500, height=3000)
    assert seen.console == []
    assert np.ptp(seen.pixels[:, -4:].mean(axis=2), axis=1).mean() < 0.01


def test_a_run_that_stopped_at_once_renders(look: Callable[..., Seen], tmp_path: Path) -> None:
    record = RunRecord(
        "demo-1", "", "", "", recipes.load("demo"), "nothing yet", simulated=True, stopped="No recordings."
    )
    seen = look(run_report.write(record, tmp_path / "report.html"), height=3000)
    assert seen.console == []
    assert seen.rows_with_ink().sum() > 300


def test_the_browser_would_have_complained(finished: RunRecord, look: Callable[..., Seen], tmp_path: Path) -> None:
    """The check itself is checked: a script that fails is seen."""
    page = run_report.write(replace(finished, tasks={}), tmp_path / "report.html")
    page.write_text(page.read_text().replace("</body>", "<script>missing()</script></body>"))
    assert any("missing is not defined" in line for line in look(page, height=500).console)
