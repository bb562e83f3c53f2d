"""The Python of the README runs as it is printed."""

import re
from pathlib import Path

import numpy as np

from tests.fixtures.small_models import write_edf

ROOT = Path(__file__).parents[1]


def test_the_readmes_python_runs(backbone, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_edf(tmp_path / "rest.edf", 1, seconds=40)
    random = np.random.default_rng(0)
    y, subjects = np.tile([0, 1], 12), np.repeat(np.arange(4), 6)
    x = random.normal(scale=20, size=(24, 6, 500)) * (1 + y[:, None, None])
    code = code.replace("models:/labram-backbone@champion", str(backbone))
    exec(compile(code, "README.md", "exec"), {"x": x, "y": y, "subjects": subjects})
    shown, folds, auroc = capsys.readouterr().out.strip().splitlines()
    assert shown == "(2, 100) ('ECG ECG',) 8.0"
    assert len(folds.strip("[]").split()) == 3
    assert re.fullmatch(r"\d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", auroc)
