"""Compile a pipeline with a recipe into what a cluster takes: ``python -m pipelines.compile REQUEST``.

The recipe's settings become the defaults of the pipeline's parameters, so that a run needs none. `labram pipeline
compile` starts it as a process of its own, with the image in ``LABRAM_IMAGE``: components have it from there when they
are defined.
"""

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from kfp import compiler

from labram.errors import LabramError, PlatformError
from labram.recipe import Recipe
from pipelines.lint import check
from pipelines.placement import VOLUME_PATH

DATA, WORKSPACE = f"{VOLUME_PATH}/data", f"{VOLUME_PATH}/labram"
HEADER = re.compile(r"\A(#.*\n)+")
"""KFP's comment on the parameters, in which the entries of a mapping stand in another order each time."""
PIPELINES = ("retrain", "pretrain_only", "adapt", "study")


def compile_pipeline(name: str, recipe: Recipe, out: Path, **given: Any) -> Path:
    """Write the pipeline's intermediate representation, two YAML documents; gives its path.

    Args:
        name: One of `PIPELINES`.
        recipe: Whose settings are the defaults of the parameters.
        out: Folder for the file, made if need be.
        **given: Other arguments of the pipeline's own `arguments`; data and workspace are on the cluster's volume
            unless they say otherwise.

    Raises:
        PlatformError: If there is no such pipeline, or a task breaks a rule of `pipelines.lint`.
        RecipeError: If the recipe is none for this pipeline.
    """
    if name not in PIPELINES:
        raise PlatformError(f"there is no pipeline {name!r}", remedy=f"Choose one of: {', '.join(PIPELINES)}")
    module = import_module(f"pipelines.{name}")  # here, so that a component's own refusal is a message
    path = out / f"{name}.yaml"
    out.mkdir(parents=True, exist_ok=True)
    defaults = module.arguments(recipe, **{"data": DATA, "workspace": WORKSPACE, **given})
    compiler.Compiler().compile(getattr(module, name), str(path), pipeline_parameters=defaults)
    path.write_text(HEADER.sub("", path.read_text()))
    check(path)
    return path


if __name__ == "__main__":
    try:
        request = json.loads(sys.argv[1])
        print(compile_pipeline(request["pipeline"], Recipe.from_json(request["recipe"]), Path(request["out"])))  # noqa: T201
    except LabramError as error:
        sys.exit(f"error: {error}")
