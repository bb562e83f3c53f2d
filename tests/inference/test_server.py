"""The HTTP server answers EEG alone: everything else gets a sentence and a remedy before anything is computed."""

import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
import uvicorn

from labram.inference import server
from labram.inference.predictor import Predictor
from labram.inference.server import Limits, Served
from labram.registry.model_registry import weights_digest

SERVED = Served("labram-t", "3", "0123abc")
NAMES = ["FP1", "CZ", "O2"]


def eeg(windows=2, channels=3, samples=400, seed=0):
    return np.random.default_rng(seed).normal(scale=20, size=(windows, channels, samples)).round(2)


def body(signals=None, **params):
    signals = eeg() if signals is None else signals
    return {"inputs": {"signals": signals.tolist()}, "params": {"channels": NAMES, "sfreq": 200, **params}}


class Client:
    def __init__(self, predictor, limits=None):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        app = server.application(predictor, SERVED, limits)
        self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def post(self, content, route="/invocations", **headers):
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Content-Type": "application/json", **headers}
        return requests.post(self.address + route, data=raw, headers=headers, timeout=60)

    def rejected(self, content, status=422, **headers):
        answer = self.post(content, **headers)
        assert answer.status_code == status, answer.text[:500]
        found = answer.json()
        assert found["remedy"]
        assert found["problem"] in found["message"]
        assert (found["model"], found["version"], found["commit"]) == ("labram-t", "3", "0123abc")
        assert not {"stack_trace", "predictions"} & found.keys()
        assert "/" not in found["message"].replace("application/json", "")
        assert "Traceback" not in answer.text
        return found

    def close(self):
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="module")
def predictor(task_folder):
    return Predictor(task_folder, device="cpu")


@pytest.fixture(scope="module")
def client(predictor):
    client = Client(predictor)
    yield client
    client.close()


def test_an_answer_is_the_models_and_names_version_commit_and_channels(client, predictor):
    answer = client.post(body(channels=["EEG Fp1-REF", "cz", "O2."]))
    assert answer.status_code == 200
    found = answer.json()
    assert found.pop("predictions") == pytest.approx(predictor.predict(eeg(), NAMES, 200.0).tolist())
    names = {"model": "labram-t", "version": "3", "commit": "0123abc", "channels": NAMES}
    assert found == {**names, "task": "t", "classes": ["a", "b"]}


def test_all_forms_of_mlflows_requests_and_all_units_have_the_same_answer(client):
    expected = client.post(body()).json()["predictions"]
    params = {"channels": NAMES, "sfreq": 200}
    forms = [
        {"inputs": eeg().tolist(), "params": params},
        {"instances": eeg().tolist(), "params": params},
        {"instances": [{"signals": window.tolist()} for window in eeg()], "params": params},
        body(eeg() / 1e6, unit="V"),
        body(eeg() / 1e3, unit="mV"),
    ]
    for form in forms:
        assert client.post(form).json()["predictions"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("route", ["/ping", "/health", "/version"])
def test_probes_name_the_version(client, route):
    answer = requests.get(client.address + route, timeout=10)
    assert answer.status_code == 200
    assert answer.json().items() >= {"model": "labram-t", "version": "3", "commit": "0123abc"}.items()


def sine(hertz, amplitude):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(400) / 200)


