"""Score a task model and a baseline on the test subjects."""

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
    backbone: dsl.Input[dsl.Model] = None,
) -> None:
    """Write metrics with confidence intervals, predictions and, for a classification, the confusion matrix."""
    import json

    from labram.steps.evaluate import evaluate

    values = evaluate(
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
        backbone=backbone and backbone.path,
    )
    metrics.metadata.update(values)
    with open(f"{evaluation.path}/evaluation.json", encoding="utf-8") as file:
        evaluated = json.load(file)
    if evaluated["confusion"]:
        confusion.log_confusion_matrix(evaluated["classes"], evaluated["confusion"])
    for artifact in (metrics, confusion):
        with open(artifact.path, "w", encoding="utf-8") as file:
            json.dump(artifact.metadata, file)
