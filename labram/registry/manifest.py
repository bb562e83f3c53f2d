"""Digests of all files of a version that labram wrote: weights, settings, results, and the code that MLflow runs.

`FILE` lies beside the weights; its own digest is a tag of the version. labram verifies the files that it reads whenever
it downloads a version, and never runs a version's code, except in the smoke test through MLflow, after verifying it.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from labram.checksums import hash_file
from labram.errors import DamagedWeightsError

FILE = "files.json"
TAG = "files_digest"
MODEL, CODE, PROGRAM = "artifacts/model", "code/labram", "pyfunc_model.py"
"""Where MLflow puts the model's folder, the package and the program, in the folder of a version."""
CONFIG = "MLmodel"
METADATA = frozenset({CONFIG, "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"})
"""Files that MLflow writes beside them, after the digests. Loading reads only `CONFIG`."""
_LOADED = {"loader_module": "mlflow.pyfunc.loaders.code_model", "code": "code"}
_KEYS = {*_LOADED, "model_code_path", "artifacts", "env", "cloudpickle_version", "python_version", "streamable"}
"""What `CONFIG` may state about loading: any other loader, code or pickled model would run something else."""


def write(model: Path, package: Path, program: Path) -> str:
    """Write `FILE` into a model's folder before it is logged, and return the digest of `FILE`.

    Args:
        model: Folder with weights and all other files.
        package: The copy of the labram package.
        program: The program that MLflow runs.
    """
    files = {f"{MODEL}/{name}": found for name, found in _digests(model)}
    files |= {f"{CODE}/{name}": found for name, found in _digests(package)}
    files[PROGRAM] = hash_file(program)
    (model / FILE).write_text(json.dumps(files, indent=0, sort_keys=True), encoding="utf-8")
    return hash_file(model / FILE)


def verify_model(model: Path, tags: Mapping[str, str]) -> None:
    """Verify all files of a model's folder. A version of an earlier release has no digests, and is not verified.

    Args:
        model: The folder, as it was downloaded.
        tags: Tags of the version.

    Raises:
        DamagedWeightsError: If a file was altered, is missing or was added; names it.
    """
    if expected := tags.get(TAG):
        files = {name: of for name, of in _read(model, expected).items() if name.startswith(f"{MODEL}/")}
        _compare(files, {f"{MODEL}/{name}": of for name, of in _digests(model)})


def verify_code(version: Path, tags: Mapping[str, str]) -> None:
    """Verify the files of a whole version, its code included, before MLflow runs it.

    Args:
        version: Folder of the version, as it was downloaded.
        tags: Its tags.

    Raises:
        DamagedWeightsError: If a file was altered, is missing or was added; names it.
    """
    verify_model(version / MODEL, tags)
    if expected := tags.get(TAG):
        files = _read(version / MODEL, expected)
        code = {name: of for name, of in files.items() if not name.startswith(f"{MODEL}/")}
        beside = {name: of for name, of in _digests(version) if not name.startswith(f"{MODEL}/")}
        _compare(code, {name: of for name, of in beside.items() if name not in METADATA})
        _verify_config(version / CONFIG)


def _verify_config(file: Path) -> None:
    """Verify that MLflow loads the program and the package of a version, and nothing else."""
    try:
        stated = dict(yaml.safe_load(file.read_text(encoding="utf-8"))["flavors"]["python_function"])
        program, places = Path(stated["model_code_path"]).name, [one["path"] for one in stated["artifacts"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise _tampered(CONFIG, "it is missing or damaged") from error
    loaded = {key: stated.get(key) for key in _LOADED} == _LOADED and program == PROGRAM and places == [MODEL]
    if not loaded or not stated.keys() <= _KEYS:
        raise _tampered(CONFIG, "it was altered")


def _compare(expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    for name in sorted({*expected, *found}):
        if expected.get(name) == found.get(name):
            continue
        problem = "it was altered" if name in expected and name in found else "it is missing"
        raise _tampered(name, problem if name in expected else "it was added")


def _read(model: Path, expected: str) -> dict[str, str]:
    file = model / FILE
    if not file.is_file():
        raise _tampered(FILE, "it is missing")
    if hash_file(file) != expected:
        raise _tampered(FILE, "it was altered")
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _tampered(name: str, problem: str) -> DamagedWeightsError:
    return DamagedWeightsError(
        f"the version differs from what was registered: {problem}",
        file=name,
        remedy="Register the model again: run the same command with --force",
    )


def copy_without_caches(version: Path, out: Path) -> Path:
    """Copy a verified version without Python's caches, which have no digests: Python would run what is in them."""
    return Path(shutil.copytree(version, out, ignore=shutil.ignore_patterns("__pycache__")))


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if "__pycache__" in name.parts or name.name == FILE:
            continue
        if path.is_symlink():
            yield name.as_posix(), "a link"
        elif path.is_file():
            yield name.as_posix(), hash_file(path)