@pytest.mark.parametrize(
    ("signals", "params", "field", "says"),
    [
        (eeg() / 1e6, {}, "unit", "implausible standard deviation"),
        (eeg() * 1e9, {}, "unit", "implausible standard deviation"),
        (eeg() * 0, {}, "signals", "FP1, CZ, O2: flat"),
        (eeg() * [[[1], [0], [1]]], {}, "signals", "CZ: flat"),
        (np.add(eeg(), [[[0], [0], [10_000]]]), {}, "signals", "O2: values up to 1.0"),
        (np.add(eeg(), [[[0], [500], [0]]]), {}, "signals", "CZ: an offset of up to"),
        (eeg() + [[[0], [3000], [0]]] * (np.arange(400) == 7), {}, "signals", "CZ: values up to"),
        (eeg() * 12, {}, "signals", "median standard deviation"),
        (eeg() + sine(50, 100), {}, "signals", "line noise of 50 Hz"),
        (eeg() + sine(60, 100), {}, "signals", "line noise of 60 Hz"),
        (eeg() * np.nan, {}, "signals", "NaN"),
        (eeg()[0, 0], {}, "signals", "got 1"),
        (eeg()[:0], {}, "signals", "expected signals with 3 dimensions, got 1"),
        (eeg(samples=100), {}, "sfreq", "shorter than a second"),
        (eeg(samples=3400), {}, "signals", "at most 16 s"),
        (eeg(channels=2), {}, "channels", "2 channels, but 3 names"),
        (eeg(), {"channels": []}, "channels", "3 channels, but 0 names"),
        (eeg(), {"channels": ["FP1", "CZ", "O2X"]}, "channels", "not in the model's electrode table"),
        (eeg(), {"channels": ["FP1", "CZ", "cz"]}, "channels", "duplicate channels"),
        (eeg(), {"channels": ["FP1", "CZ", 3]}, "channels", "got 3"),
        (eeg(), {"channels": "CZ"}, "channels", "got 'CZ'"),
        (eeg(), {"unit": "volts"}, "unit", "unknown unit 'volts'"),
        (eeg(), {"unit": ["uV"]}, "unit", "unknown unit"),
        (eeg(), {"gain": 3}, "params", "unknown field 'gain'"),
        (eeg(), {"preprocess": 1}, "preprocess", "expected true or false"),
        (eeg(), {"preprocess": True}, "preprocess, seconds", "continuous recording"),
        *(
            (eeg(), {"sfreq": rate}, "sfreq", "invalid sampling rate")
            for rate in (0, -1, 79.9, 20_001, 10**400, None, "200")
        ),
        (eeg(), {"sfreq": float("nan")}, "sfreq", "invalid sampling rate nan"),
    ],
)
def test_signals_that_are_no_filtered_eeg_are_rejected_with_their_field(client, signals, params, field, says):
    found = client.rejected(body(np.asarray(signals), **params))
    assert found["field"] == field
    assert says in found["problem"]


@pytest.mark.parametrize("kilobytes", [5, 196])
def test_a_tiny_sampling_rate_costs_nothing(client, kilobytes):
    content = body(eeg(windows=1, channels=1, samples=kilobytes * 1000 // 7), channels=["CZ"], sfreq=0.002)
    assert len(json.dumps(content)) == pytest.approx(kilobytes * 1000, rel=0.3)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = client.rejected(content)
    assert "from 80 to 20000 Hz" in found["remedy"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert time.process_time() - start < 2


DEEP = 100_000


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"[" * DEEP + b"]" * DEEP, "nested more than 8 deep"),
        (b'{"inputs":' * DEEP + b"1" + b"}" * DEEP, "nested more than 8 deep"),
        (b'{"inputs": [' + b"[]," * 50_000 + b"[]]}", "more than 40000 lists"),
        (b'{"inputs": [' + b'"a",' * 2000 + b'"a"]}', "more than 1000 texts"),
        (b'{"inputs": ["' + b"a" * 5000 + b'"]}', "longer than 1000 bytes"),
        (b'{"inputs": "' + b'\\"' * 100_000, "a text has no end"),
        (b'{"inputs": [' + b"9" * 5000 + b"]}", "not JSON"),
        (b"not json", "not JSON"),
        (b'{"inputs": {"signals": [[[1.0]]]}, "params": {"unit": "uV", "unit": "V"}}', "the field 'unit' is repeated"),
        ('{"inputs": {"signals": [[[1.0]]]}}'.encode("utf-16"), "not JSON"),
        (b'{"inputs": {"signals": [[[1.0]]]}, "params": {"channels": {"CZ": 1}}}', "expected a list of channel names"),
        (b"\xff\xfe", "not JSON"),
        (b"", "not JSON"),
        (b"[1, 2]", "expected a JSON object, got a list"),
        (b"{}", "one of inputs and instances"),
        (b'{"inputs": [], "instances": []}', "one of inputs and instances"),
        (b'{"inputs": 3}', "expected lists of numbers, got a number"),
        (b'{"inputs": [[["1.5"]]]}', "got a text in one"),
        (b'{"inputs": [[[null]]]}', "got null in one"),
        (b'{"inputs": [[[true]]]}', "got a boolean in one"),
        (b'{"inputs": [[[1, 2], [1]]]}', "differ in length"),
        (b'{"inputs": {"signal": [[[1]]]}}', "unknown field 'signal'"),
        (b'{"inputs": [[[1]]], "params": []}', "expected a JSON object, got a list"),
        (b'{"dataframe_split": {}}', "unknown field 'dataframe_split'"),
    ],
)
def test_a_body_that_is_no_request_is_rejected_in_words(client, raw, says):
    start = time.process_time()
    assert says in client.rejected(raw)["problem"]
    assert time.process_time() - start < 2


