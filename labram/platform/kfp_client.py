"""REST client of Kubeflow Pipelines (API v2beta1): pipeline versions, runs and recurring runs.

KFP's own client prints while it works and reports failures as tracebacks; labram does not import kfp.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
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
MAX_FILES = 5
"""Changed files that an error lists."""
TIMEOUT_SECONDS = 60
FINAL_STATES = {"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"}
NAMESPACE_VARIABLE, DEFAULT_NAMESPACE = "LABRAM_KFP_NAMESPACE", "kubeflow"
"""Environment variable with the namespace of Kubeflow Pipelines itself, and its default."""
MIN_VERSION = (2, 16)
"""Version of Kubeflow Pipelines that accepts the Kubernetes settings of the compiled pipelines."""
UPGRADE = "Upgrade to 2.16 or later: older versions reject the pipelines' security settings, or ignore sizes and GPUs"
VERSION = re.compile(r"\b(\d+)\.(\d+)\.\d+")
NEW_TOKEN = "kubectl -n NAMESPACE create token labram-submit --audience pipelines.kubeflow.org"  # noqa: S105
PORT_FORWARD = "kubectl -n kubeflow port-forward svc/ml-pipeline 8888:8888"


class NotFoundError(PlatformError):
    """Kubeflow Pipelines does not have the document."""


@dataclass(frozen=True)
class PipelineVersion:
    """Pipeline version on a KFP server."""

    pipeline_id: str
    version_id: str

    @property
    def reference(self) -> dict[str, str]:
        """Reference in the API's format."""
        return {"pipeline_id": self.pipeline_id, "pipeline_version_id": self.version_id}


@dataclass(frozen=True)
class PipelinePackage:
    """Compiled pipeline and the name of its version: recipe, commit, and digest of the compiled file."""

    path: Path
    pipeline: str
    version: str

    @classmethod
    def from_file(cls, path: Path, recipe: str) -> "PipelinePackage":
        """Return the package in a file that was compiled from this source tree.

        Raises:
            PlatformError: If the source tree has uncommitted changes, or its commit is not known.
        """
        commit, dirty = lineage.commit(), lineage.dirty()
        if dirty is None:
            raise PlatformError(
                "the commit of the source is not known, but a pipeline version is named by it",
                file=path,
                remedy="Submit from a clone, or install labram from one: `pip install .`",
            )
        if dirty:
            files = lineage.changed_files()
            listed = ", ".join(files[:MAX_FILES]) + (f" and {len(files) - MAX_FILES} more" if files[MAX_FILES:] else "")
            raise PlatformError(
                "the source tree has uncommitted changes, but a pipeline version is named by its commit",
                file=listed or None,
                remedy="Commit the changes, or check out the intended commit",
            )
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(path, path.stem, f"{recipe}-{commit[:12]}-{digest[:8]}")

    def check_parameters(self, parameters: Mapping[str, object]) -> None:
        """Check that the pipeline has all of `parameters`.

        Raises:
            PlatformError: If it lacks one; the remedy lists those that it has.
        """
        (pipeline, *_) = yaml.safe_load_all(self.path.read_text(encoding="utf-8"))
        defined = pipeline["root"].get("inputDefinitions", {}).get("parameters", {})
        if unknown := sorted(set(parameters) - set(defined)):
            raise PlatformError(
                f"the pipeline {self.pipeline!r} has no parameter {', '.join(unknown)}",
                field="parameters",
                remedy=f"Choose from: {', '.join(sorted(defined))}",
            )


