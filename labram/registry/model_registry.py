"""The model registry: versions with their lineage, aliases, and the way from a name to a folder of weights.

A version is a pyfunc made from code (`served_model.py`), safetensors and JSON; nothing is pickled. It carries a copy of
what answering needs of the `labram` package of its day, which comes first when the version is served in a process of
its own: a model is always answered by the code it was registered with.
"""

import hashlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labram.errors import RegistryError
from labram.recipe import MODEL_FILE, Recipe

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous-champion"
PREFIX = "labram-"
TOKENIZER, BACKBONE = "labram-tokenizer", "labram-backbone"
CARD = "README.md"
WEIGHTS = ("model.safetensors", "config.json")
REQUIREMENTS = ("mlflow", "torch", "numpy", "scipy", "pandas", "safetensors", "pydantic", "scikit-learn", "pyyaml")
"""Distributions that serving needs; labram itself travels with the model."""
NOT_SERVED = ("cli", "steps", "tracking", "registry", "reporting", "platform")
"""Packages above `labram.inference`, which answers: an import never points upward. A server takes files one by one."""
DIGEST_TAG = "weights_digest"
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[^/@]+))?")


@dataclass(frozen=True)
class ModelVersion:
    """One registered version."""

    name: str
    version: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = ""

    @property
    def uri(self) -> str:
        """``models:/name/version``."""
        return f"models:/{self.name}/{self.version}"


def task_model_name(task: str) -> str:
    """Registered name of a task's model: the task's own name behind the prefix."""
    return f"{PREFIX}{task}"


def register(
    name: str,
    folder: Path,
    *,
    run_id: str,
    recipe: Recipe,
    lineage: Mapping[str, str],
    card: str,
    extra_files: Sequence[Path] = (),
) -> ModelVersion:
    """Register a model's folder as the new challenger.

    The same weights with the same lineage are the same version: a step that was killed and runs again adds nothing.

    Args:
        name: `TOKENIZER`, `BACKBONE` or `task_model_name(...)`.
        folder: With ``model.safetensors`` and ``config.json``; its other small files go along.
        run_id: MLflow run that the version belongs to.
        recipe: Kept with the model, so that new recordings are prepared and judged as its own were.
        lineage: Tags: commit, corpus version, recipe hash and the like.
        card: The model card, Markdown.
        extra_files: More files to keep with the model, such as evaluation, baseline and ledger.

    Raises:
        RegistryError: If the folder has no weights.
    """
    for needed in WEIGHTS:
        if not (folder / needed).is_file():
            raise RegistryError("there are no weights to register", file=needed, remedy="Run the training step again")
    tags = {key: str(value) for key, value in lineage.items() if value} | {DIGEST_TAG: _digest(folder)}
    known = next((one for one in list_versions(name) if all(one.tags.get(key) == tags[key] for key in tags)), None)
    found = known
    if found is None:
        with tempfile.TemporaryDirectory() as temporary:
            staged = _stage(Path(temporary) / "model", folder, extra_files, {CARD: card, MODEL_FILE: recipe.to_json()})
            found = _log(name, staged, run_id=run_id, tags=tags, card=card)
    client().set_registered_model_alias(name, CHALLENGER, found.version)
    return get_version(name, found.version)


def list_versions(name: str | None = None) -> list[ModelVersion]:
    """Versions of one model, or of all of labram's, newest first."""
    server = client()
    models = server.search_registered_models(filter_string=f"name LIKE '{PREFIX}%'", max_results=1000)
    found = []
    for model in sorted(models, key=lambda one: one.name):
        if name not in (None, model.name):
            continue
        named = _aliases(model.aliases)
        entries = server.search_model_versions(f"name = '{model.name}'")
        found += [
            _version(entry, named) for entry in sorted(entries, key=lambda entry: int(entry.version), reverse=True)
        ]
    return found


def get_version(name: str, version: str) -> ModelVersion:
    """One version.

    Raises:
        RegistryError: If the registry does not have it; says which it has.
    """
    for one in list_versions(name):
        if one.version == str(version):
            return one
    raise _unknown(name, f"version {version}")


def get_by_alias(name: str, alias: str) -> ModelVersion | None:
    """The version that an alias points to, or None."""
    return next((one for one in list_versions(name) if alias in one.aliases), None)


def find_version(uri: str) -> ModelVersion:
    """The version that ``models:/name@alias`` or ``models:/name/version`` names.

    Raises:
        RegistryError: If it is not such a URI, or nothing has that name; says what there is.
    """
    match = _URI.fullmatch(uri)
    if not match or not (match["alias"] or match["version"]):
        raise RegistryError(
            f"{uri!r} is neither a folder nor a registered model",
            field="model",
            remedy="Write models:/labram-workload@champion, models:/labram-workload/1, or the path of a folder",
        )
    if match["version"]:
        return get_version(match["name"], match["version"])
    found = get_by_alias(match["name"], match["alias"])
    if found is None:
        raise _unknown(match["name"], f"alias {match['alias']!r}")
    return found


