"""Servers that go away in the middle and come back: the object store, and the database behind MLflow."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pandas as pd
import pytest

from labram.corpus.local_ingest import ingest_folder, published_corpora
from labram.errors import StoreError
from labram.events import NullMonitor
from labram.recipe import load
from labram.store.store import Store
from labram.tracking import metric_buffer
from tests.integration import servers
from tests.integration import storage_checks as checks

pytestmark = pytest.mark.attack


class Proxy:
    """Forwards a port of this machine to another, until it goes away: connections break, new ones are rejected."""

    def __init__(self, port: int) -> None:
        self.port, self.target = servers._free_port(), port
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.start()

    def start(self) -> None:
        listener = socket.create_server((servers.LOCALHOST, self.port))
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection((servers.LOCALHOST, self.target))
                for one, other in ((client, server), (server, client)):
                    self._open.add(one)
                    threading.Thread(target=self._forward, args=(one, other), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while content := one.recv(1 << 16):
                other.sendall(content)
        for connection in (one, other):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.discard(one)


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    made: list[Proxy] = []

    def to(port: int) -> Proxy:
        made.append(Proxy(port))
        return made[-1]

    yield to
    for each in made:
        each.stop()


def test_an_ingest_whose_object_store_goes_away_ends_in_a_sentence_and_is_finished_later(
    bucket: str,
    proxy: Callable[[int], Proxy],
    tmp_path: Path,
    write_edf: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, data = load("demo"), tmp_path / "data"
    for number in range(4):
        write_edf(data / "eegmat" / f"Subject{number:02d}_1.edf", seed=number)
    monkeypatch.setenv("LABRAM_SUBJECT_KEY", "the same for all")
    whole, name = Store(tmp_path / "whole"), bucket.removeprefix("s3://")
    ingest_folder(data, (), whole, recipe=recipe, workers=0, monitor=NullMonitor())
    address = os.environ["AWS_ENDPOINT_URL"]
    between = proxy(int(urlsplit(address).port or 0))
    direct = boto3.client("s3", endpoint_url=address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{servers.LOCALHOST}:{between.port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")

    def go_away() -> None:
        while sum(entry["Key"].endswith(".arrow") for entry in objects()) < 2:
            time.sleep(0.01)
        between.stop()

    def objects() -> list[dict[str, str]]:
        return direct.list_objects_v2(Bucket=name).get("Contents", [])

    threading.Thread(target=go_away, daemon=True).start()
    store = Store(f"{bucket}/patches")
    with pytest.raises(StoreError, match="object store"):
        ingest_folder(data, (), store, recipe=recipe, workers=0, monitor=NullMonitor())
    assert not [entry for entry in objects() if "catalogue" in entry["Key"]]
    between.start()
    done = ingest_folder(data, (), Store(f"{bucket}/patches"), recipe=recipe, workers=0, monitor=NullMonitor())
    assert done.reused >= 1
    ((_, found),), ((_, expected),) = published_corpora(store).items(), published_corpora(whole).items()
    pd.testing.assert_frame_equal(found.catalogue, expected.catalogue)


@pytest.mark.timeout(900)
def test_a_database_that_goes_away_behind_mlflow_costs_no_metric(
    object_store: dict[str, str],
    proxy: Callable[[int], Proxy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """Every metric is there once, though the server answered with errors in the middle of some."""
    if not list(servers.POSTGRESQL.glob("*/bin/initdb")):
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    from mlflow.tracking import MlflowClient

    from labram.tracking.mlflow_runs import tracked

    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(metric_buffer, "SECONDS_BETWEEN_BATCHES", 0.05)
    monkeypatch.setattr(metric_buffer, "MAX_BACKOFF_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with servers.database() as address:
        between = proxy(int(urlsplit(address).port or 0))
        proxied = address.rpartition(":")[0] + f":{between.port}"
        with servers.tracking(proxied, f"s3://{checks.MODELS}", tmp_path / "log") as account:
            for name, value in account.items():
                monkeypatch.setenv(name, value)
            longest = 0.0
            with tracked("tokenizer", tmp_path / "workspace") as run:
                for step in range(90):
                    if step in (20, 50):
                        between.stop()
                    if step in (35, 65):
                        between.start()
                    began = time.monotonic()
                    run.metrics(step, {"loss": 1.0 / (step + 1)})
                    longest = max(longest, time.monotonic() - began)
                    time.sleep(0.05)
            history = MlflowClient().get_metric_history(run.run_id, "loss")
            assert MlflowClient().get_run(run.run_id).info.status == "FINISHED"
    record_property("inputs", 2)
    assert longest < 1.0, "nobody waits for it"
    assert sorted((metric.step, metric.value) for metric in history) == [(n, 1.0 / (n + 1)) for n in range(90)]
    assert not list((tmp_path / "workspace" / "spool").glob("*.jsonl"))
