"""The table of steps and pipelines. The CLI, the DAGs, their lint, the documentation and the tests read it.

A step is a function `labram.steps.NAME.NAME`, a KFP component `components.NAME.NAME` and an entry of `STEPS`.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from labram.errors import PlatformError
from labram.recipe import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of `pipelines/`.

    Attributes:
        command: The command that runs it on this machine, for the documentation.
        purpose: One sentence.
        cached: Whether KFP may reuse outputs of earlier tasks.
    """

    command: str
    purpose: str
    cached: bool = True


PIPELINES = {
    "retrain": Pipeline("`labram run`", "Train all models from raw recordings; promote those that pass their gates."),
    "pretrain_only": Pipeline(
        "`labram run` with a recipe without tasks", "Train tokenizer and backbone on an archive without labels."
    ),
    "adapt": Pipeline(
        "`labram adapt [BACKBONE]`",
        "Fine-tune an existing backbone on the recipe's tasks; promote the task models that pass their gates.",
    ),
    "study": Pipeline(
        "`labram study [BACKBONE]`", "Run fine-tuning ablations; report which variants differ significantly."
    ),
    "reproduce": Pipeline(
        "`labram reproduce RUN`",
        "Run a `retrain` again with its image, and compare every artifact with the original's; promote nothing.",
        cached=False,
    ),
}
RENAMED_PIPELINES = {"unlabelled": "pretrain_only"}
"""Names of earlier releases, accepted until the next one."""
_PROMOTING = ("retrain", "pretrain_only", "adapt")
_PRETRAINING = ("retrain", "pretrain_only", "reproduce")
_FINETUNING = ("retrain", "adapt", "study", "reproduce")


@dataclass(frozen=True)
class Resources:
    """Resources and policies of a step's tasks on a cluster.

    Attributes:
        cpu: Cores: request and limit.
        memory: Memory in Kubernetes' notation: request and limit.
        hours: Timeout.
        retries: Retries after a failure.
        gpus: A training, which runs in the GPU pool unless the sizes say otherwise.
        cached: KFP may reuse the outputs of an earlier task. False for steps with side effects.
        volume: The task mounts the shared volume.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    hours: int
    retries: int = 2
    gpus: bool = False
    cached: bool = True
    volume: bool = True


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: Name of function, component and file.
        reads: Inputs, for the documentation.
        writes: Outputs, for the documentation.
        resources: Resources and policies of its tasks.
        pipelines: Pipelines that have the step.
        sections: Sections of the recipe that it depends on.
        loop: The list that the pipeline loops over, with one task for each element.
    """

    name: str
    reads: str
    writes: str
    resources: Resources
    pipelines: tuple[str, ...] = tuple(PIPELINES)
    sections: tuple[str, ...] = ()
    loop: Literal["", "shards", "tasks"] = ""

    @property
    def task(self) -> str:
        """Name of the component and its tasks in KFP."""
        return self.name.replace("_", "-")

    @property
    def runs_again(self) -> str:
        """When a second run executes the step again, for the documentation."""
        if not self.resources.cached:
            return "always"
        sections = ", ".join(f"`{section}`" for section in self.sections)
        return f"inputs, code or {sections} of the recipe changed" if sections else "inputs or code changed"


_SMALL = Resources(cpu=("500m", "2"), memory=("2Gi", "4Gi"), hours=1)
_SIDE_EFFECTS = Resources(cpu=("500m", "2"), memory=("2Gi", "4Gi"), hours=1, cached=False)


def _training(hours: int, *memory: str) -> Resources:
    return Resources(cpu=("4", "16"), memory=(memory[0], memory[1]), hours=hours, retries=8, gpus=True)


