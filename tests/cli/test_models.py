"""`labram models` and `labram runs` print what the registry says, as tables and as JSON."""

import json
from pathlib import Path

import pytest

from labram.registry import audit, model_registry, provenance
from labram.registry.promotion import promote
from tests.registry.test_promotion import verdict
from tests.registry.test_provenance import add


@pytest.fixture
def workspace(tracking_uri):
    return Path(tracking_uri.removeprefix("sqlite:///")).parents[1]


@pytest.fixture
def two(run_id):
    """A champion and a challenger that awaits approval."""
    tags = {"git_commit": "abc", "corpus_version": "v", "metric": "auroc", "score": "0.812 [0.754, 0.871]"}
    first, second = (add("labram-shown", run_id, **tags) for _ in range(2))
    model_registry.client().set_registered_model_alias("labram-shown", model_registry.CHALLENGER, second.version)
    promote(verdict("labram-shown", first.version, None), why="first")
    promote(verdict("labram-shown", second.version, first.version, approval=True), why="second")
    yield first, second
    model_registry.client().delete_registered_model("labram-shown")


def test_show_prints_flat_keys_a_tree_and_a_page(two, workspace, labram, tmp_path):
    code, out, _ = labram("models", "show", "labram-shown@champion", "--json", "-w", workspace)
    known = json.loads(out)
    assert code == 0
    assert set(provenance.KEYS) <= set(known)
    assert (known["git_commit"], known["corpus_version"], known["image"], known["gate"]) == ("abc", "v", None, "passed")
    code, out, _ = labram("models", "show", "labram-shown", "-w", workspace)
    assert "labram-shown version 1 (champion)" in out
    assert "corpus v" in out
    code, out, _ = labram("models", "show", "labram-shown/2", "--html", tmp_path / "page.html", "-w", workspace)
    assert "labram-shown version 2" in (tmp_path / "page.html").read_text(encoding="utf-8")
    code, _, error = labram("models", "show", "labram-shown@nobody", "-w", workspace)
    assert code == 1
    assert "no alias 'nobody'" in error


def test_list_shows_champion_and_challenger(two, workspace, labram, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = labram("models", "list", "--json", "-w", workspace)
    rows = [row for row in json.loads(out)["versions"] if row["name"] == "labram-shown"]
    assert code == 0
    assert [(row["version"], row["aliases"], row["score"]) for row in rows] == [
        ("2", "challenger", "0.812 [0.754, 0.871]"),
        ("1", "champion", "0.812 [0.754, 0.871]"),
    ]


def test_a_challenger_is_approved_and_rolled_back_and_the_log_says_so(two, workspace, labram):
    assert labram("models", "promote", "labram-shown", "--to", "2", "-w", workspace)[0] == 0
    assert labram("models", "rollback", "labram-shown", "--to", "1", "--why", "it drifts", "-w", workspace)[0] == 0
    code, _, error = labram("models", "promote", "labram-shown", "--to", "2", "-w", workspace)
    assert code == 1
    assert "--override" in error
    code, out, _ = labram("models", "audit", "labram-shown", "--json", "-w", workspace)
    moves = [(row["action"], row["version"], row["why"]) for row in json.loads(out)["entries"]][-3:]
    assert moves == [("promoted", "1", "first"), ("promoted", "2", "promoted by hand"), ("restored", "1", "it drifts")]
    assert code == (1 if audit.check() else 0)


def test_compare_names_the_commits_that_differ(run_id, workspace, labram, monkeypatch):
    from labram.registry import comparison

    monkeypatch.setattr(comparison, "_recipe", lambda _: __import__("labram.recipe").recipe.load("demo"))
    for commit in ("aaa", "bbb"):
        add("labram-differs", run_id, git_commit=commit)
    code, out, _ = labram("models", "compare", "labram-differs/1", "labram-differs/2", "--json", "-w", workspace)
    assert code == 0
    assert json.loads(out)["origin"] == [["git_commit", "aaa", "bbb"]]


def test_runs_are_listed_and_shown(tracking_uri, workspace, labram, monkeypatch):
    from tests.tracking.test_run_list import finished

    run_id = finished("listed-1", monkeypatch, {"seed": "0"}, {"git_commit": "abc", "actor": "eve"})
    code, out, _ = labram("runs", "list", "--json", "-w", workspace)
    assert code == 0
    assert "listed-1" in {run["name"] for run in json.loads(out)["runs"]}
    code, out, _ = labram("runs", "show", "listed-1", "--json", "-w", workspace)
    shown = json.loads(out)
    assert (shown["run_id"], shown["actor"], shown["steps"][0]["metrics"]) == (run_id, "eve", {"auroc": 0.75})
