"""Terminal output about runs on a cluster: their steps while they run, their outcome, and the next command."""

from typing import TYPE_CHECKING, Any

from labram.cli.exit_codes import DONE, ERROR, INTERRUPTED, of_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from labram.platform.kfp_client import KfpClient
    from labram.platform.run_follower import Follower

STYLES = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "yellow", "PENDING": "yellow", "KILLED": "yellow"}
LATEST_RUNS = 200
"""Newest runs among which the last one of each schedule is looked for."""
OUTCOME_STYLES = {"not promoted": "yellow", "within tolerance": "yellow"} | dict.fromkeys(
    ("different", "error", "not known"), "red"
)


def follow(client: "KfpClient", run: str) -> int:
    """Print the changes of a run until it ends, then its outcome and the next command; return the exit code."""
    from labram.cli.progress import console
    from labram.platform.run_follower import Follower
    from labram.steps.table import STEPS

    follower = Follower(client, run, STEPS)
    try:
        for line in follower.follow():
            console.print(line.text, style=STYLES.get(line.state), soft_wrap=True)
    except KeyboardInterrupt:
        console.print("stopped waiting; the run continues on the cluster", style="yellow")
        console.print(f"next      labram pipeline runs {run} --wait", soft_wrap=True)
        return INTERRUPTED
    return show_end(follower)


def show_end(follower: "Follower") -> int:
    """Print outcome, reason and next command of a run that has ended; return the exit code."""
    from labram.cli.progress import console

    record, where = follower.record, f"kubectl -n {follower.client.pod_namespace}"
    outcome = record.outcome or "not known"
    console.print(f"outcome   {_outcome(outcome, record.repeats)}", style=OUTCOME_STYLES.get(outcome, "green"))
    if record.failed_gates:
        console.print(f"failed    {record.failed_gates}", style="yellow", soft_wrap=True)
    if record.failure:
        console.print(f"reason    {record.failure}", style="red", soft_wrap=True)
    elif not record.outcome:
        console.print("reason    the run ended without a record of its outcome in MLflow", style="red")
    if outcome == "error" or not record.outcome:
        logs = f"{where} logs -l pipeline/runid={follower.run} -c main --tail=50 --prefix"
        console.print(f"next      {logs}; then submit again: finished steps are reused", soft_wrap=True)
    elif record.run_id:
        console.print(f"next      open the report: {record.url}", soft_wrap=True)
    if follower.state == "CANCELED":
        return INTERRUPTED
    return of_result(record.repeats or outcome) if record.outcome and outcome != "error" else ERROR


def _outcome(outcome: str, repeats: str) -> str:
    return f"{outcome}: corpus, recipe and code are those of a run that was {repeats}" if repeats else outcome


def show_runs(client: "KfpClient", experiments: list[str], count: int, *, retry: bool) -> None:
    """Print a table of the newest runs of some experiments: outcome, or steps that run, or the reason of a failure.

    Args:
        client: Client of Kubeflow Pipelines.
        experiments: Names of experiments.
        count: Number of runs.
        retry: Retry runs that the cluster ended.
    """
    from labram.cli.progress import console
    from labram.cli.tables import new_table

    found = [client.find_experiment(name) for name in experiments]
    documents = [run for experiment in found if experiment for run in client.runs(experiment, count)]
    documents = sorted(documents, key=lambda run: run.get("created_at", ""), reverse=True)[:count]
    if not documents:
        console.print("no runs")
        return
    table = new_table("run", "version", "started", "outcome", "steps and reasons", whole=("run",))
    for document in documents:
        outcome, lines = _newest_state(client, document, retry=retry)
        started = document.get("created_at", "")[:16].replace("T", " ")
        table.add_row(document["run_id"], document.get("display_name", ""), started, outcome, "\n".join(lines))
    console.print(table)


def _newest_state(client: "KfpClient", document: "Mapping[str, Any]", *, retry: bool) -> tuple[str, list[str]]:
    """Return outcome or state of a run, and what runs, is pending or has failed in it; retry it if it was lost."""
    from labram.platform.run_follower import Follower
    from labram.steps.table import STEPS

    follower = Follower(client, document["run_id"], STEPS)
    lines = [line.text for line in follower.look() if line.state in {"RUNNING", "PENDING"}]
    if retry and follower.lost:
        lines = [follower.retry().text]
    elif follower.ended:
        follower.close()
        lines = [follower.record.failure or follower.record.failed_gates]
    return follower.record.outcome or (follower.state or "PENDING").lower(), lines


def show_schedules(
    client: "KfpClient", experiment: str | None, present: "Sequence[Mapping[str, Any]]", *, outcomes: bool
) -> None:
    """Print each schedule with its newest run: its outcome, or what runs in it, and the next command.

    Args:
        client: Client of Kubeflow Pipelines.
        experiment: Id of the schedules' experiment, if it exists.
        present: The recurring runs.
        outcomes: Whether MLflow, which has them, can be asked.
    """
    from labram.cli.progress import console

    if not present:
        console.print("no schedules; declare them in k8s/schedules.yaml and run `labram pipeline schedule --reconcile`")
        return
    latest: dict[str, Mapping[str, Any]] = {}
    for newest in client.runs(experiment, LATEST_RUNS) if experiment else ():
        latest.setdefault(newest.get("recurring_run_id", ""), newest)
    for schedule in present:
        run: Mapping[str, Any] = latest.get(schedule["recurring_run_id"], {})
        lines: list[str] = []
        last = f"last run {run['run_id']} {run.get('state', 'PENDING').lower()}" if run else "no run yet"
        if run and outcomes:
            outcome, lines = _newest_state(client, run, retry=False)
            last = f"last run {run['run_id']} {outcome}"
        cron, status = schedule["trigger"]["cron_schedule"]["cron"], schedule.get("status", "")
        console.print(f"{schedule['display_name']}  {cron}  {status}  {last}", soft_wrap=True)
        for line in filter(None, lines):
            console.print(f"      {line}", soft_wrap=True)
        if run:
            console.print(f"      next: labram pipeline runs {run['run_id']}", soft_wrap=True)
    if not outcomes:
        console.print("outcomes are in MLflow: set MLFLOW_TRACKING_URI and its account to see them", style="yellow")


def show_run(client: "KfpClient", run: str) -> int:
    """Print the steps of a run as they are now, and its outcome if it has ended; return the exit code."""
    from labram.cli.progress import console
    from labram.platform.run_follower import DELETED, Follower
    from labram.steps.table import STEPS

    follower = Follower(client, run, STEPS)
    lines = list(follower.look())
    if follower.state == DELETED and not follower.record.run_id:
        console.print(f"error: neither Kubeflow Pipelines nor MLflow has a run {run}", style="red")
        return ERROR
    for line in lines:
        console.print(line.text, style=STYLES.get(line.state), soft_wrap=True)
    if not follower.ended:
        console.print(f"next      labram pipeline runs {run} --wait", soft_wrap=True)
        return DONE
    follower.close()
    return show_end(follower)
