"""What a finished run came to, on the terminal."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labram.platform.workspace import Workspace
    from labram.recipe import Recipe


def show_result(result: dict[str, Any], workspace: "Workspace", data: Path, recipe: "Recipe") -> None:
    """Print what came out: quarantine, scores, gates or differences, where to look next."""
    from labram.cli.progress import console

    _show_unused(data, recipe)
    _show_quarantine(result["quarantined"], data, recipe, workspace)
    if result["outcome"] == "compared":
        _show_variants(result["study"])
    else:
        _show_tasks(result["tasks"])
        _show_gates(result)
    console.print(f"report    {workspace.run(result['run']) / 'report.html'}")
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    here = f"make ui   (or: mlflow ui --backend-store-uri sqlite:///{workspace.root}/mlflow/mlflow.db)"
    console.print(f"tracking  {server if server.startswith('http') else here}")


def _show_tasks(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from labram.cli.evaluate import interval
    from labram.cli.progress import console
    from labram.evaluation.statistics import Estimate

    if not rows:
        console.print("the recipe has no tasks: the run ends with tokenizer and backbone")
        return
    table = Table("task", "metric", "model [95 % CI]", "baseline [95 % CI]", "beats baseline", "gate")
    for row in rows:
        model, baseline = (Estimate.model_validate(row[side]) if row[side] else None for side in ("model", "baseline"))
        beats = "yes" if row["beats_baseline"] else "no"
        table.add_row(row["task"], row["metric"], interval(model), interval(baseline), beats, row["gate"])
    console.print(table)


def _show_gates(result: dict[str, Any]) -> None:
    from labram.cli.progress import console

    for gate in result["refused"]:
        console.print(f"gate refused  {gate['model']}: {gate['name']}: {gate['detail']}", style="yellow")
    for promotion in result["promotions"]:
        console.print(f"champion  models:/{promotion['model']}@champion is now version {promotion['version']}")
    if refused := sorted({gate["model"] for gate in result["refused"]}):
        console.print(f"not promoted  {', '.join(refused)}", style="yellow")


def _show_variants(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from labram.cli.evaluate import interval
    from labram.cli.progress import console
    from labram.evaluation.study import Outcome

    table = Table("task", "metric", "variant", "score [95 % CI]", "SD of seeds", "difference [95 % CI]", "verdict")
    for one in map(Outcome.model_validate, rows):
        spread = "–" if one.spread is None else f"{one.spread:.3f}"
        if one.is_reference:
            table.add_row(one.task, one.metric, one.variant, interval(one.score), spread, "", "compared with")
        else:
            difference = interval(one.difference)
            table.add_row(one.task, one.metric, one.variant, interval(one.score), spread, difference, one.verdict)
    console.print(table)


def _show_unused(data: Path, recipe: "Recipe") -> None:
    from labram.cli.progress import console
    from labram.datasets import find, unused

    names = unused(data, find(data, recipe.corpus.datasets))
    if names:
        console.print(f"EEG that no dataset of the recipe uses: {', '.join(names)}", style="yellow", soft_wrap=True)


def _show_quarantine(quarantined: list[dict[str, Any]], data: Path, recipe: "Recipe", workspace: "Workspace") -> None:
    """Quarantine lines. Paths stand on the terminal only: what is written to disk names recordings by their ids."""
    from labram.cli.progress import console

    if not quarantined:
        return
    from labram.corpus.pseudonyms import load_key
    from labram.corpus.scan import locate_recordings
    from labram.store.store import Store

    ids = {row["recording_id"] for row in quarantined}
    paths = locate_recordings(data, recipe.corpus.datasets, ids, load_key(workspace.root), Store(workspace.store))
    console.print(f"{len(quarantined)} recordings in quarantine:")
    for row in quarantined:
        where = paths.get(row["recording_id"], row["recording_id"])
        console.print(f"  {where}: {', '.join(row['reasons'])}", soft_wrap=True)