class KfpClient:
    """Client of a Kubeflow Pipelines API server.

    Args:
        host: Address of the API server, such as a forwarded port.
        namespace: Namespace of the runs; "" if KFP is installed for a single user.
        retries: Retries of GET requests while the server does not respond.
        timeout: Seconds without a response after which a request fails.

    Every method raises `PlatformError` if the server cannot be reached or rejects the request.
    """

    def __init__(self, host: str, namespace: str = "", *, retries: int = 4, timeout: float = TIMEOUT_SECONDS) -> None:
        self.host, self.namespace, self._timeout = host.rstrip("/"), namespace, timeout
        self._session = requests.Session()
        policy = Retry(retries, backoff_factor=0.5, status_forcelist=(502, 503, 504), raise_on_status=False)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=policy))

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        address, headers = f"{self.host}{API}{path}", _authorization()
        try:
            response = self._session.request(method, address, timeout=self._timeout, headers=headers, **request)
        except requests.RequestException as error:
            raise PlatformError(
                f"Kubeflow Pipelines does not respond ({type(error).__name__})",
                file=self.host,
                remedy=f"Set its address with --host; if it is not exposed, forward a port: {PORT_FORWARD}",
            ) from error
        if response.ok:
            return dict(response.json()) if response.content else {}
        raise _http_error(self.host, method, path, response)

    def _pages(self, path: str, key: str, **query: object) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            page = self._call("GET", path, params={**query, "page_size": PAGE, "page_token": token})
            yield from page.get(key, [])
            token = page.get("next_page_token", "")
            if not token:
                return

    def health(self) -> dict[str, Any]:
        """Return the server's ``/healthz`` document."""
        return self._call("GET", "/healthz")

    @classmethod
    def connect(cls, host: str, namespace: str = "", **options: Any) -> "KfpClient":
        """Return a client for the mode of the server: with the namespace of the runs, or without one.

        Args:
            host: Address of the API server.
            namespace: Namespace of the runs; "" for a server that is installed for a single user.
            **options: Further arguments of the client.

        Raises:
            PlatformError: If the server is too old, or the namespace does not fit its mode. A single-user server would
                accept it, start the run in its own namespace, and fail for a missing service account.
        """
        health = cls(host, **options).health()
        if old := too_old(health):
            raise PlatformError(f"Kubeflow Pipelines is {old}", file=host, remedy=UPGRADE)
        multi_user = bool(health.get("multi_user"))
        if multi_user and not namespace:
            remedy = "Set --namespace or LABRAM_NAMESPACE to the namespace of your Profile"
            raise PlatformError("Kubeflow Pipelines is multi-user", file=host, field="--namespace", remedy=remedy)
        if not multi_user and namespace not in {"", own_namespace()}:
            raise PlatformError(
                f"Kubeflow Pipelines is for a single user: all runs are in its own namespace, not in {namespace}",
                file=host,
                field="--namespace",
                remedy=f"Leave it out, and apply an overlay with the namespace {own_namespace()}, such as local",
            )
        return cls(host, namespace if multi_user else "", **options)

    @property
    def pod_namespace(self) -> str:
        """Namespace of the pods of runs: that of the client, or KFP's own if KFP is installed for a single user."""
        return self.namespace or own_namespace()

    def find_version(self, package: PipelinePackage) -> PipelineVersion | None:
        """Return the version of a package, or None if it has not been uploaded."""
        pipeline = self._pipeline(package.pipeline)
        if pipeline is None:
            return None
        for version in self._pages(f"/pipelines/{pipeline}/versions", "pipeline_versions"):
            if version["display_name"] == package.version:
                return PipelineVersion(pipeline, version["pipeline_version_id"])
        return None

    def upload_version(self, package: PipelinePackage) -> PipelineVersion:
        """Upload a package, unless it has been uploaded already; return its version."""
        existing = self.find_version(package)
        if existing:
            return existing
        pipeline = self._pipeline(package.pipeline)
        if pipeline is None:
            body = {"display_name": package.pipeline, "name": package.pipeline, "namespace": self.namespace}
            pipeline = str(self._call("POST", "/pipelines", json=body)["pipeline_id"])
        query = {"name": package.version, "pipelineid": pipeline}
        with package.path.open("rb") as file:
            version = self._call("POST", "/pipelines/upload_version", params=query, files={"uploadfile": file})
        return PipelineVersion(pipeline, version["pipeline_version_id"])

    def _pipeline(self, name: str) -> str | None:
        for pipeline in self._pages("/pipelines", "pipelines", namespace=self.namespace):
            if pipeline["display_name"] == name:
                return str(pipeline["pipeline_id"])
        return None

    def find_experiment(self, name: str) -> str | None:
        """Return the id of an experiment, or None."""
        for experiment in self._pages("/experiments", "experiments", namespace=self.namespace):
            if experiment["display_name"] == name:
                return str(experiment["experiment_id"])
        return None

    def get_or_create_experiment(self, name: str) -> str:
        """Return the id of an experiment, which is created if it does not exist."""
        body = {"display_name": name, "namespace": self.namespace}
        return self.find_experiment(name) or str(self._call("POST", "/experiments", json=body)["experiment_id"])

    def create_run(
        self, name: str, version: PipelineVersion, parameters: Mapping[str, object], *, experiment: str, account: str
    ) -> str:
        """Create a run, and return its id.

        Args:
            name: Display name.
            version: Pipeline version to run.
            parameters: Parameters that differ from the defaults.
            experiment: Id of the experiment.
            account: Service account of the pods.
        """
        body = {
            "display_name": name,
            "experiment_id": experiment,
            "pipeline_version_reference": version.reference,
            "runtime_config": {"parameters": dict(parameters)},
            "service_account": account,
        }
        return str(self._call("POST", "/runs", json=body)["run_id"])

    def run(self, run: str) -> dict[str, Any] | None:
        """Return a run as an API document, or None if it was deleted."""
        try:
            return self._call("GET", f"/runs/{run}")
        except NotFoundError:
            return None

    def retry_run(self, run: str) -> None:
        """Run the failed tasks of a failed run again. Finished tasks are kept; the run goes back to RUNNING."""
        self._call("POST", f"/runs/{run}:retry")

    def runs(self, experiment: str, count: int) -> list[dict[str, Any]]:
        """Return the newest runs of an experiment as API documents, at most `count`."""
        pages = self._pages("/runs", "runs", experiment_id=experiment, sort_by="created_at desc")
        return list(islice(pages, count))

    def recurring_runs(self, experiment: str) -> list[dict[str, Any]]:
        """Return all recurring runs of an experiment, as API documents."""
        return list(self._pages("/recurringruns", "recurringRuns", experiment_id=experiment))

    def create_recurring_run(self, body: Mapping[str, object]) -> None:
        """Create a recurring run from an API request body."""
        self._call("POST", "/recurringruns", json=body)

    def active_run(self, identity: str) -> str | None:
        """Return the name of a run of a recurring run that has not ended, or None."""
        experiment = self._call("GET", f"/recurringruns/{identity}").get("experiment_id", "")
        for run in self._pages("/runs", "runs", experiment_id=experiment, sort_by="created_at desc"):
            if run.get("recurring_run_id") == identity and run.get("state") not in FINAL_STATES:
                return str(run["display_name"])
        return None

    def disable_recurring_run(self, identity: str) -> None:
        """Disable a recurring run: it starts no more runs."""
        self._call("POST", f"/recurringruns/{identity}:disable")

    def delete_recurring_run(self, identity: str) -> None:
        """Delete a recurring run. KFP keeps the records of its past runs; Kubernetes ends a run that is under way."""
        self._call("DELETE", f"/recurringruns/{identity}")


