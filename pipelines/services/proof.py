"""Where everything lies after a run: each thing in its bucket or in the database, and nothing of it on this machine."""

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

CORPUS, PATCHES, ARTEFACTS, MODELS = "labram-corpus", "labram-patches", "labram-pipelines", "labram-mlflow"
BUCKETS = (CORPUS, PATCHES, ARTEFACTS, MODELS)
OF_THE_VOLUME = "checkpoints"
"""Of a workspace, what tasks share on a volume: a training goes on from it after its pod is gone."""
REMOTE = {".arrow", ".npy", ".parquet", ".safetensors", ".db"}
"""Suffixes of what lies at an address and nowhere else."""


@dataclass(frozen=True)
class Objects:
    """What the object store of the standard variables holds."""

    @cached_property
    def _client(self) -> Any:
        import boto3

        return boto3.client("s3")

    def make(self, bucket: str) -> None:
        """Make a bucket."""
        self._client.create_bucket(Bucket=bucket)

    def listing(self, bucket: str) -> dict[str, tuple[int, str]]:
        """Size in bytes and MD5 of each object, by name."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        entries = (entry for page in pages for entry in page.get("Contents", ()))
        return {entry["Key"]: (entry["Size"], entry["ETag"]) for entry in entries}

    def everything(self) -> dict[str, dict[str, tuple[int, str]]]:
        """The listings of all buckets."""
        return {bucket: self.listing(bucket) for bucket in BUCKETS}

    def read(self, bucket: str, name: str) -> bytes:
        """The bytes of an object."""
        return bytes(self._client.get_object(Bucket=bucket, Key=name)["Body"].read())


def corpus_is_in_the_remote(objects: Objects, clone: Path) -> str:
    """Every file of the corpus version that a clone records is an object."""
    version, names = recorded_version(clone / POINTER), objects.listing(CORPUS)
    files = json.loads(objects.read(CORPUS, _remote_name(version)))
    _require_all("files of the corpus", (_remote_name(file["md5"]) for file in files), names)
    return f"corpus {version}: {len(files)} files"


def _remote_name(md5: str) -> str:
    return f"corpus/files/md5/{md5[:2]}/{md5[2:]}"


def patches_are_in_the_store(objects: Objects) -> str:
    """Every accepted recording of the catalogue, which is an artefact, has its entry in the store."""
    import pandas as pd

    (name,) = (name for name in objects.listing(ARTEFACTS) if name.endswith(f"/quality/corpus/{CATALOGUE_FILE}"))
    catalogue = pd.read_parquet(io.BytesIO(objects.read(ARTEFACTS, name)))
    keys = catalogue["store_key"][catalogue["verdict"] == ACCEPTED]
    _require_all("patches", (f"v1/{key[:2]}/{key}.arrow" for key in keys), objects.listing(PATCHES))
    return f"patches of {len(keys)} recordings"


def artefacts_are_objects(objects: Objects, workspace: Path) -> str:
    """Every artefact that a task says it has made is an object, or several below its name."""
    answers = [json.loads(path.read_text()) for path in (workspace / "pipeline").rglob("executor_output.json")]
    uris = [
        one["uri"] for answer in answers for made in answer.get("artifacts", {}).values() for one in made["artifacts"]
    ]
    listed = objects.listing(ARTEFACTS)
    there = {f"s3://{ARTEFACTS}/{place}" for name in listed for place in (name, *map(str, Path(name).parents))}
    _require_all("artefacts of tasks", uris, there)
    return f"{len(uris)} artefacts of {len(answers)} tasks"


def models_are_those_of_the_tasks(objects: Objects, models: int) -> str:
    """MLflow keeps the weights of all models, and they are byte for byte those that the tasks have made."""
    kept, made = (
        {_sha256(objects.read(bucket, name)) for name in objects.listing(bucket) if name.endswith(WEIGHTS[0])}
        for bucket in (MODELS, ARTEFACTS)
    )
    if kept != made or len(kept) != models:
        raise wrong(f"MLflow keeps weights of {len(kept)} models, the tasks made {len(made)}, expected are {models}")
    if not any(name.endswith("/report.html") for name in objects.listing(MODELS)):
        raise wrong("MLflow does not keep the report")
    return f"weights of {len(kept)} models, and the report"


def champions_are_in_the_database(address: str, promoted: dict[str, str]) -> str:
    """PostgreSQL has the champions that the run promoted, and its metrics."""
    import psycopg

    with psycopg.connect(f"{address}/mlflow") as connection:
        champions = connection.execute(
            "SELECT name, version FROM registered_model_aliases WHERE alias = %s", [CHAMPION]
        ).fetchall()
        (metrics,) = connection.execute("SELECT count(*) FROM metrics").fetchone() or (0,)
    if {name: str(version) for name, version in champions} != promoted or not metrics:
        raise wrong(f"PostgreSQL has champions {champions} and {metrics} metrics; promoted were {promoted}")
    return f"{len(champions)} champions, {metrics} metrics"


def nothing_else_is_here(workspace: Path) -> str:
    """On this machine are checkpoints, the run's own folder and KFP's notes, and nothing that lies at an address."""
    here = [path for path in workspace.rglob("*") if path.is_file()]
    left = [path for path in here if path.suffix in REMOTE and OF_THE_VOLUME not in path.parts]
    if left or (workspace / "mlflow").exists() or (workspace / "store").exists():
        raise wrong(f"what should lie at an address lies here: {[str(path) for path in left]}")
    size = sum(path.stat().st_size for path in here) / 1e6
    return f"{len(here)} files, {size:.0f} MB, none of what lies at an address"


def result_of(workspace: Path) -> dict[str, Any]:
    """The result of the one run of a workspace."""
    (path,) = (workspace / "runs").glob(f"*/{RESULT}")
    return dict(json.loads(path.read_text()))


def _require_all(what: str, wanted: Any, present: Any) -> None:
    missing = [name for name in wanted if name not in present]
    if missing:
        raise wrong(f"{len(missing)} {what} are not in the bucket, such as {missing[0]}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wrong(problem: str) -> PlatformError:
    """The error of what is not as it should be."""
    return PlatformError(problem, remedy="Look into the folder of the services for what the run has said")
