"""What the machine did while a step ran stands beside the step's own metrics in MLflow."""

import time

from mlflow.tracking import MlflowClient

from labram.tracking import system_metrics
from labram.tracking.mlflow_runs import tracked
from labram.tracking.system_metrics import log_system_metrics

ALWAYS = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_percentage",
    "system/network_receive_megabytes",
}


def test_a_short_step_has_one_sample_and_a_long_one_many(monkeypatch):
    monkeypatch.setattr(system_metrics, "SECONDS_BETWEEN_SAMPLES", 0.1)
    samples = []
    with log_system_metrics(lambda step, values: samples.append((step, values))):
        pass
    assert len(samples) == 1
    assert samples[0][1].keys() >= ALWAYS
    with log_system_metrics(lambda step, values: samples.append((step, values))):
        time.sleep(0.35)
    assert len(samples) >= 4


def test_a_busy_step_is_seen_to_be_busy():
    samples = []
    with log_system_metrics(lambda step, values: samples.append(values)):
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            pass
    assert samples[0]["system/cpu_utilization_percentage"] > 5


def test_they_arrive_in_the_steps_run(tracking_uri, tmp_path):
    with tracked("pretrain", tmp_path) as run:
        run.metrics(1, {"loss": 0.5})
    found = MlflowClient().get_run(run.run_id).data.metrics
    assert found.keys() >= {*ALWAYS, "loss"}
    assert 0 < found["system/system_memory_usage_percentage"] < 100