def own_namespace() -> str:
    """Return the namespace of Kubeflow Pipelines; if it is installed for a single user, all runs are there."""
    return os.environ.get(NAMESPACE_VARIABLE) or DEFAULT_NAMESPACE


def server_version(health: Mapping[str, Any], image: str = "") -> str | None:
    """Return the version of a server, None if it cannot be seen.

    Args:
        health: Its ``/healthz`` document.
        image: Its image, whose tag is its version; "" if it is not known.
    """
    version = VERSION.search(str(health.get("tag_name", ""))) or VERSION.search(image.rpartition(":")[2])
    return version[0] if version else None


def too_old(health: Mapping[str, Any], image: str = "") -> str:
    """Return the version of a server, in words, if it is too old for the compiled pipelines; "" if not.

    Args:
        health: Its ``/healthz`` document.
        image: Its image, whose tag is its version; "" if it is not known.
    """
    if not health.get("pipeline_store"):
        return "older than 2.14"
    version = server_version(health, image)
    numbers = tuple(int(part) for part in version.split(".")[:2]) if version else MIN_VERSION
    return str(version) if numbers < MIN_VERSION else ""


def _authorization() -> dict[str, str]:
    """Return the header with the token in the file that `TOKEN_FILE` names; it is read again, since it is renewed.

    Raises:
        PlatformError: If the file cannot be read, or is empty.
    """
    name = os.environ.get(TOKEN_FILE)
    if not name:
        return {}
    path, remedy = Path(name).expanduser(), f"Write a new one: {NEW_TOKEN} > FILE"
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        problem = f"the token of Kubeflow Pipelines cannot be read ({type(error).__name__})"
        raise PlatformError(problem, file=path, field=TOKEN_FILE, remedy=remedy) from error
    if not token:
        raise PlatformError("the token of Kubeflow Pipelines is empty", file=path, field=TOKEN_FILE, remedy=remedy)
    return {"Authorization": f"Bearer {token}"}


def _http_error(host: str, method: str, path: str, response: requests.Response) -> PlatformError:
    if response.status_code == requests.codes.not_found and path != "/healthz":
        return NotFoundError(f"{path} does not exist (404)", file=host, remedy="Check the id and --namespace")
    if response.status_code == requests.codes.unauthorized and os.environ.get(TOKEN_FILE):
        problem, remedy = "the token is not accepted: it may have expired", f"Write a new one: {NEW_TOKEN} > FILE"
    elif response.status_code == requests.codes.forbidden and os.environ.get(TOKEN_FILE):
        problem = "the account of the token may not do this in this namespace"
        remedy = "Bind it to the ClusterRole kubeflow-pipelines-edit there (docs/kubernetes.md, The cluster)"
    elif response.status_code in {401, 403}:
        problem, remedy = "access denied to this account", f"Set {TOKEN_FILE} to the path of a token file"
    elif path == "/healthz":
        problem = "no KFP API v2beta1 at this address"
        remedy = "Install Kubeflow Pipelines 2.16 or later, or correct --host"
    else:
        problem, remedy = f"{method} {path} failed: {response.text.strip()[:500]}", "Read the log of the KFP API server"
    return PlatformError(f"{problem} ({response.status_code})", file=host, remedy=remedy)
