"""Export of all MLflow runs of a workspace, for those who use another tracker: CSV tables, TensorBoard files."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from labram.atomic import atomic_folder
from labram.errors import PlatformError, RegistryError
from labram.events import Monitor
from labram.tracking.event_file import Scalar, write_event_file
from labram.tracking.mlflow_runs import OUTCOME_TAG, RUN_TAG, STEP_TAG, experiment_id

RUNS_FILE, CURVES_FILE = "runs.csv", "metrics.csv"
_RUN = ("run_id", "run", "step", "status", "outcome", "start", "seconds")
_PAGE = 500
_TAGS = (RUN_TAG, STEP_TAG, OUTCOME_TAG)


class Exported(NamedTuple):
    """Counts of an export."""

    runs: int
    values: int


def export_runs(out: Path, *, tensorboard: bool, monitor: Monitor) -> Exported:
    """Write all runs and their curves to a folder, which is replaced.

    ``runs.csv`` has a row per run and step, with parameters (``params.``), tags (``tags.``) and last values
    (``metrics.``); ``metrics.csv`` a row per logged value. With `tensorboard`, there is an event file per step, in
    folders ``RUN/STEP``.

    Args:
        out: The folder.
        tensorboard: Whether to write event files.
        monitor: Receives progress, run by run.

    Raises:
        RegistryError: If there is no run.
        PlatformError: If the folder exists and is not an export.
    """
    if out.exists() and not (out / RUNS_FILE).is_file():
        raise PlatformError("the folder exists and is not an export", file=out, remedy="Name a new folder")
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    runs = list(_runs(client))
    if not runs:
        raise RegistryError("there is no run to export", field="workspace", remedy="Run `labram run` first")
    out.parent.mkdir(parents=True, exist_ok=True)
    values = 0
    with atomic_folder(out) as folder:
        folder.mkdir()
        _write_runs(folder / RUNS_FILE, runs)
        with (folder / CURVES_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["run_id", "run", "step", "metric", "at_step", "time", "value"])
            for number, run in enumerate(runs, start=1):
                scalars = list(_curves(client, run))
                values += len(scalars)
                row = _row(run)
                for scalar in scalars:
                    tail = [scalar.tag, scalar.step, f"{scalar.wall_time:.3f}", scalar.value]
                    writer.writerow([row["run_id"], row["run"], row["step"], *tail])
                if tensorboard and scalars:
                    _write_events(folder, run, scalars)
                monitor.progress(number, len(runs))
    return Exported(len(runs), values)


def _runs(client: Any) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs(
            [experiment_id(client)], max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _row(run: Any) -> dict[str, object]:
    info, tags = run.info, run.data.tags
    ended = info.end_time or info.start_time
    return {
        "run_id": info.run_id,
        "run": tags.get(RUN_TAG, ""),
        "step": tags.get(STEP_TAG, info.run_name),
        "status": info.status,
        "outcome": tags.get(OUTCOME_TAG, ""),
        "start": info.start_time / 1000,
        "seconds": (ended - info.start_time) / 1000,
    }


def _write_runs(path: Path, runs: list[Any]) -> None:
    rows = [{**_row(run), **_flat(run)} for run in runs]
    columns = [*_RUN, *sorted({name for row in rows for name in row} - set(_RUN))]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _flat(run: Any) -> dict[str, object]:
    kinds: dict[str, Mapping[str, object]] = {
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": {name: text for name, text in run.data.tags.items() if name not in _TAGS and "mlflow." not in name},
    }
    return {f"{kind}.{name}": value for kind, values in kinds.items() for name, value in values.items()}


def _curves(client: Any, run: Any) -> Iterator[Scalar]:
    for name in sorted(run.data.metrics):
        for metric in client.get_metric_history(run.info.run_id, name):
            yield Scalar(name, metric.step, metric.value, metric.timestamp / 1000)


def _write_events(folder: Path, run: Any, scalars: list[Scalar]) -> None:
    row = _row(run)
    place = folder / _file_name(str(row["run"] or run.info.run_id)) / _file_name(str(row["step"]))
    place.mkdir(parents=True, exist_ok=True)
    started = run.info.start_time / 1000
    write_event_file(place / f"events.out.tfevents.{int(started)}.{run.info.run_id[:8]}", scalars, started=started)


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text).lstrip(".") or "_"
