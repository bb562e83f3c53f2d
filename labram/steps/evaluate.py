"""Evaluate: score a task model and a baseline on the windows of the test subjects."""

import shutil
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.evaluation import scoring
from labram.evaluation.audit_probes import audit_model
from labram.evaluation.operating_point import OperatingPoint
from labram.evaluation.predictions import OTHERS
from labram.evaluation.record import EVALUATION_FILE
from labram.evaluation.task_operating_point import task_operating_point
from labram.evaluation.test_uses import log_use
from labram.platform.workspace import Workspace
from labram.recipe import GateRecipe, TaskRecipe
from labram.registry import model_registry
from labram.steps.artifacts import TRAINING_FILES, read_predictions
from labram.store.store import Store
from labram.tracking import kfp_summary, mlflow_runs
from labram.tracking.mlflow_runs import tracked


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
    backbone: str | None = None,
) -> dict[str, float]:
    """Write evaluation, predictions and fitted baseline; return the metrics of model and baseline.

    Args:
        workspace: The workspace.
        corpus_version: Version of the corpus, from `plan_run`.
        corpus: Folder that `quality` wrote.
        model: Folder of the task model; its history and task are copied beside the evaluation.
        task: One of the recipe's `tasks`, as JSON.
        gates: Recipe section `gates`, as JSON.
        seed: Seed of the bootstrap.
        out: Folder for the evaluation.
        summary: Markdown file for Kubeflow Pipelines.
        label: Distinguishes tasks of this step; by default the name of the recipe's task.
        backbone: Folder of the backbone that the model was fine-tuned from, which is probed too.
    """
    layout, settings, target = Workspace.at(workspace), TaskRecipe.from_json(task), Path(out)
    target.mkdir(parents=True, exist_ok=True)
    with tracked("evaluate", layout.root, label=label or settings.name) as run:
        recordings = Corpus.load(Path(corpus))
        tested = recordings.tested(settings.dataset, settings.name)
        run_name = mlflow_runs.pipeline_run_name()
        uses = log_use(layout.test_uses, tested, task=settings.name, purpose=label or "evaluate", run=run_name)
        evaluation = scoring.evaluate(
            recordings,
            Store(layout.store),
            Path(model),
            settings,
            bootstrap=GateRecipe.from_json(gates).bootstrap,
            seed=seed,
            out=target,
            corpus_version=corpus_version,
            test_uses=uses,
            backbone=Path(backbone) if backbone else None,
        )
        store, predictions = Store(layout.store), read_predictions(target)
        if settings.operating_point:
            point = task_operating_point(
                recordings,
                store,
                Path(model),
                settings,
                predictions,
                name=model_registry.task_model_name(settings.name),
                weights=model_registry.weights_digest(Path(model)),
                draws=GateRecipe.from_json(gates).bootstrap,
                seed=seed,
            )
            point.write(target / OperatingPoint.NAME)
            evaluation = evaluation.with_decisions(point, settings.operating_point)
            evaluation.write(target / EVALUATION_FILE)
        start = Path(backbone) if backbone else None
        audit_model(recordings, store, Path(model), settings, predictions, seed=seed, backbone=start).write(target)
        for name in TRAINING_FILES:
            shutil.copyfile(Path(model) / name, target / name)
        metrics = {name: estimate.value for name, estimate in evaluation.model.items()}
        for side in OTHERS:
            metrics |= {f"{side}/{name}": estimate.value for name, estimate in getattr(evaluation, side).items()}
        if decisions := evaluation.decisions:
            shown = ("sensitivity", "specificity")
            metrics |= {f"operating_point/{name}": getattr(decisions.reached, name).value for name in shown}
        defined = {name: value for name, value in metrics.items() if value is not None}
        run.summarise(defined)
        run.log_artifacts(target, EVALUATION_FILE)
        rows = ((n, str(estimate), str(evaluation.baseline.get(n, "–"))) for n, estimate in evaluation.model.items())
        table = kfp_summary.table(("metric", "model [95 % CI]", "baseline [95 % CI]"), rows)
        predictor = [f"Model: {evaluation.predictor}."] if evaluation.predictor else []
        alignment = f"Alignment of subjects: {evaluation.alignment}."
        how = f"Evaluated by {evaluation.tested}."
        decided = [evaluation.decisions.summary] if evaluation.decisions else []
        run.write_summary(summary, table, *predictor, how, *decided, *evaluation.marks, alignment, *evaluation.notes)
    return defined
