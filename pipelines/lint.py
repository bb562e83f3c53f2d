"""Rules for the tasks of a compiled pipeline: ``python -m pipelines.lint FILE…``.

KFP accepts a task without limits, without timeout, or with a parameter that is never passed; the cluster then fails
hours later. The rules are checked on the compiled file, because that is what the cluster runs.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components import LAPTOP, check_image
from labram.errors import LabramError, PlatformError
from labram.steps.table import PIPELINES, STEPS, Step
from pipelines.kfp_shortcuts import SafeLoader
from pipelines.placement import retry_window, sizes

LIMITS = ("resourceCpuLimit", "resourceCpuRequest", "resourceMemoryLimit", "resourceMemoryRequest")
RETRY = ("maxRetryCount", "backoffDuration", "backoffFactor", "backoffMaxDuration")
AGAIN = re.compile(r"-\d+$")
"""End of the name of a task whose step the pipeline has twice."""
PARAMETER = re.compile(r"inputs\.parameters\['([^']+)'\]")


def check(path: Path) -> None:
    """Check a compiled pipeline.

    Raises:
        PlatformError: If tasks break rules; it lists all of them.
    """
    violations = list(violations_of(*read(path)))
    if violations:
        raise PlatformError(
            "; ".join(violations), file=path, remedy="Pass each task to pipelines.placement.Placement in the pipeline"
        )


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two documents of a compiled pipeline: the DAG, and its Kubernetes settings.

    Raises:
        PlatformError: If the file is not a compiled pipeline.
    """
    try:
        pipeline, platforms = yaml.load_all(path.read_text(encoding="utf-8"), SafeLoader)
        json_format.ParseDict(pipeline, pipeline_spec_pb2.PipelineSpec())
        return pipeline, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, json_format.ParseError) as error:
        raise PlatformError(
            f"not a compiled pipeline with Kubernetes settings ({error})",
            file=path,
            remedy="Compile it with `labram pipeline compile`",
        ) from error


def violations_of(pipeline: dict[str, Any], platform: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each rule that a task breaks."""
    name = pipeline["pipelineInfo"]["name"]
    caches = name not in PIPELINES or PIPELINES[name].cached
    if f"comp-{name}" in pipeline["components"]:
        yield f"{name}: pipeline and task have the same name, which KFP confuses"
    yield from _problems_of_loops(pipeline)
    dags = {"root": pipeline["root"]} | {n: part for n, part in pipeline["components"].items() if "dag" in part}
    for dag in dags.values():
        defined = set(dag.get("inputDefinitions", {}).get("parameters", {}))
        for name, task in dag["dag"]["tasks"].items():
            label = pipeline["components"][task["componentRef"]["name"]].get("executorLabel")
            used = _names(task, "componentInputParameter") | _names(platform.get(label, {}), "componentInputParameter")
            yield from (f"{name}: the parameter {missing} is not passed to it" for missing in sorted(used - defined))
            step = STEPS.get(AGAIN.sub("", str(label).removeprefix("exec-")).replace("-", "_"))
            if label and step is None:
                yield f"{name}: the step is not in labram.steps.table.STEPS"
            elif label and step:
                container = pipeline["deploymentSpec"]["executors"][label]["container"]
                uses = replace(step.resources, cached=step.resources.cached and caches)
                problems = _problems(task, container, platform[label], replace(step, resources=uses))
                yield from (f"{name}: {problem}" for problem in problems)


def _problems(task: dict[str, Any], container: dict[str, Any], platform: dict[str, Any], step: Step) -> Iterator[str]:
    needs, resources = step.resources, container.get("resources", {})
    yield from (f"no {field}" for field in LIMITS if not resources.get(field))
    yield from (f"no {field} of a retry policy" for field in RETRY if not task.get("retryPolicy", {}).get(field))
    if not int(platform.get("activeDeadlineSeconds", 0)):
        yield "no timeout"
    elif all(task.get("retryPolicy", {}).get(field) for field in RETRY):
        yield from _problems_of_retries(task["retryPolicy"], int(platform["activeDeadlineSeconds"]))
    if not platform.get("securityContext", {}).get("runAsNonRoot"):
        yield "it may run as root"
    for kind in ("secretAsEnv", "configMapAsEnv", *(("pvcMount",) if needs.volume else ())):
        if kind not in platform or not _names(platform[kind], "componentInputParameter"):
            yield f"{kind} is not a parameter of the pipeline"
    if bool(task["cachingOptions"].get("enableCache")) != needs.cached:
        yield "it must be cached" if needs.cached else "it has side effects and must not be cached"
    yield from _problems_of_image(container["image"])
    if needs.gpus and not any(it["mountPath"] == "/dev/shm" for it in platform.get("emptyDirMounts", [])):  # noqa: S108
        yield "no shared memory"
    if sizes().in_pool(step):
        yield from _problems_of_pool(task, resources.get("accelerator", {}), platform, step)
    elif resources.get("accelerator"):
        yield "it requests GPUs, but its size has none"


def _problems_of_loops(pipeline: dict[str, Any]) -> Iterator[str]:
    """Yield a sentence for each DAG in a loop, and each loop with an exit handler around it.

    If the driver of a DAG in a loop is lost, KFP 2.17 rejects its retry (two tasks of one name), and the run ends.
    """
    components = pipeline["components"]
    for dag in (part["dag"]["tasks"] for part in (pipeline["root"], *components.values()) if "dag" in part):
        for name, task in dag.items():
            inner = components[task["componentRef"]["name"]].get("dag", {}).get("tasks", {})
            if "parameterIterator" in task:
                nested = [key for key, value in inner.items() if "dag" in components[value["componentRef"]["name"]]]
                yield from (f"{name}: {key} is a condition or loop in a loop, which KFP cannot retry" for key in nested)
            if task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED":
                yield f"{name}: an exit handler, around which KFP does not support loops"


def _problems_of_retries(policy: dict[str, Any], timeout: int) -> Iterator[str]:
    retries, factor = int(policy["maxRetryCount"]), float(policy["backoffFactor"])
    first, window = (float(policy[field].removesuffix("s")) for field in ("backoffDuration", "backoffMaxDuration"))
    needed = retry_window(timeout, retries, first, factor)
    if window < needed:
        yield f"backoffMaxDuration is {window:.0f} s: Argo would not retry, expected {needed} s for all attempts"


def _problems_of_image(image: str) -> Iterator[str]:
    try:
        check_image(image)
    except PlatformError as error:
        yield error.problem
    if image == LAPTOP:
        yield "its image exists on this machine only"


def _problems_of_pool(
    task: dict[str, Any], accelerator: dict[str, Any], platform: dict[str, Any], step: Step
) -> Iterator[str]:
    gpus = sizes().steps[step.name].gpus
    for field in ("resourceCount", "resourceType") if gpus is None else ("resourceType",):
        parameter = PARAMETER.search(accelerator.get(field, ""))
        if not parameter or parameter[1] not in task["inputs"]["parameters"]:
            yield f"accelerator {field} is not a parameter of the pipeline"
    if gpus is not None and accelerator.get("resourceCount") != str(gpus):
        yield f"accelerator resourceCount is not {gpus}, the number of its size"
    yield from (f"no {field} for the pool" for field in ("nodeSelector", "tolerations") if not platform.get(field))


def _names(part: Any, key: str) -> set[str]:
    """Return all values of `key` anywhere in `part`."""
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
