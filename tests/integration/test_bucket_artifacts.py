"""Artefacts between tasks are objects in a bucket; on this machine nothing of them stays."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from kfp import compiler, components, dsl, local
from tests.integration.bucket_artifacts import through_bucket

def component(function):
    return dsl.component(function, base_image="labram-python:source", packages_to_install=[], install_kfp_package=False)

@component
def make(text: str, folder: dsl.Output[dsl.Dataset], file: dsl.Output[dsl.Metrics]) -> str:
    import os
    os.makedirs(folder.path + "/below")
    for name in ("a", "below/b"):
        with open(f"{folder.path}/{name}", "w") as out:
            out.write(text + name)
    with open(file.path, "w") as out:
        out.write(text)
    folder.metadata["said"] = text
    return "made"

@component
def join(folders: dsl.Input[list[dsl.Dataset]], files: dsl.Input[list[dsl.Metrics]], joined: dsl.Output[dsl.Dataset]):
    import glob
    with open(joined.path, "w") as out:
        for folder, file in zip(folders, files):
            for path in [*sorted(glob.glob(folder.path + "/**", recursive=True)), file.path]:
                if not path.rstrip("/").endswith(("folder", "below")):
                    out.write(open(path).read() + " ")
            out.write(folder.metadata["said"] + " ")

@dsl.pipeline(name="two")
def two(texts: list[str]):
    with dsl.ParallelFor(texts) as text:
        made = make(text=text)
    join(folders=dsl.Collected(made.outputs["folder"]), files=dsl.Collected(made.outputs["file"]))

root = Path(sys.argv[1])
file = str(root.with_name("two.yaml"))
compiler.Compiler().compile(two, file)
two = components.load_component_from_file(file)
through_bucket(two, root)
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), enable_caching=True, raise_on_error=True)
two(texts=["x", "y"])
"""


@pytest.fixture
def run(bucket: str, tmp_path: Path):
    """Run the pipeline with its artefacts in the bucket; gives what it printed, and its exit code."""
    program = tmp_path / "two.py"
    program.write_text(PROGRAM)
    environment = os.environ | {
        "LABRAM_PIPELINE_ROOT": f"{bucket}/runs",
        "PYTHONPATH": str(ROOT),
        "LABRAM_EVENTS": str(tmp_path / "events"),
        "TMPDIR": str(tmp_path / "temporary"),
    }
    (tmp_path / "temporary").mkdir()

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, program, tmp_path / "root"], env=environment, capture_output=True, text=True, timeout=240
        )

    return start


def objects(bucket: str) -> dict[str, bytes]:
    client, name = boto3.client("s3"), bucket.removeprefix("s3://")
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=name).get("Contents", ())]
    return {key: client.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def test_files_and_folders_go_through_the_bucket_and_none_stays_here(run, bucket: str, tmp_path: Path) -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = objects(bucket)
    assert all(name.startswith("runs/two-") for name in found)
    assert {"x", "y"} == {content.decode() for name, content in found.items() if name.endswith("/file")}
    (joined,) = (content for name, content in found.items() if name.endswith("/joined"))
    assert joined.decode() == "xa xbelow/b x x ya ybelow/b y y "
    here = {path.name for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert {name for name in here if not name.endswith(".json")} <= {"Output"}
    assert list((tmp_path / "temporary").glob("labram-task-*")) == []


def test_the_cache_has_addresses_and_what_is_no_longer_there_is_said(run, bucket: str, tmp_path: Path) -> None:
    run()
    client, name = boto3.client("s3"), bucket.removeprefix("s3://")
    for key in objects(bucket):
        if key.endswith("/file"):
            client.delete_object(Bucket=name, Key=key)
    for entry in (tmp_path / "root" / ".kfp_cache").iterdir():
        if "joined" in entry.read_text():
            entry.unlink()
    assert run().returncode != 0
    told = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [event["event"] for event in told] == ["failed"]
    assert "no longer in the bucket" in told[0]["text"]
    assert "--force" in told[0]["text"]


def test_a_task_that_is_told_to_stop_is_waited_for(bucket: str, tmp_path: Path) -> None:
    task = "trap 'sleep 0.5; touch checkpoint; exit 0' TERM; echo begun; while true; do sleep 0.1; done"
    answer = tmp_path / "root" / "executor_output.json"
    request = json.dumps({"inputs": {}, "outputs": {"outputFile": str(answer)}})
    launcher = [sys.executable, "-m", "tests.integration.bucket_artifacts", bucket, str(tmp_path / "root")]
    process = subprocess.Popen(
        [*launcher, "sh", "-c", task, "--executor_input", request],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    answer.parent.mkdir()
    answer.write_text("{}")
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(30) == 0
    assert (tmp_path / "checkpoint").exists()
    assert list(tmp_path.glob("labram-task-*")) == []
