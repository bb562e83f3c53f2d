"""Schedules: what `k8s/schedules.yaml` declares, and what must change on a cluster to match it.

A recurring run cannot be changed: one that differs is deleted and made anew. All of ours are in one experiment, and
whatever else is in there is not declared, so it goes. None catches up on missed moments, and none runs twice at once:
two runs at a time would promote past each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from labram.errors import PlatformError
from labram.frozen_model import FrozenModel
from labram.platform.kfp_client import KfpClient, PipelineVersion

EXPERIMENT = "labram-schedules"
CRON_FIELDS = 6


class Schedule(FrozenModel):
    """One recurring run."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="Unlike all others.")
    pipeline: str = "retrain"
    recipe: str = Field(description="A recipe's name or YAML file.")
    overrides: tuple[str, ...] = Field(default=(), description="As `--set` takes them.")
    cron: str = Field(description="Six fields, seconds first, in UTC: `0 0 3 * * 1` is Monday at three.")
    enabled: bool = True
    account: str = Field(default="labram-task", description="Service account of its pods.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Parameters that differ from the defaults.")

    @field_validator("cron")
    @classmethod
    def _six_fields(cls, cron: str) -> str:
        if len(cron.split()) != CRON_FIELDS:
            raise ValueError("must have six fields, seconds first")
        return cron


class Schedules(FrozenModel):
    """The whole file."""

    schedules: tuple[Schedule, ...]

    @field_validator("schedules")
    @classmethod
    def _names_differ(cls, schedules: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        names = [schedule.name for schedule in schedules]
        if len(set(names)) < len(names):
            raise ValueError("two schedules have one name")
        return schedules


@dataclass(frozen=True)
class Change:
    """One step towards the declared state."""

    action: Literal["keep", "create", "delete"]
    name: str
    why: str = ""
    body: Mapping[str, object] | None = None
    identity: str = ""


def read(path: Path) -> tuple[Schedule, ...]:
    """The declared schedules.

    Raises:
        PlatformError: If the file cannot be read, or a key or value in it is wrong.
    """
    try:
        return Schedules.model_validate(yaml.safe_load(path.read_text())).schedules
    except (OSError, yaml.YAMLError) as error:
        raise PlatformError(f"it cannot be read ({error})", file=path, remedy="Name the file of schedules") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PlatformError(
            first["msg"], file=path, field=field, remedy="See docs/kubernetes.md, Schedules, for what may stand there"
        ) from error


def body(schedule: Schedule, version: PipelineVersion | None, experiment: str, namespace: str) -> dict[str, object]:
    """A schedule as the API takes it; without a version where none was uploaded yet."""
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
    """What must be deleted and made so that exactly `wanted` is there; nothing for what matches already.

    Args:
        wanted: Bodies of requests, as `body` gives them.
        present: Recurring runs as the server describes them.
    """
    changes, left = [], list(present)
    for schedule in wanted:
        name = str(schedule["display_name"])
        same_name = [run for run in left if run["display_name"] == name]
        kept = next((run for run in same_name if not differences(schedule, run)), None)
        for run in same_name:
            left.remove(run)
            if run is not kept:
                why = "it is there twice" if kept else f"other {', '.join(differences(schedule, run))}"
                changes.append(Change("delete", name, why, identity=run["recurring_run_id"]))
        changes.append(Change("keep", name) if kept else Change("create", name, body=schedule))
    gone = [Change("delete", run["display_name"], "not declared", identity=run["recurring_run_id"]) for run in left]
    return gone + changes


def differences(wanted: Mapping[str, Any], present: Mapping[str, Any]) -> list[str]:
    """Names of what differs between a schedule and a recurring run."""
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
    return [name for name, (one, other) in pairs.items() if one != other]


def _cron(present: Mapping[str, Any]) -> str:
    return str(present.get("trigger", {}).get("cron_schedule", {}).get("cron", ""))


def _enabled(present: Mapping[str, Any]) -> bool:
    """The server tells the state as `status`, the request as `mode`."""
    return present.get("status", present.get("mode")) in {"ENABLED", "ENABLE"}


def apply(changes: Sequence[Change], cluster: KfpClient) -> None:
    """Make the changes. Deletions come first; if it is interrupted, the next time does the rest."""
    for change in changes:
        if change.action == "delete":
            cluster.delete_recurring_run(change.identity)
        elif change.body:
            cluster.create_recurring_run(change.body)
