"""Report: write the HTML report and `result.json` of a run."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labram.corpus.catalogue import Corpus
from labram.datasets.registry import is_simulated, title_of
from labram.errors import LabelError
from labram.evaluation.predictions import OTHERS
from labram.evaluation.record import AgainstBaseline, Evaluation
from labram.evaluation.statistics import Estimate
from labram.platform.run_result import RunOutcome
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.registry import model_registry
from labram.registry.gates import Verdict
from labram.registry.promotion import Move
from labram.reporting import run_report as page
from labram.steps.artifacts import read_evaluation, read_promotions, read_verdicts
from labram.steps.close_run import close_run
from labram.tracking import kfp_summary, lineage, mlflow_runs


def report(
    *,
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: str,
    evaluations: Sequence[str],
    verdicts: str,
    promotions: str,
    out: str,
    summary: str,
    start: str = "",
    tokenizer: str | None = None,
    backbone: str | None = None,
) -> None:
    """Write the report and `result.json` into the run's folder, and close the run in MLflow.

    Args:
        workspace: The workspace.
        corpus_version: Version of the corpus, from `plan_run`.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        evaluations: Folders of the evaluations, in the order of the recipe's tasks.
        verdicts: Folder that `gate` wrote.
        promotions: Folder that `promote` wrote.
        out: The HTML file.
        summary: Markdown file for Kubeflow Pipelines.
        start: Backbone that the run started from, see `labram.steps.load_backbone.pin`; empty if none.
        tokenizer: Folder of the tokenizer; None if the run trained none.
        backbone: Folder of the backbone; None if the run trained none.
    """
    layout, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    with mlflow_runs.tracked("report", layout.root) as run:
        outcomes, moves, recordings = read_verdicts(verdicts), read_promotions(promotions), Corpus.load(Path(corpus))
        name = mlflow_runs.pipeline_run_name()
        parent = mlflow_runs.find_parent_run(name) or run.run_id
        datasets = sorted(set(recordings.catalogue["dataset"]))
        record = page.RunRecord(
            run_name=name,
            run_id=parent,
            started=mlflow_runs.start_time(parent),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            recipe=settings,
            corpus_title=", ".join(map(title_of, datasets)),
            simulated=all(map(is_simulated, datasets)),
            corpus=Path(corpus),
            tokenizer=Path(tokenizer) if tokenizer else None,
            backbone=Path(backbone) if backbone else None,
            tasks={task.name: Path(folder) for task, folder in zip(settings.tasks, evaluations, strict=True)},
            verdicts=outcomes,
            promotions=[move for move in moves if move.moved],
            lineage=lineage.lineage_tags(settings, corpus_version, start),
            own_database=mlflow_runs.in_workspace(layout.root),
        )
        page.write(record, Path(out))
        result = _result(name, settings, recordings, [Path(folder) for folder in evaluations], outcomes, moves)
        new = {move.model: move.version for move in moves if move.moved and move.version}
        champions = (f"Champion: {kfp_summary.link_to_model(name, version)}" for name, version in new.items())
        run.write_summary(summary, f"The whole run: {kfp_summary.link_to_run(parent)}", *champions)
        close_run(run, layout, parent, Path(out), result, settings)


def _compared(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation that has something to compare the model with.

    Raises:
        LabelError: If it has no baselines, or nothing of random weights although there are subjects to compare on.
    """
    twins = bool(evaluation.random) or evaluation.backbone is not None or evaluation.n_subjects < 2
    if evaluation.baselines and twins:
        return evaluation
    raise LabelError(
        f"the scores of task {evaluation.task} have no {'random weights' if evaluation.baselines else 'baselines'} "
        "beside them, and a report without cannot be made",
        field=f"tasks.{evaluation.task}",
        remedy="Run the step evaluate again",
    )


def _headline(estimates: Mapping[str, Estimate], metric: str) -> dict[str, Any] | None:
    return estimates[metric].model_dump() if estimates else None


def _result(
    name: str,
    recipe: Recipe,
    corpus: Corpus,
    evaluations: Sequence[Path],
    verdicts: Sequence[Verdict],
    moves: Sequence[Move],
) -> dict[str, Any]:
    """Return the contents of `result.json`, from which `labram run` prints its tables and takes its exit code."""
    outcomes = {verdict.model: verdict.outcome if verdict.passed else "failed" for verdict in verdicts}
    rows = []
    for task, folder in zip(recipe.tasks, evaluations, strict=True):
        evaluation = _compared(read_evaluation(folder))
        model = model_registry.task_model_name(task.name)
        rows.append(
            {
                "task": task.name,
                "metric": task.metric,
                "model": evaluation.headline.model_dump(),
                **{side: _headline(getattr(evaluation, side), task.metric) for side in OTHERS},
                "predictor": evaluation.predictor,
                "share": evaluation.share,
                "beats_baseline": evaluation.against_baseline is AgainstBaseline.BETTER,
                "against_baseline": evaluation.against_baseline.value,
                "alignment": evaluation.alignment,
                "tested": evaluation.tested,
                "marks": list(evaluation.marks),
                "baselines": {name: found.model_dump() for name, found in evaluation.baselines.items()},
                "decisions": evaluation.decisions.summary if evaluation.decisions else "",
                "compared": " ".join(filter(None, (evaluation.over_subjects, evaluation.compared))),
                "backbone": evaluation.backbone and evaluation.backbone.describe(),
                "gate": outcomes[model],
                "registered": model,
            }
        )
    return {
        "run": name,
        "outcome": _outcome(verdicts, moves).value,
        "tasks": rows,
        "quarantined": corpus.quarantined()[["recording_id", "reasons"]].to_dict("records"),
        "failed_gates": [
            {"model": verdict.model, "name": gate.name, "detail": gate.detail}
            for verdict in verdicts
            for gate in verdict.failed_gates
        ],
        "promotions": [{"model": move.model, "version": move.version} for move in moves if move.moved],
        "awaiting": [move.model for move in moves if move.awaiting],
    }


def _outcome(verdicts: Sequence[Verdict], moves: Sequence[Move]) -> RunOutcome:
    if not all(verdict.passed for verdict in verdicts):
        return RunOutcome.NOT_PROMOTED
    return RunOutcome.AWAITING_APPROVAL if any(move.awaiting for move in moves) else RunOutcome.PROMOTED
