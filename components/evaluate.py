"""Score a task model on subjects it has never seen, beside its baseline."""

from kfp import dsl

from components import component


@component
def evaluate(
    workspace: str,
    corpus_version: str,
    corpus: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    task: str,
    gates: str,
    seed: int,
    evaluation: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    summary: dsl.Output[dsl.Markdown],
    label: str = "",
) -> None:
    """Writes scores with confidence intervals, and predictions; of a classification, the confusion matrix too."""
    import json

    from labram.steps.evaluate import evaluate

    figures = evaluate(
        workspace=workspace,
        corpus_version=corpus_version,
        corpus=corpus.path,
        model=model.path,
        task=task,
        gates=gates,
        seed=seed,
        out=evaluation.path,
        summary=summary.path,
        label=label,
    )
    metrics.metadata.update(figures)
    with open(f"{evaluation.path}/evaluation.json") as file:
        scored = json.load(file)
    if scored["confusion"]:
        confusion.log_confusion_matrix(scored["classes"], scored["confusion"])
    for artifact in (metrics, confusion):
        with open(artifact.path, "w") as file:
            json.dump(artifact.metadata, file)