def local_folder(model: str | Path) -> Path:
    """The local folder of a model's weights: that of a registered version, or `model` itself if it is a folder.

    Raises:
        RegistryError: If there is no such model, or its files are gone.
    """
    local = Path(model)
    if not str(model).startswith("models:/") and local.is_dir():
        if not (local / WEIGHTS[0]).is_file():
            raise RegistryError(
                f"the folder holds no {WEIGHTS[0]}",
                file=local.name,
                remedy="Give the folder of a trained model, or a URI such as models:/labram-workload@champion",
            )
        return local
    version = find_version(str(model))
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        folder = Path(download_artifacts(artifact_uri=f"{version.uri}/artifacts/model"))
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"the files of {version.uri} cannot be fetched",
            field="model",
            remedy="Check that the artifact store of the tracking server is reachable and whole",
        ) from error
    return folder


def set_tags(version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    server = client()
    for key, value in tags.items():
        server.set_model_version_tag(version.name, version.version, key, value[:5000])


def client() -> "MlflowClient":
    """The registry of the tracking server that `labram.tracking.mlflow_runs.configure` set."""
    from mlflow.tracking import MlflowClient

    return MlflowClient()


def _version(entry: Any, aliases: Mapping[str, str]) -> ModelVersion:
    number = str(entry.version)
    names = tuple(sorted(alias for alias, version in aliases.items() if version == number))
    return ModelVersion(entry.name, number, names, dict(entry.tags), entry.run_id or "")


def _aliases(aliases: Any) -> dict[str, str]:
    """Alias to version as text: SQLite gives numbers, a server gives text."""
    return {str(alias): str(version) for alias, version in dict(aliases or {}).items()}


def _unknown(name: str, what: str) -> RegistryError:
    known = list_versions(name)
    if known:
        listed = ", ".join(
            f"{one.version}{' (' + ', '.join(one.aliases) + ')' if one.aliases else ''}" for one in known
        )
        return RegistryError(f"{name} has no {what}", field="model", remedy=f"It has versions {listed}")
    names = ", ".join(sorted({one.name for one in list_versions()}))
    return RegistryError(
        f"there is no registered model {name!r}",
        field="model",
        remedy=f"Registered are: {names}" if names else "Nothing is registered yet: run `labram run` first",
    )


def _log(name: str, staged: Path, *, run_id: str, tags: Mapping[str, str], card: str) -> ModelVersion:
    import mlflow
    from mlflow.exceptions import MlflowException

    from labram.inference import signature

    server = client()
    package = _package(staged.parent)
    program = shutil.copy(Path(__file__).parents[1] / "inference" / "pyfunc_model.py", staged.parent)
    with _run(run_id), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no input example, no annotations: the signature is stated
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(program),
            artifacts={"model": str(staged)},
            code_paths=[str(package)],
            signature=signature.of_model(),
            pip_requirements=requirements(),
        )
    try:
        server.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    entry = server.create_model_version(
        name, source=info.model_uri, run_id=run_id, tags=dict(tags), description=card, model_id=info.model_id
    )
    return _version(entry, {})


@contextmanager
def _run(run_id: str) -> Iterator[None]:
    """Make `run_id` the active run, unless it is already."""
    import mlflow

    active = mlflow.active_run()
    if active and active.info.run_id == run_id:
        yield
        return
    status = client().get_run(run_id).info.status
    try:
        with mlflow.start_run(run_id=run_id, nested=active is not None):
            yield
    finally:
        client().update_run(run_id, status=status)  # leaving the context ends the run, which is not ours to end


def _stage(staged: Path, folder: Path, extra_files: Sequence[Path], texts: Mapping[str, str]) -> Path:
    staged.mkdir()
    for path in (*sorted(folder.iterdir()), *extra_files):
        if path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, staged / path.name)
    for name, text in texts.items():
        (staged / name).write_text(text)
    return staged


def _package(temporary: Path) -> Path:
    """A copy of the labram package without caches and `NOT_SERVED`."""
    source = Path(__file__).parent.parent
    left_out = shutil.ignore_patterns("__pycache__", "*.pyc", *NOT_SERVED)
    return Path(shutil.copytree(source, temporary / source.name, ignore=left_out))


def requirements() -> list[str]:
    """Pinned requirements of serving, as installed here; local version labels such as ``+cpu`` are left out."""
    return [f"{name}=={installed(name).partition('+')[0]}" for name in REQUIREMENTS]


def _digest(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 over what determines the model's answers."""
    total = hashlib.sha256()
    for name in (*WEIGHTS, "task.json"):
        path = folder / name
        if path.is_file():
            total.update(name.encode() + path.read_bytes())
    return total.hexdigest()[:16]
