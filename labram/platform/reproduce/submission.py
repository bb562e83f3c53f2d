"""What the pipeline `reproduce` is compiled from: recipe and image of the original, and its commit, which is here."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from labram.errors import RegistryError
from labram.platform.reproduce.original import find_original
from labram.tracking import lineage

PIPELINE, ORIGINAL = "reproduce", "retrain"
"""The pipeline, and the pipeline whose runs it can repeat."""
RUN = "run"
"""Parameter of the pipeline: the original run."""


@dataclass(frozen=True)
class Submission:
    """Settings of a reproduction on a cluster.

    Attributes:
        run: Name of the original run.
        recipe: Its resolved recipe as YAML.
        image: Its image.
    """

    run: str
    recipe: str
    image: str


def of_run(run: str, image: str = "") -> Submission:
    """Return what the reproduction of a run is compiled from.

    Args:
        run: The original: a run, or ``models:/…``.
        image: Image for an original that ran without one, or its image in another registry; "" for the original's.

    Raises:
        RegistryError: If there is no such run, its pipeline cannot be repeated, or its image or commit is another.
    """
    if not run:
        raise RegistryError("no original is named", field="--parameter", remedy="Name it with -p run=RUN")
    original = find_original(run, Path(tempfile.gettempdir()))
    pipeline = original.tags.get("pipeline", ORIGINAL)
    if pipeline != ORIGINAL:
        raise RegistryError(
            f"run {original.run.name} is a {pipeline}, and the pipeline {PIPELINE} repeats a {ORIGINAL}",
            field=RUN,
            remedy="Run `labram reproduce` on one machine instead",
        )
    if original.diff or original.commit != lineage.commit():
        changes = " with uncommitted changes" if original.diff else ""
        raise RegistryError(
            f"run {original.run.name} was made at commit {original.commit[:12] or 'not known'}{changes}, "
            f"and this source is at {lineage.commit()[:12]}",
            field=RUN,
            remedy="Run `labram reproduce` on one machine: it applies the changes"
            if original.diff
            else f"Check it out and submit again: git checkout {original.commit[:12]}",
        )
    return Submission(original.run.name, yaml.safe_dump(original.recipe, sort_keys=False), _image(original.tags, image))


def _image(tags: Mapping[str, str], image: str) -> str:
    recorded = tags.get("image", "")
    if not (recorded or image):
        raise RegistryError(
            "the original ran without a container image",
            field="--image",
            remedy="Name an image of its commit with --image",
        )
    if image and recorded and image.rpartition("@")[2] != recorded.rpartition("@")[2]:
        raise RegistryError(
            f"the original ran in {recorded}, not in {image}",
            field="--image",
            remedy="Leave --image and LABRAM_IMAGE out",
        )
    return image or recorded
