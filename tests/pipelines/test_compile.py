"""What a cluster gets: the compiled file, its rules, and that it starts."""

import copy
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from components import check_image
from labram import recipe as recipes
from labram.errors import PlatformError
from labram.steps.table import PIPELINES
from pipelines.compile import compile_pipeline
from pipelines.lint import check, read, violations_of
from pipelines.placement import CLUSTER

LABRAM = Path(sys.executable).with_name("labram")
DIGEST = "registry.example/labram-python@sha256:" + "5" * 64
COMPILE_ALL = """
import sys
import tempfile
from pathlib import Path
from labram import recipe
from pipelines.compile import compile_pipeline
for name in ("retrain", "pretrain_only", "adapt", "study", "reproduce"):
    compile_pipeline(name, recipe.load("demo-study" if name == "study" else "demo"), Path(sys.argv[1]))
"""


def compile_into(folder: Path, *more: str, image: str = DIGEST) -> subprocess.CompletedProcess[str]:
    command = [str(LABRAM), "pipeline", "compile", *more, "--image", image, "--out", str(folder)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """All pipelines, compiled in one process that has the image from its beginning."""
    return compile_all(tmp_path_factory.mktemp("ir"))


def compile_all(folder: Path) -> Path:
    subprocess.run([sys.executable, "-c", COMPILE_ALL, folder], env={**os.environ, "LABRAM_IMAGE": DIGEST}, check=True)
    return folder


@pytest.fixture(scope="module")
def path(folder) -> Path:
    return folder / "retrain.yaml"


@pytest.fixture
def documents(path) -> tuple[dict, dict]:
    return copy.deepcopy(read(path))


def test_compiling_twice_gives_the_same_bytes(folder, tmp_path) -> None:
    done = compile_into(tmp_path, "study", "--recipe", "demo-study")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "study.yaml").read_bytes() == (folder / "study.yaml").read_bytes()


def test_how_many_tasks_of_a_loop_run_at_once_is_set_when_a_pipeline_is_compiled(tmp_path, monkeypatch) -> None:
    """So are the GPUs of a step that has a number of its own."""
    monkeypatch.setenv("LABRAM_PARALLELISM", "5")
    sizes = tmp_path / "sizes.yaml"
    sizes.write_text("steps: {finetune: {gpus: 0}, evaluate: {gpus: 2}}\n")
    done = compile_into(tmp_path, "adapt", "--sizes", str(sizes))
    assert done.returncode == 0, done.stderr
    pipeline, platform = read(tmp_path / "adapt.yaml")
    executors = pipeline["deploymentSpec"]["executors"]
    gpus = {name: part["container"]["resources"].get("accelerator", {}) for name, part in executors.items()}
    assert {name: part["resourceCount"] for name, part in gpus.items() if part} == {"exec-evaluate": "2"}
    assert {name for name in executors if platform[name].get("nodeSelector")} == {"exec-evaluate"}
    assert platform["exec-finetune"]["emptyDirMounts"], "a training has shared memory outside the pool too"
    assert list(violations_of(pipeline, platform)) == [
        "evaluate: it requests GPUs, but its size has none",
        *(f"finetune: accelerator {field} is not a parameter of the pipeline"
          for field in ("resourceCount", "resourceType")),
        *(f"finetune: no {field} for the pool" for field in ("nodeSelector", "tolerations")),
    ], "by the standard sizes"  # fmt: skip
    dags = [part["dag"]["tasks"] for part in [pipeline["root"], *pipeline["components"].values()] if "dag" in part]
    loops = [task["iteratorPolicy"] for tasks in dags for task in tasks.values() if "parameterIterator" in task]
    assert loops
    assert all(policy == {"parallelismLimit": 5} for policy in loops)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_structure_is_the_one_that_was_reviewed(folder, name) -> None:
    """After a wanted change: `python -m tests.pipelines.test_compile` writes the golden files; read their diff."""
    assert structure(folder / f"{name}.yaml") == yaml.safe_load(golden(name).read_text())


def golden(name: str) -> Path:
    return Path(__file__).with_name(f"golden_{name}.yaml")


def structure(path: Path) -> dict:
    """For each task: what comes before it, whether it is cached, how often retried, what it may use, for how long."""
    pipeline, platform = read(path)
    found = {}
    for name, part in {"root": pipeline["root"], **pipeline["components"]}.items():
        for task_name, task in part.get("dag", {}).get("tasks", {}).items():
            label = pipeline["components"][task["componentRef"]["name"]].get("executorLabel")
            entry = {"in": name, "after": sorted(task.get("dependentTasks", []))}
            if label:
                resources = pipeline["deploymentSpec"]["executors"][label]["container"]["resources"]
                entry |= {
                    "cached": bool(task["cachingOptions"].get("enableCache")),
                    "retries": task["retryPolicy"]["maxRetryCount"],
                    "resources": {field: value for field, value in resources.items() if field.startswith("resource")},
                    "gpus": resources.get("accelerator", {}).get("resourceCount", ""),
                    "seconds": int(platform[label]["activeDeadlineSeconds"]),
                }
            found[task_name] = entry
    return found