STEPS = {
    step.name: step
    for step in (
        Step(
            "preflight",
            "MLflow, object store; on a cluster also volume, GPU pool and Kubeflow",
            "nothing; an error lists everything that is missing",
            Resources(cpu=("250m", "1"), memory=("512Mi", "2Gi"), hours=1, cached=False, volume=False),
        ),
        Step("plan_run", "corpus folder, recipe", "decision, corpus version, MLflow parent run", _SIDE_EFFECTS),
        Step(
            "ingest",
            "raw recordings",
            "patches in the store, part of the catalogue",
            Resources(cpu=("4", "8"), memory=("8Gi", "16Gi"), hours=24),
            sections=("preprocessing",),
            loop="shards",
        ),
        Step(
            "quality",
            "parts of the catalogue",
            "`catalogue.parquet`, `labels.parquet`, `quality.json`: verdicts, reasons, splits",
            Resources(cpu=("1", "4"), memory=("8Gi", "16Gi"), hours=4),
            sections=("quality", "split"),
        ),
        Step(
            "tokenizer",
            "windows of training subjects",
            "weights, history, codebook usage, example spectra",
            _training(72, "24Gi", "64Gi"),
            _PRETRAINING,
            ("architecture", "tokenizer"),
        ),
        Step(
            "pretrain",
            "windows of training subjects, tokenizer",
            "weights, history",
            _training(168, "24Gi", "64Gi"),
            _PRETRAINING,
            ("architecture", "pretraining"),
        ),
        Step(
            "load_backbone",
            "registry, folder or published file",
            "weights, leakage ledger",
            _SMALL,
            ("adapt", "study"),
        ),
        Step(
            "ablation_run",
            "corpus, backbone",
            "training subjects and backbone of one run of the study",
            _SMALL,
            ("study",),
            ("study",),
            "tasks",
        ),
        Step(
            "finetune",
            "labelled windows, backbone",
            "weights, history, `task.json`",
            _training(24, "16Gi", "48Gi"),
            _FINETUNING,
            ("tasks",),
            "tasks",
        ),
        Step(
            "evaluate",
            "windows of test subjects, task model, backbone",
            "`evaluation.json`, predictions, fitted baselines, audit",
            Resources(cpu=("4", "8"), memory=("16Gi", "32Gi"), hours=6),
            _FINETUNING,
            ("tasks", "gates"),
            "tasks",
        ),
        Step("register", "models, evaluations", "registered versions, alias `challenger`", _SIDE_EFFECTS, _PROMOTING),
        Step(
            "gate",
            "registered versions, predictions, leakage ledgers",
            "verdicts",
            Resources(cpu=("2", "4"), memory=("8Gi", "16Gi"), hours=2, cached=False),
            _PROMOTING,
        ),
        Step("promote", "verdicts", "aliases `champion` and `previous-champion`", _SIDE_EFFECTS, _PROMOTING),
        Step("report", "all artifacts of the run", "`report.html`, `result.json`", _SIDE_EFFECTS, _PROMOTING),
        Step("compare", "predictions of all runs", "`report.html`, `result.json`", _SIDE_EFFECTS, ("study",)),
        Step(
            "compare_artifacts",
            "all artifacts of the run, those of the original in MLflow",
            "`report.html`, `result.json`: bit-equal, within tolerance or different",
            _SIDE_EFFECTS,
            ("reproduce",),
        ),
    )
}


def pipeline_name(name: str) -> str:
    """Return the current name of a pipeline; log a warning if `name` is one of an earlier release.

    Raises:
        PlatformError: If there is no such pipeline.
    """
    if name in RENAMED_PIPELINES:
        log.warning("Pipeline %r is now called %r; the next release drops the old name", name, RENAMED_PIPELINES[name])
        return RENAMED_PIPELINES[name]
    if name not in PIPELINES:
        raise PlatformError(
            f"unknown pipeline {name!r}", field="pipeline", remedy=f"Choose one of: {', '.join(PIPELINES)}"
        )
    return name


def steps_of(pipeline: str) -> list[Step]:
    """Return the steps of a pipeline in order."""
    return [step for step in STEPS.values() if pipeline in step.pipelines]


def expected_tasks(pipeline: str, recipe: Recipe) -> list[str]:
    """Return the labels of a run's tasks in order, as their events report them, such as ``finetune gait``."""
    labels: list[str] = []
    for loop, group in groupby(steps_of(pipeline), key=lambda step: step.loop):
        steps = list(group)
        labels += [f"{step.name} {label}".strip() for label in _iterations(loop, pipeline, recipe) for step in steps]
    return labels


def _iterations(loop: str, pipeline: str, recipe: Recipe) -> Iterator[str]:
    if loop == "shards":
        yield from (f"{shard}/{recipe.corpus.shards}" for shard in range(recipe.corpus.shards))
    elif loop == "tasks" and pipeline == "study":
        from labram.evaluation.study import ablation_runs

        yield from (run.label for run in ablation_runs(recipe))
    elif loop == "tasks":
        yield from (task.name for task in recipe.tasks)
    else:
        yield ""


def pipelines_table() -> str:
    """Return the Markdown table of pipelines for the documentation."""
    rows = [
        (f"`{name}`", pipeline.command, f"`labram pipeline submit {name}`", pipeline.purpose)
        for name, pipeline in PIPELINES.items()
    ]
    return _table(("pipeline", "on this machine", "on a cluster", "purpose"), rows)


def steps_table() -> str:
    """Return the Markdown table of steps for the documentation."""
    return _table(
        ("step", "pipelines", "reads", "writes", "runs again when"),
        [(_shown(step), _pipelines(step), step.reads, step.writes, step.runs_again) for step in STEPS.values()],
    )


def _shown(step: Step) -> str:
    loop = {"shards": " (per shard)", "tasks": " (per task or ablation run)"}.get(step.loop, "")
    return f"`{step.name}`{loop}"


def _pipelines(step: Step) -> str:
    absent = [f"`{name}`" for name in PIPELINES if name not in step.pipelines]
    if len(absent) < 2:
        return f"all but {absent[0]}" if absent else "all"
    return ", ".join(f"`{name}`" for name in step.pipelines)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{pipelines_table()}\n{steps_table()}")
