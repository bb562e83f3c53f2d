"""The instructions of CONTRIBUTING.md for a new step, followed in a copy of the source tree."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from labram import recipe as recipes
from labram.steps.table import expected_tasks, steps_table
from pipelines.compile import compile_pipeline
from pipelines.lint import read

recipe = recipes.load("demo")
pipeline, _ = read(compile_pipeline("retrain", recipe, Path(sys.argv[1])))
dags = [component["dag"]["tasks"] for component in pipeline["components"].values() if "dag" in component]
assert "count-recordings" in next(dag for dag in dags if "quality" in dag)
tasks = expected_tasks("retrain", recipe)
assert tasks[tasks.index("quality") + 1] == "count_recordings"
assert "| `count_recordings` | all | catalogue |" in steps_table()
"""


def instructions() -> dict[str, str]:
    """By file, the code that CONTRIBUTING.md has for it."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a pipeline step\n")[2].partition("\n## ")[0]
    blocks = re.findall(
        r"`([a-z_/]+\.py)`[^`]*(?:`add_quality`[^`]*)?\n\n   ```python\n(.*?)   ```", section, re.DOTALL
    )
    return {file: dedent(code) for file, code in blocks}


def test_a_step_is_added_as_described(tmp_path) -> None:
    code = instructions()
    new = ["labram/steps/count_recordings.py", "components/count_recordings.py"]
    table, builder = "labram/steps/table.py", "pipelines/dag_builder.py"
    assert list(code) == [*new, table, builder]
    for package in ("labram", "components", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in new:
        (tmp_path / file).write_text(code[file])
    insert(tmp_path / table, f"{code[table].strip()},", at='        Step(\n            "tokenizer",\n')
    insert(
        tmp_path / builder, code[builder], at='        return self.placement(task).outputs["corpus"]\n', replace=True
    )
    insert(
        tmp_path / builder,
        "from components.count_recordings import count_recordings",
        at="from components.evaluate import evaluate\n",
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(tmp_path / "ir")],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "LABRAM_IMAGE": f"labram@sha256:{'5' * 64}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def insert(file: Path, code: str, *, at: str, replace: bool = False) -> None:
    """Insert lines before those of `at`, or in their place, with the same indentation."""
    text = file.read_text(encoding="utf-8")
    assert text.count(at) == 1
    margin = at[: len(at) - len(at.lstrip())]
    lines = "".join(f"{margin}{line}\n" for line in code.splitlines())
    file.write_text(text.replace(at, lines if replace else lines + at), encoding="utf-8")
