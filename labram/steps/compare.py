"""Compare: what the variants of a study differ in."""

from collections.abc import Sequence
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.datasets import ADAPTERS
from labram.evaluation import study
from labram.evaluation.record import Predictions
from labram.evaluation.scoring import PREDICTIONS
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.reporting.study import StudyRecord, write
from labram.steps.close_run import close_run
from labram.tracking import kfp_summary, lineage, mlflow_runs


def compare(
    *,
    workspace: str,
    corpus_version: str,
    recipe: str,
    corpus: str,
    start: str,
    evaluations: Sequence[str],
    out: str,
    summary: str,
) -> None:
    """Write the page of the study and `result.json` into the run's folder, and close the run in MLflow.

    Args:
        workspace: The workspace.
        corpus_version: What `plan_run` found.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        start: The backbone, see `labram.steps.load_backbone.settle`.
        evaluations: Folders of the evaluations, in the order of `labram.evaluation.study.ablation_runs`.
        out: The HTML file.
        summary: Markdown file for what Kubeflow Pipelines shows.
    """
    place, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    with mlflow_runs.tracked("compare", place.root) as run:
        recordings = Corpus.load(Path(corpus))
        outcomes = study.compare(
            study.ablation_runs(settings),
            [Predictions.read(Path(folder) / PREDICTIONS) for folder in evaluations],
            bootstrap=settings.gates.bootstrap,
            seed=settings.seed,
        )
        name = mlflow_runs.pipeline_run_name()
        datasets = sorted(set(recordings.catalogue["dataset"]))
        record = StudyRecord(
            run_name=name,
            recipe=settings,
            corpus_title=", ".join(ADAPTERS[dataset].title for dataset in datasets),
            simulated=all(ADAPTERS[dataset].simulated for dataset in datasets),
            outcomes=outcomes,
            lineage=lineage.lineage_tags(settings, corpus_version, start),
        )
        write(record, Path(out))
        known = {f"{one.task}/{one.variant}": one.score.value for one in outcomes}
        run.metrics(0, {label: value for label, value in known.items() if value is not None})
        result = {
            "run": name,
            "outcome": "compared",
            "study": [one.model_dump() for one in outcomes],
            "quarantined": recordings.quarantined()[["recording_id", "reasons"]].to_dict("records"),
        }
        parent = mlflow_runs.find_parent_run(name) or run.run_id
        rows = ((one.task, one.variant, str(one.score), str(one.difference)) for one in outcomes)
        heads = ("task", "variant", "score [95 % CI]", "difference [95 % CI]")
        run.write_summary(summary, f"The whole run: {kfp_summary.link_to_run(parent)}", kfp_summary.table(heads, rows))
        close_run(run, place, parent, Path(out), result)
