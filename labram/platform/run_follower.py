"""Following a run on a cluster to its end: steps, progress, what is pending and why, and the outcome.

Three sources: MLflow has the steps and the outcome, Kubeflow Pipelines the state of the run, and the Argo workflow the
reason why a pod does not start or failed. Without access to the workflow, only these reasons are missing.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from labram.errors import PlatformError
from labram.platform import run_records, workflows
from labram.platform.kfp_client import FINAL_STATES, KfpClient
from labram.platform.run_records import MlflowRecord
from labram.platform.workflows import Workflow

POLL_SECONDS = 10.0
PATIENCE = 30
"""Polls in a row in which Kubeflow Pipelines or MLflow may not respond before following ends."""
MISSING_POLLS = 3
"""Polls in a row without the workflow of a run that KFP calls running, after which the workflow counts as deleted."""
START_SECONDS = 600
"""Age of a run that KFP calls running after which it must have a workflow."""
DELETED = "DELETED"
"""State of a run without document or workflow: KFP has no such state."""
MAX_RETRIES = 8
"""Retries of a run that the cluster ended, as many as Argo has for a training whose pod is deleted."""
PERCENT_STEP = 10
"""Progress is reported each time it has grown by so many percent."""
WORDS = {"SUCCEEDED": "succeeded", "SKIPPED": "skipped", "FAILED": "failed", "CANCELED": "canceled"}
DONE_STATES = {"SUCCEEDED", "SKIPPED", "CACHED"}


@dataclass(frozen=True)
class Line:
    """A line for the user: a text, and the state that colours it."""

    text: str
    state: str = ""


@dataclass
class Follower:
    """Follows one run.

    Attributes:
        client: Client of Kubeflow Pipelines.
        run: KFP run id.
        steps: Names of all steps.
        state: State of the run in KFP, or `DELETED`.
        record: Record of the run in MLflow.
    """

    client: KfpClient
    run: str
    steps: Collection[str]
    state: str = ""
    record: MlflowRecord = field(default_factory=lambda: MlflowRecord(""))
    _workflow: Workflow | None = None
    _document: Mapping[str, Any] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)
    _silent_polls: int = 0
    _missing_polls: int = 0
    _blind_polls: int = 0

    def follow(self) -> Iterator[Line]:
        """Yield a line for each change, until the run has ended; then its record has its outcome or failure.

        A run that the cluster ended is retried.
        """
        while True:
            yield from self.look(patience=PATIENCE)
            if self.ended and not self._uncertain:
                if not self.lost:
                    self.close()
                    return
                yield self.retry()
            time.sleep(POLL_SECONDS)

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.state in {*FINAL_STATES, DELETED}

    @property
    def _uncertain(self) -> bool:
        """Whether a server does not respond for a moment that has what decides on a retry."""
        return bool(self._silent_polls) or bool(self._workflow and 0 < self._blind_polls < MISSING_POLLS)

    @property
    def lost(self) -> bool:
        """Whether the cluster, not a step, ended the run, and it may be retried.

        A step that failed by itself is never retried: it has recorded its failure, or its container has.
        """
        failed = self._workflow.failed if self._workflow else ()
        by_cluster = bool(failed) and all(node.lost for node in failed)
        return (
            self.state == "FAILED"
            and by_cluster
            and not self.record.program_failed
            and self.record.retries < MAX_RETRIES
        )

    def retry(self) -> Line:
        """Let KFP run the lost tasks of the run again, and return a line about it.

        If another program has just done so, or KFP cannot, the next look shows it.
        """
        step, message = self.reason()
        try:
            number = run_records.count_retry(self.record)
            self.client.retry_run(self.run)
        except PlatformError as error:
            return Line(f"the run could not be retried: {error.problem}", "FAILED")
        why = ": ".join(filter(None, (step, message)))
        return Line(f"the cluster ended the run ({why}); retry {number} of {MAX_RETRIES}", "PENDING")

    def look(self, *, patience: int = 0) -> Iterator[Line]:
        """Read all sources once, and yield a line for each change since the last look.

        Args:
            patience: Looks in a row in which a server may not respond; an outage of a server is none of the run.

        Raises:
            PlatformError: If Kubeflow Pipelines or MLflow does not respond for more looks.
        """
        try:
            document = self.client.run(self.run)
            self._document = document or {}
            self.state = str(self._document.get("state", "")) if document else DELETED
            self.record = run_records.read(self.run)
            self._silent_polls = 0
        except PlatformError as error:
            self._silent_polls += 1
            if self._silent_polls > patience:
                raise
            if self._silent_polls == 1:
                yield Line(f"{error.problem}; the run is not affected")
        yield from self._read_workflow()
        for label, state, text in self._states():
            if self._said.get(label) != text:
                self._said[label] = text
                yield Line(f"{label} {text}", state)

    def _read_workflow(self) -> Iterator[Line]:
        try:
            workflow = workflows.read(self.client.pod_namespace, self.run, self.steps)
            self._blind_polls = 0
        except PlatformError as error:
            self._blind_polls += 1
            if self._blind_polls == 1:
                yield Line(f"why tasks are pending cannot be seen: {error.problem}. {error.remedy}.")
            return
        self._workflow = workflow or self._workflow
        self._missing_polls = 0 if workflow else self._missing_polls + 1
        gone = self._missing_polls >= MISSING_POLLS if self._workflow else self._age() > START_SECONDS
        if self.state == "RUNNING" and self._missing_polls and gone and not self._silent_polls:
            self.state = DELETED

    def _age(self) -> float:
        """Return the seconds since the run was created; 0 if that is not known."""
        created = self._document.get("created_at", "")
        return time.time() - datetime.fromisoformat(created).timestamp() if created else 0.0

    def _states(self) -> Iterator[tuple[str, str, str]]:
        """Yield label, state and text of each step that has something to report."""
        recorded = {step.label: step for step in self.record.steps}
        names = {label.partition(" ")[0] for label in recorded}
        for step, states in self._tasks().items():
            if step in names:
                continue
            if "FAILED" in states:
                yield step, "FAILED", "failed"
            elif states <= DONE_STATES:
                state = min(states - {"CACHED"} or {"SKIPPED"}, key=["SUCCEEDED", "SKIPPED"].index)
                yield step, state, WORDS[state]
            elif "RUNNING" in states:
                yield step, "RUNNING", "running"
        for label, record in recorded.items():
            percent = int(100 * (record.progress or 0)) // PERCENT_STEP * PERCENT_STEP
            running = f"running, {percent} %" if percent else "running"
            text = running if record.state == "running" else record.state
            yield label, record.state.upper(), f"{text}: {record.failure}" if record.failure else text
        if self.state not in FINAL_STATES and self._workflow:
            for step, message in {node.step: node.message for node in self._workflow.waiting}.items():
                yield step or "a pod of Kubeflow Pipelines", "PENDING", f"pending: {message}"

    def _tasks(self) -> dict[str, set[str]]:
        """Return the states of KFP's tasks by step, without tasks that are no step of ours."""
        found: dict[str, set[str]] = {}
        for task in self._document.get("run_details", {}).get("task_details", []):
            step = workflows.AGAIN.sub("", task.get("display_name", "")).replace("-", "_")
            if step in self.steps and task.get("state"):
                found.setdefault(step, set()).add(task["state"])
        return found

    def reason(self) -> tuple[str, str]:
        """Return the step that failed, "" if it is not known, and why, as far as steps have not recorded it."""
        if self.state == DELETED:
            return "", "the run, or its workflow, was deleted while it was running"
        if self.state == "CANCELED":
            return "", "the run was canceled in Kubeflow Pipelines"
        for node in self._workflow.failed if self._workflow else ():
            return node.step, node.message or "its pod failed without a message"
        message = self._document.get("error", {}).get("message", "") or (self._workflow and self._workflow.message)
        return "", message or "Kubeflow Pipelines reports no reason"

    def close(self) -> None:
        """End the record of a run that failed, was canceled or deleted, if its steps have not."""
        if self.state != "SUCCEEDED":
            status = "FAILED" if self.state == "FAILED" else "KILLED"
            self.record = run_records.close(self.record, *self.reason(), status=status)
