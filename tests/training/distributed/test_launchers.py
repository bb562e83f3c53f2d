"""Launchers: events arrive, the end of worker processes is reported, and trainings resume."""

import os
import signal

import psutil
import pytest

from labram import recipe as recipes
from labram.errors import CheckpointError, PlatformError, TrainingError
from labram.events import NullMonitor
from labram.training.distributed import process_group, worker
from labram.training.distributed.job import EventReceiver, EventSender, Job
from labram.training.distributed.launchers import InProcessLauncher, TorchrunLauncher, _dividing, select_launcher


class Recorder(NullMonitor):
    """Keeps all reports, and calls `then` at step `at`."""

    def __init__(self, at=0, then=lambda: None):
        self.at, self.then, self.done, self.notes, self.values = at, then, [], [], {}

    def progress(self, done, total, **figures):
        self.done.append(done)
        if self.at and done >= self.at:
            self.at = 0
            self.then()

    def metrics(self, step, values):
        self.values[step] = values

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def job(mixed, architecture, tokenizer_recipe, tmp_path):
    mixed.corpus.save(tmp_path / "corpus")
    return lambda name="run", **changes: Job(
        stage="tokenizer",
        corpus=tmp_path / "corpus",
        store=str(tmp_path / "store"),
        architecture=architecture.to_json(),
        settings=tokenizer_recipe(**{"validate_every": 100, **changes}).to_json(),
        seed=0,
        checkpoints=tmp_path / name / "checkpoints",
        out=tmp_path / name / "out",
    )


def workers():
    """Worker processes below this one."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "labram.training.distributed.worker" in child.cmdline()
    ]


def test_events_and_files_of_several_processes_arrive_once(job):
    monitor = Recorder()
    metrics = TorchrunLauncher(2).launch(job(steps=3), monitor)
    assert metrics["steps"] == 3
    assert metrics["loss"] == monitor.values[3]["validation/loss"]
    assert monitor.done == sorted(set(monitor.done))
    assert monitor.done[-1] == 3
    assert (job().out / "model.safetensors").exists()
    assert not list(job().checkpoints.glob(".job-*"))


def test_a_killed_process_ends_the_training_with_an_error_and_the_next_one_resumes(job):
    task = job(steps=4000, checkpoint_every=2)
    monitor = Recorder(at=3, then=lambda: workers()[-1].kill())
    with pytest.raises(TrainingError, match=r"training process 1 was killed by SIGKILL.*resumes from"):
        TorchrunLauncher(2).launch(task, monitor)
    assert not workers()
    short = task.model_copy(update={"settings": task.settings.replace('"steps":4000', '"steps":4001'), "allow": True})
    again = Recorder(at=1, then=lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as left:
        TorchrunLauncher(2).launch(short, again)
    assert left.value.code == 143
    assert any("tokenizer.steps: 4000 → 4001" in note for note in again.notes)
    (resumed,) = (note for note in again.notes if note.startswith("resuming after step"))
    assert int(resumed.split()[3]) >= 2
    assert max(int(place.name[5:]) for place in task.checkpoints.glob("step-*")) > int(resumed.split()[3])


def test_a_process_reports_its_error(job, tmp_path, monkeypatch):
    """Runs as the only process of `torchrun`."""
    for name, value in {
        "RANK": 0,
        "WORLD_SIZE": 1,
        "LOCAL_RANK": 0,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": 0,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(process_group.distributed, "get_world_size", lambda: 2)
    (tmp_path / "job.json").write_text(job(micro_batches=3).to_json())
    try:
        assert worker.main(tmp_path / "job.json", tmp_path / "events.jsonl") == 1
    finally:
        process_group.distributed.destroy_process_group()
    receiver = EventReceiver(tmp_path / "events.jsonl", NullMonitor())
    receiver.receive()
    assert isinstance(receiver.error, TrainingError)
    assert "3 micro-batches cannot be divided evenly among 2 processes" in str(receiver.error)


def test_errors_are_transmitted_with_all_fields(tmp_path):
    file = tmp_path / "events.jsonl"
    EventSender(file).failed(CheckpointError("it is gone", remedy="Look for it", file=tmp_path / "x", field="y"))
    receiver = EventReceiver(file, NullMonitor())
    receiver.receive()
    assert isinstance(receiver.error, CheckpointError)
    assert str(receiver.error) == f"{tmp_path / 'x'}, y: it is gone. Look for it."


def test_an_incomplete_line_is_read_when_it_is_complete(tmp_path):
    file, monitor = tmp_path / "events.jsonl", Recorder()
    receiver = EventReceiver(file, monitor)
    receiver.receive()
    file.write_text('{"event": "note", "text": "one"}\n{"event": "no')
    receiver.receive()
    with file.open("a") as stream:
        stream.write('te", "text": "two"}\n')
    receiver.receive()
    assert monitor.notes == ["one", "two"]


@pytest.mark.parametrize(
    ("processes", "expected"),
    [(None, InProcessLauncher()), ("1", InProcessLauncher()), ("4", TorchrunLauncher(4)), ("", InProcessLauncher())],
)
def test_the_launcher_is_selected_by_environment_variables(monkeypatch, job, processes, expected):
    if processes is not None:
        monkeypatch.setenv("LABRAM_PROCESSES", processes)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monitor = Recorder()
    assert select_launcher(job(micro_batches=8), monitor) == expected
    assert monitor.notes == []


@pytest.mark.parametrize(
    ("recipe", "gpus", "used"),
    [("base", 2, 2), ("base", 3, 2), ("base", 6, 4), ("base", 8, 8), ("demo", 8, 2), ("real-small", 4, 3)],
)
def test_the_most_gpus_that_divide_the_micro_batches_are_used(monkeypatch, job, recipe, gpus, used):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monitor = Recorder()
    tokenizer = job().model_copy(update={"settings": recipes.load(recipe).tokenizer.to_json()})
    assert select_launcher(tokenizer, monitor) == TorchrunLauncher(used)
    notes = [note for note in monitor.notes if f"using {used} of {gpus} processes or GPUs" in note]
    assert len(notes) == len(monitor.notes) == (used < gpus)


@pytest.mark.parametrize(
    ("micro_batches", "nodes", "processes", "used"),
    [
        (8, 2, 4, (2, 4)),
        (8, 3, 4, (2, 4)),
        (6, 2, 4, (2, 3)),
        (1, 2, 8, (1, 1)),
        (7, 2, 4, (1, 1)),
        (None, 3, 5, (3, 5)),
    ],
)
def test_nodes_and_processes_divide_the_micro_batches_together(micro_batches, nodes, processes, used):
    assert _dividing(micro_batches, nodes, processes) == used


def test_a_forced_cpu_is_one_process(monkeypatch, job):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setenv("LABRAM_DEVICE", "cpu")
    assert select_launcher(job(micro_batches=8), Recorder()) == InProcessLauncher()


@pytest.mark.parametrize("value", ["0", "-1", "two"])
def test_an_invalid_number_of_processes_is_an_error(monkeypatch, job, value):
    monkeypatch.setenv("LABRAM_PROCESSES", value)
    with pytest.raises(PlatformError, match="LABRAM_PROCESSES"):
        select_launcher(job(), Recorder())
