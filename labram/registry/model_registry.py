"""MLflow model registry: versions with lineage and aliases, and download of their weights.

A version is a models-from-code pyfunc (`labram/inference/pyfunc_model.py`), safetensors and JSON; nothing is pickled.
It includes a copy of the `labram` packages that inference needs, which takes precedence when the version is served in a
separate process: a model always runs with the code that it was registered with.
"""

import hashlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from types import MappingProxyType
from typing import Any

from labram.errors import RegistryError
from labram.recipe import MODEL_FILE, Recipe
from labram.registry import manifest
from labram.registry.front_matter import without_front_matter
from labram.tracking import mlflow_client

client = mlflow_client.client
CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous-champion"
PREFIX = "labram-"
TOKENIZER, BACKBONE = "labram-tokenizer", "labram-backbone"
CARD = "README.md"
WEIGHTS = ("model.safetensors", "config.json")
OUTPUT_FILES = (*WEIGHTS, "task.json", "probe.json", "probe.npz")
"""Files that determine what a model returns."""
REQUIREMENTS = ("mlflow", "torch", "numpy", "scipy", "pandas", "safetensors", "pydantic", "scikit-learn", "pyyaml")
"""Distributions that serving needs; labram itself is logged with the model."""
NOT_SERVED = ("cli", "steps", "tracking", "registry", "reporting", "platform")
"""Packages that inference does not import, and that a version therefore does not include."""
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
    created: datetime | None = None

    @property
    def uri(self) -> str:
        """``models:/name/version``."""
        return f"models:/{self.name}/{self.version}"

    @property
    def pin(self) -> str:
        """The URI with the digest of the weights: ``models:/name/version#DIGEST``."""
        return f"{self.uri}#{self.tags.get(DIGEST_TAG, '')}"


def task_model_name(task: str) -> str:
    """Return the registered name of a task's model: `PREFIX` and the task's name."""
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
    texts: Mapping[str, str] = MappingProxyType({}),
    circumstances: Mapping[str, str] = MappingProxyType({}),
) -> ModelVersion:
    """Register a model's folder as a new version with the alias *challenger*.

    Weights that are registered already with the same lineage return the existing version, so a step that is killed and
    runs again adds nothing. A champion stays champion alone.

    Args:
        name: `TOKENIZER`, `BACKBONE` or `task_model_name(...)`.
        folder: Folder with ``model.safetensors`` and ``config.json``; its other files are logged too.
        run_id: MLflow run that the version belongs to.
        recipe: Logged with the model, so that new recordings are preprocessed and scored in the same way.
        lineage: Tags: commit, corpus version, recipe hash and others.
        card: The model card, Markdown.
        extra_files: More files to log with the model, such as evaluation, baseline and ledger.
        texts: More texts to log with the model, by file name, such as the card as a page.
        circumstances: More tags, such as actor and hardware, in which equal versions may differ.

    Returns:
        The registered version.

    Raises:
        RegistryError: If the folder has no weights.
    """
    for file in WEIGHTS:
        if not (folder / file).is_file():
            raise RegistryError(
                "the folder has no weights to register", file=file, remedy="Run the training step again"
            )
    tags = {key: str(value) for key, value in lineage.items() if value} | {DIGEST_TAG: weights_digest(folder)}
    same = (version for version in list_versions(name) if tags.items() <= dict(version.tags).items())
    registered = next(same, None)
    if registered is None:
        with tempfile.TemporaryDirectory() as temporary:
            texts = {**texts, CARD: card, MODEL_FILE: recipe.to_json()}
            staged = _stage(Path(temporary) / "model", folder, extra_files, texts)
            tags |= {key: str(value) for key, value in circumstances.items() if value}
            registered = _log(name, staged, run_id=run_id, tags=tags, card=card)
    if CHAMPION not in registered.aliases:
        client().set_registered_model_alias(name, CHALLENGER, registered.version)
    return get_version(name, registered.version)


def list_versions(name: str | None = None) -> list[ModelVersion]:
    """Return the versions of one model, or of all labram models, newest first."""
    server = client()
    models = server.search_registered_models(filter_string=f"name LIKE '{PREFIX}%'", max_results=1000)
    versions = []
    for model in sorted(models, key=lambda model: model.name):
        if name not in (None, model.name):
            continue
        aliases = _aliases(model.aliases)
        entries = server.search_model_versions(f"name = '{model.name}'")
        newest_first = sorted(entries, key=lambda entry: int(entry.version), reverse=True)
        versions += [_version(entry, aliases) for entry in newest_first]
    return versions


def get_version(name: str, version: str) -> ModelVersion:
    """Return a version of a model.

    Raises:
        RegistryError: If the version does not exist; the remedy lists those that do.
    """
    for entry in list_versions(name):
        if entry.version == str(version):
            return entry
    raise _unknown(name, f"version {version}")


def get_by_alias(name: str, alias: str) -> ModelVersion | None:
    """Return the version that an alias points to, or None."""
    return next((version for version in list_versions(name) if alias in version.aliases), None)


def find_version(uri: str) -> ModelVersion:
    """Return the version of a ``models:/name@alias`` or ``models:/name/version`` URI.

    Raises:
        RegistryError: If the URI is malformed or the version does not exist; the remedy lists those that do.
    """
    match = _URI.fullmatch(uri)
    if not match or not (match["alias"] or match["version"]):
        raise RegistryError(
            f"{uri!r} is neither a folder nor a registered model",
            field="model",
            remedy="Use models:/labram-workload@champion, models:/labram-workload/1, or the path of a folder",
        )
    if match["version"]:
        return get_version(match["name"], match["version"])
    version = get_by_alias(match["name"], match["alias"])
    if version is None:
        raise _unknown(match["name"], f"alias {match['alias']!r}")
    return version


