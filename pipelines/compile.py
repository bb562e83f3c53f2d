"""Compile a pipeline with a recipe to KFP's intermediate representation: ``python -m pipelines.compile REQUEST``.

The recipe's settings become the defaults of the pipeline's parameters, so that a run needs no arguments. `labram
pipeline compile` starts a new process with the image in ``LABRAM_IMAGE``, because components read it on import.
"""

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from kfp import compiler

from labram.errors import LabramError
from labram.recipe import Recipe
from labram.steps.table import pipeline_name
from pipelines import status_size
from pipelines.lint import check
from pipelines.placement import VOLUME_PATH

DATA, WORKSPACE = f"{VOLUME_PATH}/data", f"{VOLUME_PATH}/labram"
HEADER = re.compile(r"\A(#.*\n)+")
"""KFP's comment on the parameters, which is not deterministic: mappings in it have no fixed order."""


def compile_pipeline(name: str, recipe: Recipe, out: Path, **arguments: Any) -> Path:
    """Write the pipeline's intermediate representation, two YAML documents; return its path.

    Args:
        name: One of `labram.steps.table.PIPELINES`.
        recipe: Settings that become the defaults of the parameters.
        out: Folder for the file, created if absent.
        **arguments: Further arguments of the pipeline's function `arguments`; by default, data and workspace are on
            the cluster's volume.

    Raises:
        PlatformError: If the pipeline is unknown, or a task breaks a rule of `pipelines.lint`.
        RecipeError: If the pipeline cannot run the recipe.
    """
    name = pipeline_name(name)
    module = import_module(f"pipelines.{name}")  # on use: an image that components reject is reported as an error
    path = out / f"{name}.yaml"
    out.mkdir(parents=True, exist_ok=True)
    defaults = module.arguments(recipe, **{"data": DATA, "workspace": WORKSPACE, **arguments})
    compiler.Compiler().compile(getattr(module, name), str(path), pipeline_parameters=defaults)
    path.write_text(HEADER.sub("", path.read_text(encoding="utf-8")), encoding="utf-8")
    check(path)
    return path


if __name__ == "__main__":
    try:
        request = json.loads(sys.argv[1])
        recipe, out = Recipe.from_json(request["recipe"]), Path(request["out"])
        compiled = compile_pipeline(request["pipeline"], recipe, out, **request.get("arguments", {}))
        status_size.check(compiled)
        print(compiled)  # noqa: T201
    except LabramError as error:
        sys.exit(f"error: {error}")
