"""The TrainJob launcher, with a loopback server as the cluster's API."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from labram.errors import PlatformError, TrainingError, WeightsError
from labram.events import NullMonitor
from labram.training.distributed import train_job
from labram.training.distributed.job import EventSender, Job
from labram.training.distributed.launchers import select_launcher
from labram.training.distributed.train_job import TrainJobLauncher, TrainJobSettings

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/labram/trainjobs"


class Handler(BaseHTTPRequestHandler):
    server: "Trainer"

    def log_message(self, *_):
        pass

    def _answer(self, status, content):
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _found(self):
        path = self.path.partition("?")[0]
        self.server.asked.append((self.command, path))
        return self.server.jobs.get(path.rpartition("/")[2])

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._found()
        self.server.jobs[content["metadata"]["name"]] = content
        self._answer(201, content)

    def do_GET(self):
        found, path = self._found(), self.path.partition("?")[0]
        if path.startswith("/api/v1/namespaces/labram/pods"):
            return self._answer(200, self._of_pods(path))
        if self.server.broken:
            self.server.broken -= 1
            return self._answer(503, {"message": "the API server is being replaced"})
        if found is None:
            return self._answer(404, {"message": "not found"})
        return self._answer(200, {**found, "status": {"conditions": self.server.pods(found)}})

    def _of_pods(self, path):
        if path.endswith("/log"):
            return "CUDA out of memory"
        wanted = f"jobset.sigs.k8s.io%2Fjobset-name%3D{next(iter(self.server.jobs))}"
        return {"kind": "PodList", "items": [{"metadata": {"name": "node-0"}}] if wanted in self.path else []}

    def do_DELETE(self):
        found = self._found()
        if found is None:
            return self._answer(404, {"message": "not found"})
        del self.server.jobs[found["metadata"]["name"]]
        return self._answer(200, {})


class Trainer(ThreadingHTTPServer):
    """An API server with TrainJobs alone; `pods` is called at each GET of a TrainJob, and returns its conditions.

    Attributes:
        broken: Number of GETs to answer with status 503.
    """

    def __init__(self, pods):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pods, self.jobs, self.asked, self.broken = pods, {}, [], 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.server_close()


@pytest.fixture
def trainer(tmp_path, monkeypatch):
    """Starts the server and makes it the cluster of this process."""
    servers = []

    def start(pods):
        servers.append(Trainer(pods))
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        content = {
            "clusters": [{"name": "test", "cluster": {"server": servers[0].address}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [context],
            "current-context": "test",
        }
        (tmp_path / "config").write_text(yaml.safe_dump(content))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        monkeypatch.setattr(train_job, "POLL_SECONDS", 0.02)
        return servers[0]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def launcher(tmp_path):
    return TrainJobLauncher(2, 8, TrainJobSettings(image="labram:1", mount=tmp_path, resources={"nvidia.com/gpu": "8"}))


@pytest.fixture
def job(tmp_path):
    return Job(
        stage="pretrain",
        corpus=tmp_path,
        store="s3://patches",
        settings="{}",
        seed=0,
        checkpoints=tmp_path / "checkpoints",
        out=tmp_path / "out",
    )


def condition(kind, message=""):
    return [{"type": kind, "status": "True", "message": message}]


def lines(found):
    """Sender of the pods' events."""
    return EventSender(Path(found["spec"]["trainer"]["args"][1]))


