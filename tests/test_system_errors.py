"""Errors of the machine are one sentence with a remedy; defects keep their traceback."""

import errno
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from labram import cli
from labram.errors import PlatformError
from labram.events import step
from labram.system_errors import REMEDIES, as_sentence
from labram.tracking import mlflow_runs, own_database


@pytest.mark.parametrize("number", sorted(REMEDIES))
def test_an_error_of_the_operating_system_names_file_and_remedy(number):
    stated = as_sentence(OSError(number, os.strerror(number), "/some/file"))
    assert str(stated).startswith("/some/file: ")
    assert str(stated).endswith(f"{REMEDIES[number]}.")


@pytest.mark.parametrize("defect", [ValueError("x"), KeyError("x"), RuntimeError("x"), OSError("x"), AssertionError()])
def test_a_defect_is_no_sentence(defect):
    assert as_sentence(defect) is None


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (sqlite3.DatabaseError("file is not a database"), "Restore"),
        (MlflowException("(sqlite3.DatabaseError) database disk image is malformed\n[SQL: …]"), "Restore"),
        (MlflowException("(sqlite3.OperationalError) database or disk is full"), "Free some space"),
        (MlflowException("(sqlite3.OperationalError) attempt to write a readonly database"), "Give this user access"),
        (sqlite3.OperationalError("unable to open database file"), "Give this user access"),
        (MlflowException("API request failed"), "labram doctor"),
    ],
)
def test_an_error_of_mlflow_is_one_line_with_a_remedy(error, remedy):
    text = str(as_sentence(error))
    assert remedy in text
    assert "\n" not in text


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied", "/x"), MlflowException("full")])
def test_a_command_prints_one_line_and_exits_with_1(monkeypatch, capsys, error):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1


def test_a_step_reports_it_in_the_same_words(tmp_path, monkeypatch):
    monkeypatch.setenv("LABRAM_EVENTS", str(tmp_path / "events"))
    with pytest.raises(OSError), step("ingest"):
        raise OSError(errno.ENOSPC, "No space left on device", "/x")
    assert "/x: no space left on device. Free some space" in (tmp_path / "events").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(200), b"\0" * 4096])
def test_a_damaged_database_is_one_sentence_at_once(tmp_path, content):
    (tmp_path / "mlflow").mkdir()
    (tmp_path / mlflow_runs.DATABASE).write_bytes(content)
    with pytest.raises(PlatformError, match=r"mlflow\.db: MLflow reports: .*Restore"):
        mlflow_runs.configure(tmp_path)


def test_a_database_that_may_not_be_written_is_one_sentence(tmp_path, monkeypatch):
    file = tmp_path / "mlflow.db"
    sqlite3.connect(file).close()
    monkeypatch.setattr(own_database.os, "access", lambda *_: False)
    with pytest.raises(PlatformError, match=r"mlflow\.db: permission denied\. Give this user access"):
        own_database.prepare(file, "labram")


def test_a_folder_for_mlflow_is_refused_with_a_way_out(tmp_path, monkeypatch):
    for folder in ("file:./mlruns", "./mlruns", str(tmp_path), f"file://{tmp_path}"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", folder)
        with pytest.raises(PlatformError, match=r"MLFLOW_TRACKING_URI: .*sqlite:///FILE"):
            mlflow_runs.configure(tmp_path)


def test_a_relative_database_is_named_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///own.db")
    assert mlflow_runs.tracking_uri(tmp_path / "w") == f"sqlite:///{tmp_path}/own.db"
    assert mlflow_runs.how_to_open(tmp_path / "w") == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/own.db"
    assert not mlflow_runs.in_workspace(tmp_path / "w")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert mlflow_runs.how_to_open(tmp_path) == "http://mlflow:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert mlflow_runs.how_to_open(tmp_path) == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow/mlflow.db"


def test_a_user_without_a_home_gets_one_in_the_workspace(tmp_path: Path):
    code = "from pathlib import Path; from labram.tracking import mlflow_runs as m; m.require_home(Path('w')); "
    code += "print(Path.home())"
    unknown = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "env", "-u", "HOME"]
    if subprocess.run([*unknown, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    done = subprocess.run([*unknown, sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "/w/home"
