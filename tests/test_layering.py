"""The house stands: imports point downward, files stay readable, names say something."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for part in ("labram", "components", "pipelines") for path in (ROOT / part).rglob("*.py"))
COMPONENTS = sorted(path for path in (ROOT / "components").glob("*.py") if path.name != "__init__.py")
HEAVY = {"mlflow", "torch", "great_expectations", "kfp", "mne", "pandas", "matplotlib", "sklearn", "scipy", "numpy"}


def test_an_import_never_points_upward() -> None:
    done = subprocess.run([Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_no_file_has_two_subjects() -> None:
    others = [path for part in ("tests", "benchmarks", "k8s") for path in (ROOT / part).rglob("*.py")]
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (*SOURCES, *others)}
    assert {name: lines for name, lines in long.items() if lines > 500} == {}


def test_names_say_something() -> None:
    vague = re.compile(r"(^|/)(utils?|helpers?|common|misc|managers?|handlers?)(\.py|/)")
    assert [path for path in SOURCES if vague.search(str(path.relative_to(ROOT)))] == []


def test_asking_for_help_imports_nothing_heavy() -> None:
    assert imported_by("labram.cli") & HEAVY == set()


def test_a_step_that_runs_no_model_does_not_wait_for_pytorch() -> None:
    steps = ("plan_run", "ingest", "quality", "tokenizer", "register", "promote", "report")
    assert imported_by(*(f"labram.steps.{step}" for step in steps)) & {"torch", "sklearn"} == set()


def imported_by(*modules: str) -> set[str]:
    code = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.stem)
def test_a_component_is_thin(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = {node.module.split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom) and node.module}
    assert modules <= {"kfp", "components"}, "only kfp at module scope: the body runs alone in its task"
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    assert function.name == path.stem
    assert len(function.body) <= 8


def test_pickle_stays_outside_but_for_the_importers_of_the_published_code() -> None:
    importers = {
        "models/official.py",
        "datasets/stated/pickled_window.py",
    }  # both unpickle arrays and plain values only
    for path in set(SOURCES) - {ROOT / "labram" / name for name in importers}:
        text = path.read_text()
        assert not re.search(r"^\s*(import|from) (pickle|dill|cloudpickle|joblib)\b", text, re.M), path
        assert "allow_pickle=True" not in text, path
        assert "weights_only=False" not in text, path
