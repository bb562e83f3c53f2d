"""`labram evaluate`: a registered model on recordings that it has never seen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labram.evaluation.record import Evaluation
    from labram.evaluation.statistics import Estimate


def evaluate(
    model: Annotated[str, typer.Argument(help="models:/labram-workload@champion, models:/NAME/VERSION, or a folder.")],
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder in the layout of the task's dataset.")],
    task: Annotated[str, typer.Option("--task", "-t", help="The task, such as workload.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", envvar="LABRAM_WORKSPACE", help="Folder of the registry.")
    ] = Path(".labram"),
) -> None:
    """Score a model on a folder of labelled recordings, beside the baseline that was fitted with it.

    Every labelled window of the folder is evaluated. Recordings that the model's training has seen are counted under
    `overlap` and warned about: scores on them prove nothing. Exit codes: 0 scored, 1 not possible.
    """
    import warnings

    from labram.corpus.pseudonyms import load_key
    from labram.corpus.scan import fingerprint
    from labram.errors import LabramWarning
    from labram.evaluation.external_evaluation import score_folder
    from labram.platform.workspace import Workspace
    from labram.registry import model_registry
    from labram.store.store import Store
    from labram.tracking import mlflow_runs

    place = Workspace.at(workspace)
    mlflow_runs.configure(place.root)
    folder = model_registry.local_folder(model)
    store = Store(place.store)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabramWarning)  # what it says is among the notes, which are shown
        evaluation = score_folder(
            folder,
            data,
            task,
            store=store,
            subject_key=load_key(place.root),
            corpus_version=f"sha256-{fingerprint(data, store=store)}",
        )
    if json:
        typer.echo(evaluation.model_dump_json(exclude={"scatter"}))
    else:
        _show(evaluation, model)


def _show(evaluation: "Evaluation", model: str) -> None:
    from rich.table import Table

    from labram.cli.progress import console

    table = Table("metric", "model [95 % CI]", "baseline [95 % CI]", title=f"{evaluation.title}  {model}")
    for metric, estimate in evaluation.model.items():
        table.add_row(metric, interval(estimate), interval(evaluation.baseline.get(metric)))
    console.print(table)
    console.print(
        f"{evaluation.n_windows} windows, {evaluation.n_recordings} recordings, {evaluation.n_subjects} subjects; "
        f"the model {'beats' if evaluation.beats_baseline else 'does not beat'} its baseline on {evaluation.metric}"
    )
    for note in evaluation.notes:
        console.print(f"note: {note}", style="yellow")


def interval(estimate: "Estimate | None") -> str:
    """Such as ``0.812 [0.754, 0.871]``."""
    return "–" if estimate is None else str(estimate)
