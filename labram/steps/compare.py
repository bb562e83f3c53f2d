"""Compare: report which variants of a study differ significantly."""

from collections.abc import Sequence
from pathlib import Path

from labram.corpus.catalogue import Corpus
from labram.datasets.registry import is_simulated, title_of
from labram.evaluation import study
from labram.platform.run_result import RunOutcome
from labram.platform.workspace import Workspace
from labram.recipe import Recipe
from labram.reporting.study import StudyRecord, write
from labram.steps.artifacts import read_predictions
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
    """Write the report of the study and `result.json` into the run's folder, and close the run in MLflow.

    Args:
        workspace: The workspace.
        corpus_version: Version of the corpus, from `plan_run`.
        recipe: The whole recipe as JSON.
        corpus: Folder that `quality` wrote.
        start: Backbone that the runs started from, see `labram.steps.load_backbone.pin`.
        evaluations: Folders of the evaluations, in the order of `labram.evaluation.study.ablation_runs`.
        out: The HTML file.
        summary: Markdown file for Kubeflow Pipelines.
    """
    layout, settings = Workspace.at(workspace), Recipe.from_json(recipe)
    with mlflow_runs.tracked("compare", layout.root) as run:
        recordings = Corpus.load(Path(corpus))
        outcomes = study.compare(
            study.ablation_runs(settings),
            [read_predictions(folder) for folder in evaluations],
            bootstrap=settings.gates.bootstrap,
            seed=settings.seed,
        )
        name = mlflow_runs.pipeline_run_name()
        datasets = sorted(set(recordings.catalogue["dataset"]))
        record = StudyRecord(
            run_name=name,
            recipe=settings,
            corpus_title=", ".join(map(title_of, datasets)),
            simulated=all(map(is_simulated, datasets)),
            outcomes=outcomes,
            lineage=lineage.lineage_tags(settings, corpus_version, start),
        )
        write(record, Path(out))
        scores = {f"{outcome.task}/{outcome.variant}": outcome.score.value for outcome in outcomes}
        run.summarise({label: value for label, value in scores.items() if value is not None})
        result = {
            "run": name,
            "outcome": RunOutcome.COMPARED.value,
            "study": [outcome.model_dump() for outcome in outcomes],
            "quarantined": recordings.quarantined()[["recording_id", "reasons"]].to_dict("records"),
        }
        parent = mlflow_runs.find_parent_run(name) or run.run_id
        rows = ((outcome.task, outcome.variant, str(outcome.score), str(outcome.difference)) for outcome in outcomes)
        heads = ("task", "variant", "score [95 % CI]", "difference [95 % CI]")
        run.write_summary(summary, f"The whole run: {kfp_summary.link_to_run(parent)}", kfp_summary.table(heads, rows))
        close_run(run, layout, parent, Path(out), result, settings)
