"""Digests of all files of a version that labram wrote: weights, settings, results, and the code that MLflow runs.

`FILE` lies beside the weights; its own digest is a tag of the version. labram verifies the files that it reads whenever
it downloads a version, and never runs a version's code, except in the smoke test through MLflow, after verifying it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from labram.checksums import hash_file
from labram.errors import DamagedWeightsError

FILE = "files.json"
TAG = "files_digest"
MODEL, CODE, PROGRAM = "artifacts/model", "code/labram", "pyfunc_model.py"
"""Where MLflow puts the model's folder, the package and the program, in the folder of a version."""


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
        _compare(_read(model, expected), {f"{MODEL}/{name}": found for name, found in _digests(model)}, f"{MODEL}/")


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
        found = {f"{CODE}/{name}": found for name, found in _digests(version / CODE)}
        if (version / PROGRAM).is_file():
            found[PROGRAM] = hash_file(version / PROGRAM)
        _compare(_read(version / MODEL, expected), found, CODE, PROGRAM)


def _compare(expected: Mapping[str, str], found: Mapping[str, str], *places: str) -> None:
    for name in sorted({*expected, *found}):
        if not name.startswith(places) or expected.get(name) == found.get(name):
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


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != FILE and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), hash_file(path)
