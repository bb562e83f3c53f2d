"""Kubeflow Pipelines' API, version 2 beta 1, as far as labram needs it: versions, runs, recurring runs.

KFP's own client needs the Kubernetes client, prints as it works, and answers with tracebacks; these are nine requests.
"""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from labram.errors import PlatformError
from labram.tracking import lineage

API = "/apis/v2beta1"
TOKEN_FILE = "KF_PIPELINES_SA_TOKEN_PATH"  # noqa: S105 - the name of KFP's variable, not a token
PAGE = 100
SECONDS_TO_ANSWER = 60
SECONDS_BETWEEN_LOOKS = 10.0
ENDED = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
GATE_FAILURE_TASK = "report-gate-failure"
"""The task of a pipeline that runs only if a gate refused: KFP's API tells states of tasks, and nothing else."""
PORT_FORWARD = "kubectl -n kubeflow port-forward svc/ml-pipeline 8888:8888"


@dataclass(frozen=True)
class PipelineVersion:
    """A pipeline version on the cluster."""

    pipeline_id: str
    version_id: str

    @property
    def reference(self) -> dict[str, str]:
        """As requests name it."""
        return {"pipeline_id": self.pipeline_id, "pipeline_version_id": self.version_id}


@dataclass(frozen=True)
class PipelinePackage:
    """A compiled pipeline and the name of its version: recipe, commit, and what was compiled."""

    path: Path
    pipeline: str
    version: str

    @classmethod
    def from_file(cls, path: Path, recipe: str) -> "PipelinePackage":
        """The package in a compiled file of this source tree.

        Raises:
            PlatformError: If the tree differs from its commit, whose name the version would bear.
        """
        commit = lineage.commit()
        if not commit or lineage.dirty():
            raise PlatformError(
                "the source differs from every commit, and a pipeline version bears the name of one",
                file=path,
                remedy="Commit the changes, or check out the commit that is meant",
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(path, path.stem, f"{recipe}-{commit[:12]}-{digest[:8]}")

    def check_parameters(self, given: Mapping[str, object]) -> None:
        """Refuse parameters that the pipeline does not have.

        Raises:
            PlatformError: Names them and those that it has.
        """
        (pipeline, *_) = yaml.safe_load_all(self.path.read_text())
        known = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
        if unknown := sorted(set(given) - set(known)):
            raise PlatformError(
                f"the pipeline {self.pipeline!r} has no parameter {', '.join(unknown)}",
                field="parameters",
                remedy=f"Choose from: {', '.join(sorted(known))}",
            )


class KfpClient:
    """A Kubeflow Pipelines API server.

    Args:
        host: Its address, such as that of a port that kubectl forwards.
        namespace: Of runs, where KFP serves several; empty where it has one.
        patience: How often a request that changes nothing is made again while the server does not answer.

    Every method raises `PlatformError` if the server cannot be reached or refuses.
    """

    def __init__(self, host: str, namespace: str = "", *, patience: int = 4) -> None:
        self.host, self.namespace = host.rstrip("/"), namespace
        self._session = requests.Session()
        again = Retry(patience, backoff_factor=0.5, status_forcelist=(502, 503, 504), raise_on_status=False)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=again))
        token = os.environ.get(TOKEN_FILE)
        if token:
            self._session.headers["Authorization"] = f"Bearer {Path(token).read_text().strip()}"

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self._session.request(method, f"{self.host}{API}{path}", timeout=SECONDS_TO_ANSWER, **request)
        except requests.RequestException as error:
            raise PlatformError(
                f"Kubeflow Pipelines does not answer ({type(error).__name__})",
                file=self.host,
                remedy=f"Give its address with --host; to a cluster without a public one: {PORT_FORWARD}",
            ) from error
        if answer.ok:
            return dict(answer.json()) if answer.content else {}
        raise _refusal(self.host, method, path, answer)

    def _pages(self, path: str, key: str, **query: object) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = self._call("GET", path, params={**query, "page_size": PAGE, "page_token": token})
            yield from page.get(key, [])
            token = page.get("next_page_token", "")
            if not token:
                return

    def health(self) -> dict[str, Any]:
        """What the server says of itself."""
        return self._call("GET", "/healthz")

    def find_version(self, package: PipelinePackage) -> PipelineVersion | None:
        """The package's version, if it was uploaded before."""
        pipeline = self._pipeline(package.pipeline)
        if pipeline is None:
            return None
        for version in self._pages(f"/pipelines/{pipeline}/versions", "pipeline_versions"):
            if version["display_name"] == package.version:
                return PipelineVersion(pipeline, version["pipeline_version_id"])
        return None

    def upload_version(self, package: PipelinePackage) -> PipelineVersion:
        """The package's version, uploaded if it is not there yet."""
        found = self.find_version(package)
        if found:
            return found
        pipeline = self._pipeline(package.pipeline)
        if pipeline is None:
            body = {"display_name": package.pipeline, "name": package.pipeline, "namespace": self.namespace}
            pipeline = str(self._call("POST", "/pipelines", json=body)["pipeline_id"])
        query = {"name": package.version, "pipelineid": pipeline}
        with package.path.open("rb") as file:
            made = self._call("POST", "/pipelines/upload_version", params=query, files={"uploadfile": file})
        return PipelineVersion(pipeline, made["pipeline_version_id"])

    def _pipeline(self, name: str) -> str | None:
        for pipeline in self._pages("/pipelines", "pipelines", namespace=self.namespace):
            if pipeline["display_name"] == name:
                return str(pipeline["pipeline_id"])
        return None

    def find_experiment(self, name: str) -> str | None:
        """Id of the experiment of that name."""
        for experiment in self._pages("/experiments", "experiments", namespace=self.namespace):
            if experiment["display_name"] == name:
                return str(experiment["experiment_id"])
        return None

    def get_or_create_experiment(self, name: str) -> str:
        """Id of the experiment of that name, made if it is not there."""
        body = {"display_name": name, "namespace": self.namespace}
        return self.find_experiment(name) or str(self._call("POST", "/experiments", json=body)["experiment_id"])

    def create_run(
        self, name: str, version: PipelineVersion, parameters: Mapping[str, object], *, experiment: str, account: str
    ) -> str:
        """Start a run; gives its id.

        Args:
            name: Shown to people.
            version: What to run.
            parameters: Those that differ from the defaults.
            experiment: Id of its experiment.
            account: Service account of its pods.
        """
        body = {
            "display_name": name,
            "experiment_id": experiment,
            "pipeline_version_reference": version.reference,
            "runtime_config": {"parameters": dict(parameters)},
            "service_account": account,
        }
        return str(self._call("POST", "/runs", json=body)["run_id"])

    def follow_run(self, run: str) -> Iterator[tuple[str, str]]:
        """Name and state of everything of a run whose state changed; the run's own comes last, under an empty name."""
        seen: dict[str, str] = {}
        while True:
            now = self._call("GET", f"/runs/{run}")
            for task in now.get("run_details", {}).get("task_details", []):
                name, state = task.get("display_name", ""), task.get("state", "")
                if name and state and seen.get(task["task_id"]) != state:
                    seen[task["task_id"]] = state
                    yield name, state
            if now.get("state") in ENDED:
                yield "", now["state"]
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def recurring_runs(self, experiment: str) -> list[dict[str, Any]]:
        """All recurring runs of an experiment, as the server describes them."""
        return list(self._pages("/recurringruns", "recurringRuns", experiment_id=experiment))

    def create_recurring_run(self, body: Mapping[str, object]) -> None:
        """Make a recurring run; `body` is that of the API."""
        self._call("POST", "/recurringruns", json=body)

    def delete_recurring_run(self, identity: str) -> None:
        """Remove a recurring run; its past runs stay."""
        self._call("DELETE", f"/recurringruns/{identity}")


def _refusal(host: str, method: str, path: str, answer: requests.Response) -> PlatformError:
    if answer.status_code in {401, 403}:
        problem, remedy = "it does not let this account in", f"Put a token's file into {TOKEN_FILE}"
    elif path == "/healthz":
        problem = "there is no API of version 2 beta 1 at this address"
        remedy = "Install Kubeflow Pipelines 2.14 or later, or correct --host"
    else:
        problem, remedy = f"it refused {method} {path}: {answer.text.strip()[:500]}", "Read the server's log"
    return PlatformError(f"{problem} ({answer.status_code})", file=host, remedy=remedy)