def find_model(text: str) -> ModelVersion:
    """Return the version of ``NAME@alias``, ``NAME/version`` or ``NAME``, with or without ``models:/``.

    A name alone means the champion, or else the newest version.

    Raises:
        RegistryError: See `find_version`.
    """
    uri = text if text.startswith("models:/") else f"models:/{text}"
    match = _URI.fullmatch(uri)
    if match is None or match["alias"] or match["version"]:
        return find_version(uri)
    versions = list_versions(match["name"])
    if not versions:
        raise _unknown(match["name"], "version")
    return next((version for version in versions if CHAMPION in version.aliases), versions[0])


def local_folder(model: str | Path) -> Path:
    """Return the local folder of a model's weights: a downloaded registered version, or `model` if it is a folder.

    Raises:
        RegistryError: If the model does not exist, or its files cannot be downloaded.
        DamagedWeightsError: If a file of a registered version differs from what was registered.
    """
    local = Path(model)
    if not str(model).startswith("models:/") and local.is_dir():
        if not (local / WEIGHTS[0]).is_file():
            raise RegistryError(
                f"the folder has no {WEIGHTS[0]}",
                file=local.name,
                remedy="Name the folder of a trained model, or a URI such as models:/labram-workload@champion",
            )
        return local
    registered = find_version(str(model))
    folder = _download(registered, f"/{manifest.MODEL}")
    manifest.verify_model(folder, registered.tags)
    return folder


def local_version(version: ModelVersion) -> Path:
    """Return the local folder of a whole version, its verified code included, as MLflow loads it.

    Raises:
        RegistryError: If its files cannot be downloaded.
        DamagedWeightsError: If a file differs from what was registered.
    """
    folder = _download(version)
    manifest.verify_code(folder, version.tags)
    return folder


def _download(version: ModelVersion, place: str = "") -> Path:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(download_artifacts(artifact_uri=f"{version.uri}{place}"))
    except (MlflowException, OSError) as error:
        raise RegistryError(
            f"the files of {version.uri} cannot be downloaded",
            field="model",
            remedy="Check that the artifact store of the tracking server is reachable and complete",
        ) from error


def set_tags(version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    server = client()
    for key, value in tags.items():
        server.set_model_version_tag(version.name, version.version, key, value[:5000])


def _version(entry: Any, aliases: Mapping[str, str]) -> ModelVersion:
    number = str(entry.version)
    names = tuple(sorted(alias for alias, version in aliases.items() if version == number))
    created = datetime.fromtimestamp(entry.creation_timestamp / 1000, UTC) if entry.creation_timestamp else None
    return ModelVersion(entry.name, number, names, dict(entry.tags), entry.run_id or "", created)


def _aliases(aliases: Any) -> dict[str, str]:
    """Return versions by alias as text: the SQLite store returns integers, a server text."""
    return {str(alias): str(version) for alias, version in dict(aliases or {}).items()}


def _unknown(name: str, missing: str) -> RegistryError:
    existing = list_versions(name)
    if existing:
        listed = ", ".join(
            f"{version.version}{' (' + ', '.join(version.aliases) + ')' if version.aliases else ''}"
            for version in existing
        )
        return RegistryError(f"{name} has no {missing}", field="model", remedy=f"Choose from its versions: {listed}")
    names = ", ".join(sorted({version.name for version in list_versions()}))
    return RegistryError(
        f"no registered model is named {name!r}",
        field="model",
        remedy=f"Choose from the registered models: {names}"
        if names
        else "Run `labram run` first: no model is registered",
    )


def _log(name: str, staged: Path, *, run_id: str, tags: Mapping[str, str], card: str) -> ModelVersion:
    import mlflow
    from mlflow.exceptions import MlflowException

    from labram.inference import signature

    server = client()
    package = _package(staged.parent)
    program = shutil.copy(Path(__file__).parents[1] / "inference" / manifest.PROGRAM, staged.parent)
    tags = {**tags, manifest.TAG: manifest.write(staged, package, Path(program))}
    with _run(run_id), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow asks for an input example; the signature is explicit
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
        name,
        source=info.model_uri,
        run_id=run_id,
        tags=dict(tags),
        description=without_front_matter(card),
        model_id=info.model_id,
    )
    return _version(entry, {})


@contextmanager
def _run(run_id: str) -> Iterator[None]:
    """Make `run_id` MLflow's active run, if it is not already."""
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
        client().update_run(run_id, status=status)  # leaving start_run() ends the run, which may be unfinished


def _stage(staged: Path, folder: Path, extra_files: Sequence[Path], texts: Mapping[str, str]) -> Path:
    staged.mkdir()
    for path in (*sorted(folder.iterdir()), *extra_files):
        if path.is_file() and not path.name.startswith("."):
            shutil.copyfile(path, staged / path.name)
    for name, text in texts.items():
        (staged / name).write_text(text, encoding="utf-8")
    return staged


def _package(temporary: Path) -> Path:
    """Copy the labram package without caches and `NOT_SERVED`."""
    source = Path(__file__).parent.parent
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", *NOT_SERVED)
    return Path(shutil.copytree(source, temporary / source.name, ignore=ignored))


def requirements() -> list[str]:
    """Return the requirements of serving, pinned to the installed versions without local labels such as ``+cpu``."""
    return [f"{name}=={installed(name).partition('+')[0]}" for name in REQUIREMENTS]


def weights_digest(folder: Path) -> str:
    """Return the first 16 hex digits of the SHA-256 over the files that determine the model's output."""
    total = hashlib.sha256()
    for name in OUTPUT_FILES:
        path = folder / name
        if path.is_file():
            total.update(name.encode() + path.read_bytes())
    return total.hexdigest()[:16]