def test_the_seconds_of_all_windows_and_channels_are_limited(client, monkeypatch):
    monkeypatch.setattr(server, "MAX_PATCHES_PER_REQUEST", 11)
    found = client.rejected(body())
    assert found["problem"] == "expected at most 11 seconds of all channels together, got 12"


def test_a_body_that_is_too_long_is_rejected_and_not_kept(predictor):
    client = Client(predictor, Limits(body_bytes=1000))
    assert "longer than 1000 bytes" in client.rejected(b" " * 5000)["problem"]
    chunks = (b" " * 400 for _ in range(5))
    answer = requests.post(
        f"{client.address}/invocations", data=chunks, headers={"Content-Type": "application/json"}, timeout=10
    )
    assert answer.status_code == 422
    client.close()


def test_a_body_that_does_not_arrive_is_not_waited_for(predictor):
    client = Client(predictor, Limits(read_seconds=0.2))
    with socket.create_connection(client.socket.getsockname()) as slow:
        slow.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n")
        slow.sendall(b"Content-Length: 1000\r\n\r\n{")
        slow.settimeout(10)
        assert b" 408 " in slow.recv(1000).partition(b"\r\n")[0]
    client.close()


@pytest.mark.parametrize(("kind", "status"), [("text/csv", 415), ("application/xml", 415), ("", 415)])
def test_another_content_type_is_named(client, kind, status):
    assert "application/json" in client.rejected(b"1,2", status, **{"Content-Type": kind})["message"]


def test_json_with_a_charset_is_json_and_a_compressed_body_is_rejected(client):
    assert client.post(body(), **{"Content-Type": "application/json; charset=utf-8"}).status_code == 200
    assert "compressed" in client.rejected(b"x", 415, **{"Content-Encoding": "gzip"})["problem"]


def test_an_unknown_route_or_method_is_answered_with_the_routes(client):
    for answer, status in (
        (client.post(body(), route="/predict"), 404),
        (requests.get(f"{client.address}/invocations", timeout=10), 405),
        (requests.get(f"{client.address}/../etc/passwd", timeout=10), 404),
    ):
        assert answer.status_code == status
        assert "POST /invocations" in answer.json()["remedy"]
        assert answer.json()["version"] == "3"


def test_more_requests_than_the_limit_are_sent_away_while_probes_are_answered(predictor, monkeypatch):
    client, entered, release = Client(predictor, Limits(requests=1)), threading.Event(), threading.Event()

    def slow(*_):
        entered.set()
        return {"predictions": [], "released": release.wait(30)}

    monkeypatch.setattr(server, "predict", slow)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, body())
        assert entered.wait(30)
        answer = client.post(body())
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "waiting" in answer.json()["problem"]
        assert requests.get(f"{client.address}/ping", timeout=5).status_code == 200
        release.set()
        assert waiting.result().json()["released"]
    assert client.post(body()).status_code == 200, "the place is free again"
    client.close()


def test_a_defect_is_answered_without_its_traceback(predictor, monkeypatch, caplog):
    client = Client(predictor)
    monkeypatch.setattr(server, "predict", lambda *_: Path("/secret/path").read_bytes())
    found = client.rejected(body(), 500)
    assert "secret" not in json.dumps(found)
    assert "/secret/path" in caplog.text
    client.close()


def test_a_raw_recording_is_filtered_as_in_training(client, predictor):
    seconds = np.arange(250 * 60) / 250
    drift = 10_000 + 100 * np.sin(2 * np.pi * 50 * seconds)
    raw = (eeg(windows=1, samples=len(seconds))[0] + drift).round(2)
    assert "O2" in client.rejected(body(raw, sfreq=250))["problem"], "unfiltered"
    found = client.post(body(raw, sfreq=250, preprocess=True, line_freq_hz=50)).json()
    seconds = predictor.task.recipe.seconds
    assert len(found["predictions"]) == 60 // seconds
    found = client.post(body(raw, sfreq=250, preprocess=True, line_freq_hz=50, seconds=5)).json()
    assert len(found["predictions"]) == 12
    assert "line frequency is missing" in client.rejected(body(raw, sfreq=250, preprocess=True))["problem"]
    assert client.rejected(body(raw, sfreq=250, preprocess=True, line_freq_hz=5))["field"] == "line_freq_hz"


def test_the_command_serves_a_folder_until_it_is_stopped(task_folder, tmp_path):
    command = [sys.executable, "-m", "labram.cli", "serve", str(task_folder), "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--workspace", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        address = line.split()[-1]
        answer = requests.post(address, json=body(), timeout=60).json()
        assert answer["version"] == weights_digest(task_folder)
        assert len(answer["predictions"]) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