@pytest.mark.parametrize("image", ["labram-python", "r.example/labram-python:v1", "r.example:5000/labram-python:dev"])
def test_an_image_that_can_change_under_its_name_is_refused(image) -> None:
    with pytest.raises(PlatformError, match="expected a digest or a commit tag"):
        check_image(image)


def test_a_component_cannot_be_compiled_with_latest(tmp_path) -> None:
    done = compile_into(tmp_path, image="labram-python:latest")
    assert done.returncode == 1
    assert "expected a digest or a commit tag" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_laptops_image_is_no_image_for_a_cluster(tmp_path) -> None:
    with pytest.raises(PlatformError, match="exists on this machine only"):
        compile_pipeline("retrain", recipes.load("demo"), tmp_path)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_run_needs_no_arguments(folder, name) -> None:
    pipeline, _ = read(folder / f"{name}.yaml")
    parameters = pipeline["root"]["inputDefinitions"]["parameters"]
    assert all("defaultValue" in parameter for parameter in parameters.values())
    assert {name: parameters[name]["defaultValue"] for name in CLUSTER} == CLUSTER
    assert parameters["data"]["defaultValue"] == "/workspace/data"


def forget(*path: str):
    """An edit that removes something from a task's task, container and platform parts."""

    def edit(pipeline: dict, platform: dict) -> None:
        parts = {
            "task": pipeline["components"]["comp-condition-1"]["dag"]["tasks"]["pretrain"],
            "container": pipeline["deploymentSpec"]["executors"]["exec-pretrain"]["container"],
            "platform": platform["exec-pretrain"],
        }
        *parents, last = path
        part = parts
        for name in parents:
            part = part[name]
        del part[last]

    return edit


def give_up_after_half_an_hour(pipeline: dict, platform: dict) -> None:
    policy = pipeline["components"]["comp-condition-1"]["dag"]["tasks"]["pretrain"]["retryPolicy"]
    policy["backoffMaxDuration"] = "1800s"


def cache_the_promotion(pipeline: dict, platform: dict) -> None:
    pipeline["components"]["comp-condition-1"]["dag"]["tasks"]["promote"]["cachingOptions"]["enableCache"] = True


def fix_the_gpus(pipeline: dict, platform: dict) -> None:
    resources = pipeline["deploymentSpec"]["executors"]["exec-pretrain"]["container"]["resources"]
    resources["accelerator"]["resourceCount"] = "1"


def lose_a_parameter(pipeline: dict, platform: dict) -> None:
    """As KFP 2.17 does with parameters of resources below a condition."""
    del pipeline["components"]["comp-condition-1"]["inputDefinitions"]["parameters"]["pipelinechannel--gpus"]


def nest_a_loop(pipeline: dict, platform: dict) -> None:
    loop = pipeline["components"]["comp-for-loop-2"]["dag"]["tasks"]
    loop["condition-9"] = {"componentRef": {"name": "comp-condition-9"}, "taskInfo": {"name": "condition-9"}}
    pipeline["components"]["comp-condition-9"] = {"dag": {"tasks": {}}}


def name_the_pipeline_after_a_step(pipeline: dict, platform: dict) -> None:
    pipeline["pipelineInfo"]["name"] = "pretrain"


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (
            name_the_pipeline_after_a_step,
            "pretrain: pipeline and task have the same name, which KFP confuses",
        ),
        (nest_a_loop, "for-loop-2: condition-9 is a condition or loop in a loop, which KFP cannot retry"),
        (forget("container", "resources", "resourceMemoryLimit"), "pretrain: no resourceMemoryLimit"),
        (forget("container", "resources", "resourceCpuRequest"), "pretrain: no resourceCpuRequest"),
        (forget("task", "retryPolicy"), "pretrain: no backoffDuration of a retry policy"),
        (forget("platform", "activeDeadlineSeconds"), "pretrain: no timeout"),
        (
            give_up_after_half_an_hour,
            "pretrain: backoffMaxDuration is 1800 s: Argo would not retry, expected 5446156 s for all attempts",
        ),
        (forget("platform", "securityContext"), "pretrain: it may run as root"),
        (forget("platform", "secretAsEnv"), "pretrain: secretAsEnv is not a parameter of the pipeline"),
        (forget("platform", "pvcMount"), "pretrain: pvcMount is not a parameter of the pipeline"),
        (forget("platform", "tolerations"), "pretrain: no tolerations for the pool"),
        (forget("platform", "emptyDirMounts"), "pretrain: no shared memory"),
        (fix_the_gpus, "pretrain: accelerator resourceCount is not a parameter of the pipeline"),
        (cache_the_promotion, "promote: it has side effects and must not be cached"),
        (lose_a_parameter, "pretrain: the parameter pipelinechannel--gpus is not passed to it"),
    ],
)
def test_the_lint_finds_a_task_that_lacks_something(documents, edit, complaint) -> None:
    assert not list(violations_of(*documents))
    edit(*documents)
    assert complaint in list(violations_of(*documents))


def test_the_lint_refuses_what_is_no_compiled_pipeline(tmp_path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("kind: Pod\n")
    with pytest.raises(PlatformError, match="not a compiled pipeline"):
        check(other)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        compiled = compile_all(Path(temporary))
        for pipeline_name in PIPELINES:
            golden(pipeline_name).write_text(yaml.safe_dump(structure(compiled / f"{pipeline_name}.yaml"), width=120))
