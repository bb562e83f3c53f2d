"""`labram evaluate`: evaluate a registered model on external recordings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from labram.cli.terminal import echo

if TYPE_CHECKING:
    from labram.evaluation.record import Evaluation
    from labram.evaluation.statistics import Estimate


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Task model: models:/labram-workload@champion, models:/NAME/VERSION, or a folder."
        ),
    ],
    data: Annotated[
        Path, typer.Option("--data", "-d", help="Folder of labelled recordings, in the layout of the task's dataset.")
    ],
    task: Annotated[str, typer.Option("--task", "-t", help="Task name, such as workload.")],
    subject: Annotated[
        str,
        typer.Option(
            help="Pattern of the subjects, as in a recipe's corpus.subject. Default: that of the model's recipe."
        ),
    ] = "",
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N. Default: LABRAM_DEVICE, else auto.")
    ] = None,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Evaluate a registered task model on a folder of labelled recordings, beside the baseline fitted with it.

    All labelled windows of the folder are evaluated; confidence intervals are over subjects. Recordings that the model
    was trained on are counted in `overlap` and reported as a warning, because their scores are not held-out scores.

    Exit codes: 0 done; 1 error.
    """
    import warnings

    from labram.corpus.pseudonyms import load_key
    from labram.corpus.scan import fingerprint
    from labram.errors import LabramWarning
    from labram.evaluation.external_evaluation import score_folder
    from labram.platform.registry_connection import connect
    from labram.platform.workspace import Workspace
    from labram.registry import signing
    from labram.store.store import Store
    from labram.tracking import mlflow_runs

    opened = Workspace.at(workspace)
    if model.startswith("models:/"):
        connect(opened.root)
    else:
        mlflow_runs.configure(opened.root)
    folder = signing.trusted_folder(model)
    store = Store(opened.store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabramWarning)  # the warning is one of `evaluation.notes`
        evaluation = score_folder(
            folder,
            data,
            task,
            store=store,
            subject_key=load_key(opened.root),
            subject=subject,
            device=device,
            test_uses=opened.test_uses,
            corpus_version=f"sha256-{fingerprint(data, store=store)}",
        )
    if json:
        echo(evaluation.model_dump_json(exclude={"scatter"}))
    else:
        _show(evaluation, model)


def _show(evaluation: "Evaluation", model: str) -> None:
    from rich.table import Table

    from labram.cli.progress import console
    from labram.cli.result import SIDES

    sides = {title: scores for side, title in SIDES.items() if (scores := getattr(evaluation, side))}
    table = Table("metric", *(f"{title} [95 % CI]" for title in sides), title=f"{evaluation.title}  {model}")
    for metric in evaluation.model:
        table.add_row(metric, *(interval(scores.get(metric)) for scores in sides.values()))
    console.print(table)
    if evaluation.predictor:
        console.print(f"model: {evaluation.predictor}")
    console.print(
        f"{evaluation.n_windows} windows, {evaluation.n_recordings} recordings, {evaluation.n_subjects} subjects; "
        f"the model {evaluation.against_baseline.predicate} on {evaluation.metric}; "
        f"alignment: {evaluation.alignment}"
    )
    for line in (*evaluation.marks, evaluation.over_subjects, evaluation.compared):
        if line:
            console.print(line)
    for note in evaluation.notes:
        console.print(f"note: {note}", style="yellow")


def interval(estimate: "Estimate | None") -> str:
    """Return an estimate with its confidence interval, such as ``0.812 [0.754, 0.871]``."""
    return "–" if estimate is None else str(estimate)
