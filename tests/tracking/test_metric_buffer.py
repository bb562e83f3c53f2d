"""Metrics reach MLflow exactly once, and nobody waits for it."""

import threading
import time

import pytest

from labram.tracking import metric_buffer as module
from labram.tracking.metric_buffer import MetricBuffer


class Server:
    """Takes metrics, unless it is away; may take them and answer with an error all the same."""

    def __init__(self):
        self.away, self.deaf, self.taken, self.calls = False, False, [], 0

    def send(self, run_id, metrics):
        self.calls += 1
        if self.away:
            raise ConnectionError
        self.taken += [(run_id, metric["key"], metric["step"], metric["timestamp"]) for metric in metrics]
        if self.deaf:
            self.deaf = False
            raise ConnectionError


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_BATCHES", 0.02)
    monkeypatch.setattr(module, "MAX_BACKOFF_SECONDS", 0.05)
    return Server()


@pytest.fixture
def spool(server, tmp_path):
    notes = []
    return lambda run_id="r": MetricBuffer(tmp_path, run_id, server.send, notes.append), notes


def keys(server):
    return sorted({(run_id, key, step) for run_id, key, step, _ in server.taken})


def test_metrics_arrive_in_order_and_nothing_stays(server, spool, tmp_path):
    start, _ = spool
    one = start()
    for step in range(5):
        one.add(step, {"loss": 1.0 / (step + 1), "lr": 0.1})
    assert one.close(5)
    assert [(key, step) for _, key, step, _ in server.taken] == [(key, n) for n in range(5) for key in ("loss", "lr")]
    assert not list(tmp_path.glob("*.jsonl"))


def test_while_the_server_is_away_nobody_waits(server, spool):
    start, notes = spool
    one = start()
    server.away = True
    began = time.monotonic()
    for step in range(100):
        one.add(step, {"loss": 1.0})
    assert time.monotonic() - began < 1.0
    while not notes:
        time.sleep(0.01)
    server.away = False
    assert one.close(5)
    assert len(server.taken) == len(keys(server)) == 100
    assert notes == [
        "MLflow does not respond (ConnectionError); metrics are buffered on disk",
        "MLflow responds again; all buffered metrics were sent",
    ]


def test_what_is_sent_again_is_the_same_to_the_millisecond(server, spool):
    """So MLflow, which takes a metric of one name, step, time and value only once, does not have it twice."""
    start, _ = spool
    one = start()
    server.deaf = True
    one.add(1, {"loss": 1.0})
    assert one.close(5)
    assert len(server.taken) == 2
    assert len(set(server.taken)) == 1


def test_what_a_process_left_is_sent_by_the_next_one(server, spool):
    start, _ = spool
    server.away = True
    left = start("left")
    left.add(1, {"loss": 1.0})
    assert not left.close(0.1)
    server.away = False
    deadline = time.monotonic() + 5
    again = start("again")
    while not server.taken and time.monotonic() < deadline:
        time.sleep(0.01)
    assert again.close(5)
    assert keys(server) == [("left", "loss", 1)]


def test_half_a_line_of_a_killed_process_is_passed_over(server, spool, tmp_path):
    start, _ = spool
    (tmp_path / "left.jsonl").write_text('{"key": "loss", "value": 1.0, "timestamp": 1, "step": 1}\n{"key": "lo')
    one = start("left")
    one.add(2, {"loss": 1.0})
    assert one.close(5)
    assert [step for _, _, step, _ in server.taken] == [1, 2]


def test_training_goes_on_while_mlflow_is_down_and_it_has_every_metric_once_when_it_is_back(
    mlflow_server, tmp_path, monkeypatch
):
    from mlflow.tracking import MlflowClient

    from labram.tracking.mlflow_runs import tracked

    monkeypatch.setattr(module, "SECONDS_BETWEEN_BATCHES", 0.05)
    monkeypatch.setattr(module, "MAX_BACKOFF_SECONDS", 0.5)
    mlflow_server.start()
    longest = 0.0
    with tracked("tokenizer", tmp_path / "workspace") as run:
        for step in range(60):
            if step == 20:
                mlflow_server.stop()
            if step == 40:
                returns = threading.Thread(target=mlflow_server.start)
                returns.start()
            began = time.monotonic()
            run.metrics(step, {"loss": 1.0 / (step + 1)})
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.05)
        returns.join()
    assert longest < 0.5
    history = MlflowClient().get_metric_history(run.run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(n, 1.0 / (n + 1)) for n in range(60)]
    assert MlflowClient().get_run(run.run_id).info.status == "FINISHED"
    assert not list((tmp_path / "workspace" / "spool").glob("*.jsonl"))
