"""Terminal summary of a finished run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labram.printable import one_line

if TYPE_CHECKING:
    from labram.platform.workspace import Workspace
    from labram.recipe import Recipe


SIDES = {"model": "model", "labram": "LaBraM alone", "random": "random weights", "baseline": "baseline"}
"""Titles of the scores of a task, as rows of `result.json` name them."""


def show_result(result: dict[str, Any], workspace: "Workspace", data: Path, recipe: "Recipe") -> int:
    """Print quarantined recordings, scores, failed gates or differences between variants, and where the report is.

    Returns:
        The exit code of a run with this result.
    """
    from labram.cli.exit_codes import of_result
    from labram.cli.progress import console
    from labram.tracking.mlflow_runs import how_to_open
    from labram.tracking.run_pages import page

    _show_unused(data, recipe)
    _show_quarantine(result["quarantined"], data, recipe, workspace)
    if result["outcome"] == "compared":
        _show_variants(result["study"])
    else:
        _show_tasks(result["tasks"])
        _show_gates(result, recipe)
    console.print(f"report    {workspace.run(result['run']) / 'report.html'}", soft_wrap=True)
    if ids := result.get("mlflow"):  # absent in results of earlier versions
        console.print(f"this run  {page(workspace.root, ids['experiment'], ids['run'])}", soft_wrap=True)
        console.print(f"all runs  {page(workspace.root, ids['experiment'])}", soft_wrap=True)
    console.print(f"tracking  {how_to_open(workspace.root)}", soft_wrap=True)
    return of_result(result["outcome"])


def _show_tasks(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from labram.cli.evaluate import interval
    from labram.cli.progress import console
    from labram.evaluation.statistics import Estimate

    if not rows:
        console.print("the recipe has no tasks: the run ended with tokenizer and backbone")
        return
    shown = [side for side in SIDES if any(row.get(side) for row in rows)]
    table = Table(
        "task", "metric", *(SIDES[side] for side in shown), "beats baseline", "gate", caption="[95 % interval]"
    )
    for row in rows:
        estimates = (Estimate.model_validate(row[side]) if row.get(side) else None for side in shown)
        scores = (interval(found).replace(" [", "\n[") for found in estimates)
        table.add_row(row["task"], row["metric"], *scores, row["against_baseline"], row["gate"])
    console.print(table)
    for row in rows:
        if row.get("predictor"):
            console.print(f"model of {row['task']}  {row['predictor']}")
        if row.get("tested"):
            console.print(
                f"scores of {row['task']}  {' '.join((row['tested'] + '.', *row['marks'], row['compared'])).rstrip()}"
            )
        if row.get("decisions"):
            console.print(f"decisions of {row['task']}  {row['decisions']}")
    for row in rows:
        if row.get("backbone"):
            console.print(f"backbone  {row['backbone']}")


def _show_gates(result: dict[str, Any], recipe: "Recipe") -> None:
    from labram.cli.progress import console
    from labram.recipe.debug import is_shortened

    if is_shortened(recipe):
        console.print("debug run  every step works; nothing is promoted. Run it without --debug", style="yellow")
        return
    for gate in result["failed_gates"]:
        console.print(f"gate failed  {gate['model']}: {gate['name']}: {gate['detail']}", style="yellow")
    for promotion in result["promotions"]:
        console.print(f"promoted  models:/{promotion['model']}/{promotion['version']} became champion")
    for model in result.get("awaiting", ()):
        console.print(f"awaiting approval  {model}: labram models approve {model}", style="yellow")
    if models := sorted({gate["model"] for gate in result["failed_gates"]}):
        console.print(f"not promoted  {', '.join(models)}", style="yellow")


def _show_variants(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from labram.cli.evaluate import interval
    from labram.cli.progress import console
    from labram.evaluation.study import Outcome

    table = Table("task", "metric", "variant", "score [95 % CI]", "SD of seeds", "difference [95 % CI]", "verdict")
    for outcome in map(Outcome.model_validate, rows):
        spread = "–" if outcome.spread is None else f"{outcome.spread:.3f}"
        if outcome.is_reference:
            table.add_row(
                outcome.task, outcome.metric, outcome.variant, interval(outcome.score), spread, "", "reference"
            )
        else:
            difference = interval(outcome.difference)
            table.add_row(
                outcome.task,
                outcome.metric,
                outcome.variant,
                interval(outcome.score),
                spread,
                difference,
                outcome.verdict,
            )
    console.print(table)


def _show_unused(data: Path, recipe: "Recipe") -> None:
    from labram.cli.progress import console
    from labram.datasets import find, unused

    names = unused(data, find(data, recipe.corpus.datasets))
    if names:
        console.print(f"EEG not covered by the recipe's datasets: {', '.join(names)}", style="yellow", soft_wrap=True)


def _show_quarantine(quarantined: list[dict[str, Any]], data: Path, recipe: "Recipe", workspace: "Workspace") -> None:
    """Print quarantined recordings with their paths, which are never written to disk (docs/privacy.md)."""
    from labram.cli.progress import console

    if not quarantined:
        return
    from labram.corpus.pseudonyms import load_key
    from labram.corpus.scan import locate_recordings
    from labram.store.store import Store

    ids = {row["recording_id"] for row in quarantined}
    paths = locate_recordings(data, recipe.corpus.datasets, ids, load_key(workspace.root), Store(workspace.store))
    console.print(f"{len(quarantined)} recordings quarantined:")
    for row in quarantined:
        path = one_line(str(paths.get(row["recording_id"], row["recording_id"])))
        console.print(f"  {path}: {', '.join(row['reasons'])}", soft_wrap=True)
