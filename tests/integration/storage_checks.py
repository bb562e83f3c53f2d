"""Checks where a run has stored everything: in its bucket or in the database, and nothing on this machine."""

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from labram.corpus.catalogue import ACCEPTED, CATALOGUE_FILE
from labram.corpus.dvc_versions import POINTER, recorded_version
from labram.errors import PlatformError
from labram.platform.local_runs import RESULT
from labram.registry.model_registry import CHAMPION, WEIGHTS

CORPUS, PATCHES, ARTIFACTS, MODELS = "labram-corpus", "labram-patches", "labram-pipelines", "labram-mlflow"
BUCKETS = (CORPUS, PATCHES, ARTIFACTS, MODELS)
ON_THE_VOLUME = "checkpoints"
"""Folder of a workspace that is on the shared volume of a cluster."""
REMOTE = {".arrow", ".npy", ".parquet", ".safetensors", ".db"}
"""Suffixes of files that are stored at an address only."""


@dataclass(frozen=True)
class Objects:
    """Contents of the object store that the standard environment variables name."""

    @cached_property
    def _client(self) -> Any:
        import boto3

        return boto3.client("s3")

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket."""
        self._client.create_bucket(Bucket=bucket)

    def listing(self, bucket: str) -> dict[str, tuple[int, str]]:
        """Return size in bytes and ETag of each object by name."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        entries = (entry for page in pages for entry in page.get("Contents", ()))
        return {entry["Key"]: (entry["Size"], entry["ETag"]) for entry in entries}

    def everything(self) -> dict[str, dict[str, tuple[int, str]]]:
        """Return the listings of all buckets."""
        return {bucket: self.listing(bucket) for bucket in BUCKETS}

    def read(self, bucket: str, name: str) -> bytes:
        """Return the bytes of an object."""
        return bytes(self._client.get_object(Bucket=bucket, Key=name)["Body"].read())


def corpus_is_in_the_remote(objects: Objects, clone: Path) -> str:
    """Check that every file of the corpus version is in the DVC remote."""
    version, names = recorded_version(clone / POINTER), objects.listing(CORPUS)
    files = json.loads(objects.read(CORPUS, _remote_name(version)))
    _require_all("files of the corpus", (_remote_name(file["md5"]) for file in files), names)
    return f"corpus {version}: {len(files)} files"


def _remote_name(md5: str) -> str:
    return f"corpus/files/md5/{md5[:2]}/{md5[2:]}"


def patches_are_in_the_store(objects: Objects) -> str:
    """Check that every accepted recording of the catalogue has patches in the store."""
    import pandas as pd

    (name,) = (name for name in objects.listing(ARTIFACTS) if name.endswith(f"/quality/corpus/{CATALOGUE_FILE}"))
    catalogue = pd.read_parquet(io.BytesIO(objects.read(ARTIFACTS, name)))
    keys = catalogue["store_key"][catalogue["verdict"] == ACCEPTED]
    _require_all("patches", (f"v1/{key[:2]}/{key}.arrow" for key in keys), objects.listing(PATCHES))
    return f"patches of {len(keys)} recordings"


def artifacts_are_objects(objects: Objects, workspace: Path) -> str:
    """Check that every output artifact of a task is an object or a prefix of objects."""
    answers = [json.loads(path.read_text()) for path in (workspace / "pipeline").rglob("executor_output.json")]
    uris = [
        one["uri"] for answer in answers for made in answer.get("artifacts", {}).values() for one in made["artifacts"]
    ]
    listed = objects.listing(ARTIFACTS)
    there = {f"s3://{ARTIFACTS}/{path}" for name in listed for path in (name, *map(str, Path(name).parents))}
    _require_all("artifacts of tasks", uris, there)
    return f"{len(uris)} artifacts of {len(answers)} tasks"


def models_are_those_of_the_tasks(objects: Objects, models: int) -> str:
    """Check that MLflow has the weights of all models, byte for byte those that the tasks wrote.

    Two task models can have equal weights: probes of one frozen backbone with equally many outputs.
    """
    kept, made = (
        [_sha256(objects.read(bucket, name)) for name in objects.listing(bucket) if name.endswith(WEIGHTS[0])]
        for bucket in (MODELS, ARTIFACTS)
    )
    if set(kept) != set(made) or len(made) != models or len(kept) < models:
        raise failure(f"weights: expected {models} models, got {len(kept)} in MLflow and {len(made)} from tasks")
    if not any(name.endswith("/report.html") for name in objects.listing(MODELS)):
        raise failure("MLflow lacks the report")
    return f"weights of {len(made)} models, and the report"


def champions_are_in_the_database(address: str, promoted: dict[str, str]) -> str:
    """Check that PostgreSQL has the champions that the run promoted, and its metrics."""
    import psycopg

    with psycopg.connect(f"{address}/mlflow") as connection:
        champions = connection.execute(
            "SELECT name, version FROM registered_model_aliases WHERE alias = %s", [CHAMPION]
        ).fetchall()
        (metrics,) = connection.execute("SELECT count(*) FROM metrics").fetchone() or (0,)
    if {name: str(version) for name, version in champions} != promoted or not metrics:
        raise failure(f"champions in PostgreSQL: expected {promoted}, got {champions} and {metrics} metrics")
    return f"{len(champions)} champions, {metrics} metrics"


def nothing_else_is_here(workspace: Path) -> str:
    """Check that this machine has checkpoints, run folder and KFP's metadata only."""
    here = [path for path in workspace.rglob("*") if path.is_file()]
    left = [path for path in here if path.suffix in REMOTE and ON_THE_VOLUME not in path.parts]
    if left or (workspace / "mlflow").exists() or (workspace / "store").exists():
        raise failure(f"files on this machine that belong at an address: {[str(path) for path in left]}")
    size = sum(path.stat().st_size for path in here) / 1e6
    return f"{len(here)} files, {size:.0f} MB, none that belongs at an address"


def result_of(workspace: Path) -> dict[str, Any]:
    """Return the result of the one run of a workspace."""
    (path,) = (workspace / "runs").glob(f"*/{RESULT}")
    return dict(json.loads(path.read_text()))


def _require_all(what: str, wanted: Any, present: Any) -> None:
    missing = [name for name in wanted if name not in present]
    if missing:
        raise failure(f"{len(missing)} {what} are not in the bucket, such as {missing[0]}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def failure(problem: str) -> PlatformError:
    """Return the error of a failed check."""
    return PlatformError(problem, remedy="Read the logs in the folder of the services")
