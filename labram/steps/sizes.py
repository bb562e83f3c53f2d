"""Sizes of steps on a cluster: CPU, memory and GPUs that their pods request, and their limits.

A profile is *standard*, the table of steps; *small*, for one node of 2 CPUs and 8 GiB; or a YAML file that changes one
of them. KFP does not pass sizes from parameters into every task, so they are fixed when a pipeline is compiled. They
are no part of its cache keys.
"""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from labram.errors import PlatformError
from labram.frozen_model import FrozenModel
from labram.platform.quantities import parse
from labram.steps.table import STEPS, Step

VARIABLE = "LABRAM_SIZES"
"""Environment variable of the compiler: a profile or a YAML file."""
STANDARD, SMALL = "standard", "small"


class StepSize(FrozenModel):
    """Size of one step's pods, in Kubernetes' notation: request and limit.

    Attributes:
        cpu: Cores, such as ``500m`` or ``4``.
        memory: Bytes, such as ``2Gi``.
        gpus: GPUs, which place the step in the GPU pool; None: the pipeline's parameter `gpus` for trainings, and none
            for other steps; 0 takes a training out of the pool.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    gpus: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _requests_within_limits(self) -> Self:
        for request, limit in (self.cpu, self.memory):
            if not 0 < parse(request) <= parse(limit):
                raise ValueError(f"expected a request of at most the limit, got {request} and {limit}")
        return self


class Sizes(FrozenModel):
    """Sizes of all steps.

    Attributes:
        parallelism: Tasks of a loop that run at once; None: `LABRAM_PARALLELISM`.
        steps: Size of each step.
    """

    parallelism: int | None = Field(default=None, ge=1)
    steps: dict[str, StepSize]

    def in_pool(self, step: Step) -> bool:
        """Return whether a step runs in the GPU pool."""
        gpus = self.steps[step.name].gpus
        return step.resources.gpus if gpus is None else gpus > 0

    def requests(self, *steps: Step) -> dict[str, dict[str, str]]:
        """Return what each step requests and its limits, for checks before a run.

        A step of the GPU pool has `pool`, and `gpus` if their number is not the pipeline's parameter.
        """
        return {step.name: self._request(step) for step in steps}

    def _request(self, step: Step) -> dict[str, str]:
        size = self.steps[step.name]
        request = {"cpu": size.cpu[0], "memory": size.memory[0]}
        request |= {"limits.cpu": size.cpu[1], "limits.memory": size.memory[1]}
        if self.in_pool(step):
            request |= {"pool": "gpu"} | ({} if size.gpus is None else {"gpus": str(size.gpus)})
        return request


def _small(step: Step) -> StepSize:
    """Return a size with which the demo runs on one node of 2 CPUs and 8 GiB, beside the services of an overlay."""
    if step.name == "preflight":
        return StepSize(cpu=("100m", "1"), memory=("512Mi", "2Gi"))
    heavy = step.resources.gpus or step.name in {"ingest", "quality", "evaluate", "gate"}
    return (
        StepSize(cpu=("700m", "2"), memory=("3Gi", "6Gi"))
        if heavy
        else StepSize(cpu=("250m", "2"), memory=("1Gi", "4Gi"))
    )


PROFILES = {
    STANDARD: Sizes(
        steps={step.name: StepSize(cpu=step.resources.cpu, memory=step.resources.memory) for step in STEPS.values()}
    ),
    SMALL: Sizes(parallelism=1, steps={step.name: _small(step) for step in STEPS.values()}),
}


def load(name: str) -> Sizes:
    """Return a profile by name, or from a YAML file: ``extends`` (a profile), ``parallelism``, and ``steps``.

    Args:
        name: *standard*, *small* or the path of a file; "" is *standard*.

    Raises:
        PlatformError: If the file cannot be read, or has an unknown step, an invalid quantity, or a request above its
            limit.
    """
    if (name or STANDARD) in PROFILES:
        return PROFILES[name or STANDARD]
    path = Path(name)
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        base = PROFILES[content.pop("extends", STANDARD)].model_dump()
        changed = content.pop("steps", None) or {}
        if unknown := sorted(set(changed) - set(STEPS)):
            raise _invalid(path, f"steps.{unknown[0]}", "no step has this name", f"Choose from: {', '.join(STEPS)}")
        steps = {step: size | (changed.get(step) or {}) for step, size in base.pop("steps").items()}
        return Sizes.model_validate(base | content | {"steps": steps})
    except (OSError, yaml.YAMLError) as error:
        remedy = f"Name one of {', '.join(PROFILES)}, or a YAML file"
        raise PlatformError(f"sizes cannot be read ({error})", file=path, field="--sizes", remedy=remedy) from error
    except KeyError as error:
        raise _invalid(path, "extends", f"no profile {error}", f"Choose from: {', '.join(PROFILES)}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise _invalid(path, field, first["msg"], "Write cpu: [500m, '2'], memory: [1Gi, 4Gi], gpus: 1") from error


def _invalid(path: Path, field: str, problem: str, remedy: str) -> PlatformError:
    return PlatformError(problem, file=path, field=field, remedy=remedy)
