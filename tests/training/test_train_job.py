"""TrainJobs: what is asked of Kubeflow Trainer, and what is made of its answers. The cluster is a loopback server."""

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

from labram.errors import PlatformError, TrainingError, WeightsError
from labram.events import Silent
from labram.training import train_job
from labram.training.job import Job, Sender
from labram.training.launchers import chosen
from labram.training.train_job import Cluster, TrainJob

JOBS = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/labram/trainjobs"


class Trainer:
    """An API server with TrainJobs alone; `pods` is called whenever a TrainJob is looked at, and gives its status."""

    def __init__(self, pods):
        self.pods, self.jobs, self.asked = pods, {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
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
                outer.asked.append((self.command, self.path.partition("?")[0]))
                return outer.jobs.get(self.path.partition("?")[0].rpartition("/")[2])

            def do_POST(self):
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._found()
                outer.jobs[content["metadata"]["name"]] = content
                self._answer(201, content)

            def do_GET(self):
                found = self._found()
                if found is None:
                    return self._answer(404, {"message": "not found"})
                return self._answer(200, {**found, "status": {"conditions": outer.pods(found)}})

            def do_DELETE(self):
                found = self._found()
                if found is None:
                    return self._answer(404, {"message": "not found"})
                del outer.jobs[found["metadata"]["name"]]
                return self._answer(200, {})

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


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
        monkeypatch.setattr(train_job, "SECONDS_BETWEEN_LOOKS", 0.02)
        return servers[0]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def launcher(tmp_path):
    return TrainJob(2, 8, Cluster(image="labram:1", mount=tmp_path, resources={"nvidia.com/gpu": "8"}))


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
    """Where the pods of a TrainJob say how it goes."""
    return Sender(Path(found["spec"]["trainer"]["args"][1]))


def test_the_train_job_is_what_kubeflow_trainer_takes(launcher, tmp_path):
    cluster = launcher.cluster.model_copy(
        update={
            "node_selector": {"pool": "gpu"},
            "tolerations": ({"key": "gpu", "operator": "Exists"},),
            "environment": ({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},),
        }
    )
    found = TrainJob(2, 8, cluster).resource("labram-pretrain-1", tmp_path / "job").to_dict()
    assert TrainerV1alpha1TrainJob.from_dict(found).to_dict() == found
    spec = found["spec"]
    assert spec["runtimeRef"] == {"name": "labram-torch"}
    assert (spec["trainer"]["numNodes"], spec["trainer"]["numProcPerNode"]) == (2, 8)
    assert spec["trainer"]["command"] == ["torchrun", "-m", "labram.training.worker"]
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
            lines(found).note("goes on after step 7 of 9")
            return []
        lines(found).finished({"loss": 0.5})
        return condition("Complete")

    server, monitor, notes = trainer(pods), Silent(), []
    monitor.note = notes.append
    assert launcher.run(job, monitor) == {"loss": 0.5}
    assert notes == ["goes on after step 7 of 9"]
    assert not server.jobs
    assert ("POST", JOBS) in server.asked


def test_the_trainings_own_error_is_raised(trainer, launcher, job):
    def pods(found):
        lines(found).failed(WeightsError("no tokenizer", remedy="Train one"))
        return condition("Failed", "a pod failed")

    trainer(pods)
    with pytest.raises(WeightsError, match="no tokenizer"):
        launcher.run(job, Silent())


def test_a_train_job_that_failed_without_a_word_says_what_kubernetes_says(trainer, launcher, job):
    server = trainer(lambda _: condition("Failed", "node was preempted 8 times"))
    with pytest.raises(TrainingError, match=r"preempted 8 times\).*newest checkpoint"):
        launcher.run(job, Silent())
    assert not server.jobs


def test_when_the_launcher_has_to_go_its_train_job_goes_too(trainer, launcher, job):
    def pods(_):
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    server = trainer(pods)
    with pytest.raises(SystemExit) as left:
        launcher.run(job, Silent())
    assert left.value.code == 143
    assert not server.jobs


def test_what_a_killed_launcher_left_is_deleted_first(trainer, launcher, job):
    def pods(found):
        lines(found).finished({"loss": 1.0})
        return condition("Complete")

    server = trainer(pods)
    name = f"labram-pretrain-{job.digest()}"
    server.jobs[name] = {"metadata": {"name": name}}
    assert launcher.run(job, Silent()) == {"loss": 1.0}
    assert [command for command, _ in server.asked][:3] == ["DELETE", "DELETE", "POST"]


def test_a_workspace_that_the_nodes_do_not_see_is_refused(launcher, job):
    with pytest.raises(PlatformError, match="which all nodes see"):
        launcher.run(job.model_copy(update={"checkpoints": Path("/elsewhere")}), Silent())


def test_the_environment_describes_the_cluster(monkeypatch):
    monkeypatch.setenv("LABRAM_NODES", "2")
    monkeypatch.setenv("LABRAM_PROCESSES", "8")
    with pytest.raises(PlatformError, match=r"LABRAM_TRAIN_JOB\.image"):
        chosen()
    monkeypatch.setenv("LABRAM_TRAIN_JOB", '{"image": "labram:1"}')
    assert chosen() == TrainJob(2, 8, Cluster(image="labram:1"))


def test_a_toleration_that_is_none_is_named(launcher, tmp_path):
    wrong = launcher.cluster.model_copy(update={"tolerations": ({"key": 3},)})
    with pytest.raises(PlatformError, match="LABRAM_TRAIN_JOB"):
        TrainJob(2, 8, wrong).resource("x", tmp_path)