def test_the_manifest_is_a_valid_train_job(launcher, tmp_path):
    cluster = launcher.settings.model_copy(
        update={
            "node_selector": {"pool": "gpu"},
            "tolerations": ({"key": "gpu", "operator": "Exists"},),
            "environment": ({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},),
        }
    )
    found = TrainJobLauncher(2, 8, cluster).manifest("labram-pretrain-1", tmp_path / "job").to_dict()
    assert TrainerV1alpha1TrainJob.from_dict(found).to_dict() == found
    spec = found["spec"]
    assert spec["runtimeRef"] == {"name": "labram-torch"}
    assert (spec["trainer"]["numNodes"], spec["trainer"]["numProcPerNode"]) == (2, 8)
    assert spec["trainer"]["command"] == ["torchrun", "-m", "labram.training.distributed.worker"]
    assert spec["trainer"]["resourcesPerNode"]["limits"] == {"nvidia.com/gpu": "8"}
    (patch,) = spec["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = replicated["template"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "labram-workspace"}
    assert pod["containers"][0]["volumeMounts"][0] == {"name": "workspace", "mountPath": str(tmp_path)}
    assert "podTemplateOverrides" not in json.dumps(found)


def test_a_training_on_several_nodes_is_followed_to_its_end(trainer, launcher, job):
    looks = []

    def pods(found):
        looks.append(1)
        if len(looks) == 1:
            lines(found).note("resuming after step 7 of 9")
            return []
        lines(found).finished({"loss": 0.5})
        return condition("Complete")

    server, monitor, notes = trainer(pods), NullMonitor(), []
    monitor.note = notes.append
    assert launcher.launch(job, monitor) == {"loss": 0.5}
    assert notes == ["resuming after step 7 of 9"]
    assert not server.jobs
    assert ("POST", JOBS) in server.asked


def test_the_trainings_own_error_is_raised(trainer, launcher, job):
    def pods(found):
        lines(found).failed(WeightsError("no tokenizer", remedy="Train one"))
        return condition("Failed", "a pod failed")

    trainer(pods)
    with pytest.raises(WeightsError, match="no tokenizer"):
        launcher.launch(job, NullMonitor())


def test_a_reported_error_ends_the_training_at_once(trainer, launcher, job):
    def pods(found):
        lines(found).failed(WeightsError("no tokenizer", remedy="Train one"))
        return []  # Kubernetes starts the pods again

    server = trainer(pods)
    with pytest.raises(WeightsError, match="no tokenizer"):
        launcher.launch(job, NullMonitor())
    assert not server.jobs


def test_a_training_survives_an_outage_of_the_api_server(trainer, launcher, job, monkeypatch):
    def pods(found):
        lines(found).finished({"loss": 0.5})
        return condition("Complete")

    server = trainer(pods)
    server.broken = 3
    assert launcher.launch(job, NullMonitor()) == {"loss": 0.5}
    server.broken = 1000
    monkeypatch.setattr(train_job, "API_OUTAGE_SECONDS", 0.2)
    with pytest.raises(PlatformError, match=r"status of TrainJob .* cannot be read"):
        launcher.launch(job, NullMonitor())
    assert not server.jobs


def test_a_failed_train_job_is_reported_with_its_condition_and_the_pods_logs(trainer, launcher, job, caplog):
    server = trainer(lambda _: condition("Failed", "node was preempted 8 times"))
    with pytest.raises(TrainingError, match=r"preempted 8 times\).*newest checkpoint"):
        launcher.launch(job, NullMonitor())
    assert not server.jobs
    (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
    assert record.message == "node-0: CUDA out of memory"


def test_sigterm_to_the_launcher_deletes_its_train_job(trainer, launcher, job):
    def pods(_):
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    server = trainer(pods)
    with pytest.raises(SystemExit) as left:
        launcher.launch(job, NullMonitor())
    assert left.value.code == 143
    assert not server.jobs


def test_a_train_job_of_a_killed_launcher_is_deleted_first(trainer, launcher, job):
    def pods(found):
        lines(found).finished({"loss": 1.0})
        return condition("Complete")

    server = trainer(pods)
    name = f"labram-pretrain-{job.digest()}"
    server.jobs[name] = {"metadata": {"name": name}}
    assert launcher.launch(job, NullMonitor()) == {"loss": 1.0}
    assert [command for command, _ in server.asked][:3] == ["DELETE", "DELETE", "POST"]


class JobSet:
    """Two nodes whose pods are real processes, started as by Trainer's torch plug-in.

    One gets its notice, as a node of spot machines does, after so many steps. When a pod ends badly all of them are
    stopped and started again, as a job set does.
    """

    def __init__(self, *, notice_after: int) -> None:
        self.notice_after, self.pods, self.attempts = notice_after, [], 0

    def __call__(self, found: dict) -> list[dict]:
        codes = [pod.poll() for pod in self.pods]
        if any(codes) or not codes:
            self.stop()
            self._start(found["spec"]["trainer"])
        elif codes == [0, 0]:
            return condition("Complete")
        elif self.attempts == 1 and self._done(found) >= self.notice_after:
            self.pods[1].terminate()
            self.pods[1].wait()
        return []

    def stop(self) -> None:
        for pod in self.pods:
            if pod.poll() is None:
                pod.terminate()
            pod.wait()

    def _done(self, found: dict) -> int:
        file = Path(found["spec"]["trainer"]["args"][1])
        told = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        return max((line["done"] for line in told if line["event"] == "progress"), default=0)

    def _start(self, trainer: dict) -> None:
        self.attempts += 1
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        given = {"NNODES": trainer["numNodes"], "NPROC_PER_NODE": trainer["numProcPerNode"], "MASTER_PORT": port}
        command = [sys.executable, "-m", "torch.distributed.run", *trainer["command"][1:], *trainer["args"]]
        self.pods = []
        for rank in range(trainer["numNodes"]):
            told = {**given, "NODE_RANK": rank, "MASTER_ADDR": "127.0.0.1"}
            variables = {f"PET_{name}": str(value) for name, value in told.items()}
            self.pods.append(subprocess.Popen(command, env={**os.environ, **variables}, stderr=subprocess.DEVNULL))


@pytest.mark.attack
@pytest.mark.timeout(900)
def test_a_training_with_a_preempted_node_resumes_at_its_step(trainer, mixed, architecture, tokenizer_recipe, tmp_path):
    mixed.corpus.save(tmp_path / "corpus")
    job = Job(
        stage="tokenizer",
        corpus=tmp_path / "corpus",
        store=str(tmp_path / "store"),
        architecture=architecture.to_json(),
        settings=tokenizer_recipe(steps=120, checkpoint_every=2, validate_every=200).to_json(),
        seed=0,
        checkpoints=tmp_path / "checkpoints",
        out=tmp_path / "out",
    )
    nodes = JobSet(notice_after=4)
    trainer(nodes)
    monitor, notes, logged = NullMonitor(), [], set()
    monitor.note = notes.append
    monitor.metrics = lambda step, values: logged.add(step)
    try:
        metrics = TrainJobLauncher(2, 1, TrainJobSettings(image="labram:1", mount=tmp_path)).launch(job, monitor)
    finally:
        nodes.stop()
    assert nodes.attempts == 2
    (resumed,) = (int(note.split()[3]) for note in notes if note.startswith("resuming after step"))
    assert 4 <= resumed < 120, "both saved after the same step"
    assert metrics["steps"] == 120
    assert set(range(2, 121, 2)) <= logged, "no step is missing"


def test_the_pods_know_which_run_they_belong_to(launcher, tmp_path, monkeypatch):
    monkeypatch.setenv("LABRAM_RUN", "run-1")
    monkeypatch.setenv("LABRAM_LOG", "json")
    spec = launcher.manifest("x", tmp_path).to_dict()["spec"]
    assert spec["trainer"]["env"] == [{"name": "LABRAM_RUN", "value": "run-1"}, {"name": "LABRAM_LOG", "value": "json"}]


def test_a_workspace_outside_the_mounted_volume_is_an_error(launcher, job):
    with pytest.raises(PlatformError, match="that all nodes mount"):
        launcher.launch(job.model_copy(update={"checkpoints": Path("/elsewhere")}), NullMonitor())


def test_settings_are_read_from_the_environment(monkeypatch, job):
    job = job.model_copy(update={"stage": "finetune"})
    monkeypatch.setenv("LABRAM_NODES", "2")
    monkeypatch.setenv("LABRAM_PROCESSES", "8")
    with pytest.raises(PlatformError, match=r"LABRAM_TRAIN_JOB\.image"):
        select_launcher(job, NullMonitor())
    monkeypatch.setenv("LABRAM_TRAIN_JOB", '{"image": "labram:1"}')
    assert select_launcher(job, NullMonitor()) == TrainJobLauncher(2, 8, TrainJobSettings(image="labram:1"))


def test_a_train_job_is_in_the_namespace_of_its_pod(tmp_path, monkeypatch):
    """Its volume and its account are there: a Profile may have any name."""
    (tmp_path / "namespace").write_text("team-a")
    monkeypatch.setattr(train_job, "NAMESPACE_FILE", tmp_path / "namespace")
    assert TrainJobSettings(image="i").namespace == "team-a"
    assert TrainJobSettings(image="i", namespace="b").namespace == "b"


def test_an_invalid_toleration_is_an_error(launcher, tmp_path):
    wrong = launcher.settings.model_copy(update={"tolerations": ({"key": 3},)})
    with pytest.raises(PlatformError, match="LABRAM_TRAIN_JOB"):
        TrainJobLauncher(2, 8, wrong).manifest("x", tmp_path)
