"""Evaluate: score a task model on test subjects, beside the baseline on the same windows."""

import shutil
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation import scoring
from labram.platform.workspace import Workspace
from labram.recipe import GateRecipe, TaskRecipe
from labram.store.store import Store
from labram.tracking import kfp_summary
from labram.tracking.mlflow_runs import tracked

FROM_THE_MODEL = ("history.jsonl", "resumed.json", "task.json")


def evaluate(
    *,
    workspace: str,
    corpus_version: str,
    corpus: str,
    model: str,
    task: str,
    gates: str,
    seed: int,
    out: str,
    summary: str,
    label: str = "",
) -> dict[str, float]:
    """Write the evaluation, the predictions and the fitted baseline; gives the model's and the baseline's metrics.

    Args:
        workspace: The workspace.
        corpus_version: What `plan_run` found.
        corpus: Folder that `quality` wrote.
        model: Folder of the task model; its history and task are copied beside the evaluation.
        task: One of the recipe's `tasks`, as JSON.
        gates: The recipe's section `gates`, as JSON.
        seed: Of the resampling.
        out: Folder for the evaluation.
        summary: Markdown file for what Kubeflow Pipelines shows.
        label: Tells runs of the step apart; by default the task's name.
    """
    place, settings, target = Workspace.at(workspace), TaskRecipe.from_json(task), Path(out)
    target.mkdir(parents=True, exist_ok=True)
    with tracked("evaluate", place.root, label=label or settings.name) as run:
        evaluation = scoring.evaluate(
            Corpus.load(Path(corpus)),
            Store(place.store),
            Path(model),
            settings,
            bootstrap=GateRecipe.from_json(gates).bootstrap,
            seed=seed,
            out=target,
            corpus_version=corpus_version,
        )
        for name in FROM_THE_MODEL:
            shutil.copyfile(Path(model) / name, target / name)
        figures = {name: estimate.value for name, estimate in evaluation.model.items()}
        figures |= {f"baseline/{name}": estimate.value for name, estimate in evaluation.baseline.items()}
        known = {name: value for name, value in figures.items() if value is not None}
        run.metrics(0, known)
        run.log_artifacts(target, "evaluation.json")
        rows = ((n, str(found), str(evaluation.baseline.get(n, "–"))) for n, found in evaluation.model.items())
        run.write_summary(
            summary, kfp_summary.table(("metric", "model [95 % CI]", "baseline [95 % CI]"), rows), *evaluation.notes
        )
    return known
