"""Schedules: reconciliation of KFP's recurring runs with `k8s/schedules.yaml`.

KFP cannot update a recurring run, so one that differs is created again, and the old one is deleted, or only disabled
while a run of it is under way. All schedules are in the experiment `EXPERIMENT`; recurring runs in it that the file
does not declare go the same way. Missed runs are not caught up, and a schedule has at most one run at a time, because
concurrent runs would overwrite each other's promotions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from labram import strict_yaml
from labram.errors import PlatformError
from labram.frozen_model import FrozenModel
from labram.platform.kfp_client import KfpClient, PipelineVersion

EXPERIMENT = "labram-schedules"
CRON_FIELDS = 6


class Schedule(FrozenModel):
    """One declared recurring run."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="Unique name.")
    pipeline: str = "retrain"
    recipe: str = Field(description="A recipe's name or YAML file.")
    overrides: tuple[str, ...] = Field(default=(), description="Recipe overrides, as for `--set`.")
    sizes: str = Field(default="", description="Sizes of all steps: standard, small, or a YAML file.")
    cron: str = Field(description="Six fields, seconds first, UTC: `0 0 3 * * 1` is Monday, 03:00.")
    enabled: bool = True
    account: str = Field(default="labram-task", description="Service account of the pods.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters that differ from the defaults.")

    @field_validator("cron")
    @classmethod
    def _six_fields(cls, cron: str) -> str:
        if len(cron.split()) != CRON_FIELDS:
            raise ValueError("must have six fields, seconds first")
        return cron


class Schedules(FrozenModel):
    """Schedules file."""

    schedules: tuple[Schedule, ...]

    @field_validator("schedules")
    @classmethod
    def _names_differ(cls, schedules: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        names = [schedule.name for schedule in schedules]
        if len(set(names)) < len(names):
            raise ValueError("schedule names must be unique")
        return schedules


@dataclass(frozen=True)
class Change:
    """One change towards the declared state."""

    action: Literal["keep", "create", "disable", "delete"]
    name: str
    why: str = ""
    body: Mapping[str, object] | None = None
    identity: str = ""


def read(path: Path) -> tuple[Schedule, ...]:
    """Read the declared schedules from a file.

    Raises:
        PlatformError: If the file cannot be read, or has an invalid key or value.
    """
    try:
        return Schedules.model_validate(strict_yaml.parse(path.read_text(encoding="utf-8"))).schedules
    except (OSError, yaml.YAMLError) as error:
        raise PlatformError(f"cannot be read ({error})", file=path, remedy="Name the schedules file") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PlatformError(
            first["msg"], file=path, field=field, remedy="See the valid keys in docs/kubernetes.md, Schedules"
        ) from error


def body(schedule: Schedule, version: PipelineVersion | None, experiment: str, namespace: str) -> dict[str, object]:
    """Return the API request body of a schedule; `version` is None if it has not been uploaded."""
    return {
        "display_name": schedule.name,
        "experiment_id": experiment,
        "namespace": namespace,
        "pipeline_version_reference": version.reference if version else {},
        "runtime_config": {"parameters": schedule.parameters},
        "service_account": schedule.account,
        "max_concurrency": "1",
        "no_catchup": True,
        "mode": "ENABLE" if schedule.enabled else "DISABLE",
        "trigger": {"cron_schedule": {"cron": schedule.cron}},
    }


def plan(wanted: Sequence[Mapping[str, object]], present: Sequence[Mapping[str, Any]]) -> list[Change]:
    """Return the changes after which exactly the recurring runs `wanted` exist.

    Args:
        wanted: Request bodies, as from `body`.
        present: Recurring runs of the experiment, as API documents.
    """
    changes, undeclared = [], list(present)
    for schedule in wanted:
        name = str(schedule["display_name"])
        same_name = [run for run in undeclared if run["display_name"] == name]
        match = next((run for run in same_name if not differences(schedule, run)), None)
        for run in same_name:
            undeclared.remove(run)
            if run is not match:
                why = "duplicate" if match else f"{', '.join(differences(schedule, run))} changed"
                changes.append(Change("delete", name, why, identity=run["recurring_run_id"]))
        changes.append(Change("keep", name) if match else Change("create", name, body=schedule))
    return [
        Change("delete", run["display_name"], "not declared", identity=run["recurring_run_id"]) for run in undeclared
    ] + changes


def differences(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that differ between a request body and a recurring run."""
    pairs = {
        "version": (wanted["pipeline_version_reference"], present.get("pipeline_version_reference", {})),
        "parameters": (
            wanted["runtime_config"]["parameters"],
            present.get("runtime_config", {}).get("parameters") or {},
        ),
        "cron": (wanted["trigger"]["cron_schedule"]["cron"], _cron(present)),
        "service account": (wanted["service_account"], present.get("service_account", "")),
        "state": (wanted["mode"] == "ENABLE", _enabled(present)),
        "concurrency": (1, int(present.get("max_concurrency", 0))),
        "catch-up": (True, bool(present.get("no_catchup"))),
    }
    return [name for name, (declared, actual) in pairs.items() if declared != actual]


def _cron(present: Mapping[str, Any]) -> str:
    return str(present.get("trigger", {}).get("cron_schedule", {}).get("cron", ""))


def _enabled(present: Mapping[str, Any]) -> bool:
    """Return whether a recurring run is enabled: responses call the field `status`, requests `mode`."""
    return present.get("status", present.get("mode")) in {"ENABLED", "ENABLE"}


def apply(changes: Sequence[Change], client: KfpClient) -> list[Change]:
    """Apply changes in order, and return them as applied. If interrupted, the next reconciliation applies the rest.

    A recurring run is disabled before it is deleted, and not deleted while a run of it is under way.
    """
    applied = []
    for change in changes:
        if change.action == "delete":
            client.disable_recurring_run(change.identity)
            change = spare_active(change, client)
            if change.action == "delete":
                client.delete_recurring_run(change.identity)
        elif change.body:
            client.create_recurring_run(change.body)
        applied.append(change)
    return applied


def spare_active(change: Change, client: KfpClient) -> Change:
    """Return a deletion as a mere disabling, if a run of the schedule is under way.

    Workflows belong to their schedule: Kubernetes deletes them with it, and KFP would call the run RUNNING for ever.
    """
    if change.action == "delete" and (run := client.active_run(change.identity)):
        why = f"{change.why}; its run {run} is under way, the next --reconcile after its end deletes it"
        return replace(change, action="disable", why=why)
    return change
