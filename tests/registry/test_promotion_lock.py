"""Promotions that meet only at the tracking server still happen one at a time."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from labram.errors import LabramError, PlatformError
from labram.registry import audit, model_registry, promotion_lock
from labram.registry.promotion import promote
from tests.registry.test_promotion import aliases, verdict, versions

PODS = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server for the tests of this file; they tell their models apart by name."""
    from tests.fixtures.mlflow_server import MLflowServer

    server = MLflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def address(server):
    return server.uri


@pytest.fixture
def run_id(address):
    import mlflow
    from mlflow.tracking import MlflowClient

    mlflow.set_tracking_uri(address)
    return MlflowClient().create_run("0").info.run_id


def locks():
    return [model.name for model in model_registry.client().search_registered_models() if "lock" in model.name]


def test_of_eight_promotions_against_a_server_one_moves_the_champion(run_id):
    versions("labram-pods", PODS + 1, run_id)
    promote(verdict("labram-pods", "1", None), why="first")
    refusals = []

    def attempt(number):
        try:
            return promote(verdict("labram-pods", str(number), "1"), why="race").moved
        except LabramError as error:
            refusals.append(str(error))
            return False

    with ThreadPoolExecutor(PODS) as pool:
        won = list(pool.map(attempt, range(2, PODS + 2)))
    assert won.count(True) == 1
    assert all("but the gates compared with version 1" in refusal for refusal in refusals)
    assert aliases("labram-pods")[model_registry.CHAMPION] == str(2 + won.index(True))
    assert locks() == []


@pytest.mark.attack
def test_of_eight_pods_with_their_own_tmp_one_moves_the_champion(run_id, address, tmp_path):
    versions("labram-processes", PODS + 1, run_id)
    promote(verdict("labram-processes", "1", None), why="first")
    code = (
        "import sys; from labram.registry.promotion import promote; from tests.registry.test_promotion import verdict;"
        "promote(verdict('labram-processes', sys.argv[1], '1'), why='race')"
    )
    pods = []
    for number in range(2, PODS + 2):
        (tmp_path / str(number)).mkdir()
        env = {**os.environ, "MLFLOW_TRACKING_URI": address, "TMPDIR": str(tmp_path / str(number))}
        pods.append(subprocess.Popen([sys.executable, "-c", code, str(number)], env=env, stderr=subprocess.DEVNULL))
    assert sorted(pod.wait() for pod in pods) == [0] + [1] * (PODS - 1)


def test_the_lock_is_free_after_an_error(run_id):
    lock = promotion_lock.promotion_lock()
    lock.__enter__()
    assert locks() == [promotion_lock.NAME]
    lock.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert locks() == []


def test_a_lock_that_is_held_is_waited_for_and_then_named(run_id, monkeypatch):
    monkeypatch.setattr(promotion_lock, "SECONDS_TO_WAIT", 0.1)
    monkeypatch.setattr(promotion_lock, "SECONDS_BETWEEN_TRIES", 0.05)
    with promotion_lock.promotion_lock():
        with pytest.raises(PlatformError, match="delete the registered model promotion-lock"):
            promotion_lock.promotion_lock().__enter__()
        assert locks() == [promotion_lock.NAME]


def test_the_lock_of_a_killed_process_is_broken_by_one_of_those_that_wait(run_id, monkeypatch):
    monkeypatch.setattr(promotion_lock, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(promotion_lock, "SECONDS_BETWEEN_TRIES", 0.05)
    model_registry.client().create_registered_model(promotion_lock.NAME, tags={promotion_lock.HOLDER: "dead"})
    time.sleep(1.1)
    inside = []

    def enter(number):
        with promotion_lock.promotion_lock():
            inside.append(number)
            assert len(inside) == 1
            inside.remove(number)
            return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(enter, range(4)))
    assert locks() == []


@pytest.mark.attack
def test_a_move_during_which_the_server_is_restarted_is_finished_by_the_next_one(run_id, server, monkeypatch):
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(promotion_lock, "LEASE_SECONDS", 1.0)
    versions("labram-restart", 2, run_id)
    promote(verdict("labram-restart", "1", None), why="first")
    original = audit.begin

    def begin_and_lose_the_server(entry):
        logged = original(entry)
        server.stop()
        return logged

    with monkeypatch.context() as patched:
        patched.setattr(audit, "begin", begin_and_lose_the_server)
        with pytest.raises(MlflowException):
            promote(verdict("labram-restart", "2", "1"), why="second")
    server.start()
    assert promote(verdict("labram-restart", "2", "1"), why="second").moved
    assert aliases("labram-restart") == {model_registry.CHAMPION: "2", model_registry.PREVIOUS: "1"}
    assert [entry.finished for entry in audit.read("labram-restart")] == [True, True]
