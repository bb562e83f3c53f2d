"""What every task of a compiled pipeline must have: ``python -m pipelines.lint FILE…``.

KFP accepts a task without limits, one that runs for ever, and a parameter that no one hands in; the cluster then fails
hours later, or not at all. Here each rule is a question to the compiled file, because that is what the cluster gets.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components import LAPTOP, check_image
from labram.errors import LabramError, PlatformError
from pipelines.placement import NEEDS

LIMITS = ("resourceCpuLimit", "resourceCpuRequest", "resourceMemoryLimit", "resourceMemoryRequest")
RETRY = ("maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration")
PARAMETER = re.compile(r"inputs\.parameters\['([^']+)'\]")


def check(path: Path) -> None:
    """Hold a compiled pipeline to the rules.

    Raises:
        PlatformError: Names every task that breaks one, and how.
    """
    complaints = list(complaints_about(*read(path)))
    if complaints:
        raise PlatformError(
            "; ".join(complaints), file=path, remedy="Give each task its place with pipelines.placement.Placement"
        )


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two documents of a compiled pipeline: what runs, and how Kubernetes runs it.

    Raises:
        PlatformError: If they are something else.
    """
    try:
        pipeline, platforms = yaml.safe_load_all(path.read_text())
        json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
        return pipeline, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, json_format.ParseError) as error:
        raise PlatformError(
            f"it is not a compiled pipeline with its settings for Kubernetes ({error})",
            file=path,
            remedy="Compile it with `labram pipeline compile`",
        ) from error


def complaints_about(pipeline: dict[str, Any], platform: dict[str, Any]) -> Iterator[str]:
    """Every rule that a task breaks, as a sentence."""
    name = pipeline["pipelineInfo"]["name"]
    if f"comp-{name}" in pipeline["components"]:
        yield f"{name}: a task has the name of the pipeline, and KFP takes the file for it"
    dags = {"root": pipeline["root"]} | {n: part for n, part in pipeline["components"].items() if "dag" in part}
    for dag in dags.values():
        given = set(dag.get("inputDefinitions", {}).get("parameters", {}))
        for name, task in dag["dag"]["tasks"].items():
            label = pipeline["components"][task["componentRef"]["name"]].get("executorLabel")
            used = _names(task, "componentInputParameter") | _names(platform.get(label, {}), "componentInputParameter")
            yield from (f"{name}: nobody hands it the parameter {missing}" for missing in sorted(used - given))
            if label:
                container = pipeline["deploymentSpec"]["executors"][label]["container"]
                yield from (f"{name}: {problem}" for problem in _problems(task, container, platform[label]))


def _problems(task: dict[str, Any], container: dict[str, Any], platform: dict[str, Any]) -> Iterator[str]:
    resources, needs = container.get("resources", {}), NEEDS[task["componentRef"]["name"].removeprefix("comp-")]
    yield from (f"no {field}" for field in LIMITS if not resources.get(field))
    yield from (f"no {field} of a retry policy" for field in RETRY if not task.get("retryPolicy", {}).get(field))
    if not int(platform.get("activeDeadlineSeconds", 0)):
        yield "no timeout"
    if not platform.get("securityContext", {}).get("runAsNonRoot"):
        yield "it may run as root"
    for kind in ("secretAsEnv", "configMapAsEnv", *(("pvcMount",) if needs.stores else ())):
        if kind not in platform or not _names(platform[kind], "componentInputParameter"):
            yield f"{kind} is not a parameter of the pipeline"
    if bool(task["cachingOptions"].get("enableCache")) == needs.acts:
        yield "it acts on the world and is cached" if needs.acts else "its work is not cached"
    yield from _problems_of_image(container["image"])
    if needs.trains:
        yield from _problems_of_pool(task, resources.get("accelerator", {}), platform)


def _problems_of_image(image: str) -> Iterator[str]:
    try:
        check_image(image)
    except PlatformError as error:
        yield error.problem
    if image == LAPTOP:
        yield "it has the image of a laptop, which no registry has"


def _problems_of_pool(task: dict[str, Any], accelerator: dict[str, Any], platform: dict[str, Any]) -> Iterator[str]:
    for field in ("resourceCount", "resourceType"):
        parameter = PARAMETER.search(accelerator.get(field, ""))
        if not parameter or parameter[1] not in task["inputs"]["parameters"]:
            yield f"accelerator {field} is not a parameter of the pipeline"
    yield from (f"no {field} for the pool" for field in ("nodeSelector", "tolerations") if not platform.get(field))
    if not any(mount["mountPath"] == "/dev/shm" for mount in platform.get("emptyDirMounts", [])):  # noqa: S108
        yield "no shared memory"


def _names(part: Any, key: str) -> set[str]:
    """Values of `key` anywhere in `part`."""
    if isinstance(part, list):
        return set().union(*(_names(item, key) for item in part))
    if not isinstance(part, dict):
        return set()
    own = {part[key]} if isinstance(part.get(key), str) else set()
    return own.union(*(_names(value, key) for value in part.values()))


if __name__ == "__main__":
    try:
        for file in sys.argv[1:]:
            check(Path(file))
    except LabramError as error:
        sys.exit(f"error: {error}")
