"""Comparison of the files of two models: bit-equal, within tolerance, or different, and where they differ first."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from labram import checksums
from labram.frozen_model import FrozenModel
from labram.recipe import MODEL_FILE
from labram.registry import manifest
from labram.registry.model_registry import CARD
from labram.training.output_files import HARDWARE_FILE, LOAD_REPORT_FILE, RESUMED_FILE

RELATIVE, ABSOLUTE = 1e-2, 1e-3
"""Tolerance of another processor: relative distance of a tensor or array, absolute distance of a metric."""
IGNORED_KEYS = frozenset({checksums.KEY, "digest", "corpus_version", "test_uses"})
"""Keys of JSON files that are compared by other means (digests of files, the version of the corpus), or that count the
tests of a workspace."""
IDS = ("recording_id", "subject_key")
"""Columns with pseudonyms, which another subject key renames."""
_RENAMED = frozenset({"subjects"})
"""Keys of JSON files with lists of pseudonyms."""


class Equality(StrEnum):
    """How far two artifacts are equal."""

    BIT_EQUAL = "bit-equal"
    WITHIN_TOLERANCE = "within tolerance"
    DIFFERENT = "different"


class ArtifactVerdict(FrozenModel):
    """Verdict on one artifact.

    Attributes:
        artifact: Such as ``labram-backbone/model.safetensors``.
        equality: How far the reproduction equals the original.
        detail: First tensor, metric or row that differs, and by how much; "" if none does.
    """

    artifact: str
    equality: Equality
    detail: str = ""


class Distance(NamedTuple):
    """Distance of two numbers or arrays: where, how far, and whether it is within tolerance."""

    where: str
    text: str
    tolerable: bool


@contextmanager
def merged(folders: Sequence[Path]) -> Iterator[Path]:
    """Give one folder with links to the files of all; the first folder wins."""
    with tempfile.TemporaryDirectory() as temporary:
        for folder in folders:
            for path in folder.iterdir() if folder.is_dir() else ():
                link = Path(temporary) / path.name
                if path.is_file() and not link.exists():
                    link.symlink_to(path.absolute())
        yield Path(temporary)


def without_tolerance(verdicts: Sequence[ArtifactVerdict]) -> list[ArtifactVerdict]:
    """Return the verdicts where nothing explains other bits: what is not bit-equal is different."""
    return [
        verdict
        if verdict.equality is Equality.BIT_EQUAL
        else verdict.model_copy(update={"equality": Equality.DIFFERENT})
        for verdict in verdicts
    ]


def compare_folders(
    name: str, original: Path, again: Path, *, same_key: bool = True, partly: bool = False
) -> Iterator[ArtifactVerdict]:
    """Compare every file of a model that both folders can have; yield a verdict for each, in alphabetical order.

    Args:
        name: Name of the model, for the verdicts.
        original: Folder of the original's files.
        again: Folder of the reproduction's.
        same_key: Whether both used the same subject key; if not, pseudonyms are compared up to renaming.
        partly: Leave out files that the reproduction has not.
    """
    for file in sorted(path.name for path in original.iterdir() if _reader(path.name) is not None):
        if partly and not (again / file).is_file():
            continue
        yield compare_files(f"{name}/{file}", original / file, again / file, same_key=same_key)


def compare_files(artifact: str, original: Path, again: Path, *, same_key: bool = True) -> ArtifactVerdict:
    """Compare two files of the same name and kind."""
    if not again.is_file():
        return ArtifactVerdict(
            artifact=artifact, equality=Equality.DIFFERENT, detail="the reproduction does not have it"
        )
    if original.read_bytes() == again.read_bytes():
        return ArtifactVerdict(artifact=artifact, equality=Equality.BIT_EQUAL)
    compare = _reader(original.name)
    assert compare is not None
    first, tolerable = None, True
    for distance in compare(original, again, same_key):
        first = first or distance
        tolerable = tolerable and distance.tolerable
    if first is None:
        return ArtifactVerdict(artifact=artifact, equality=Equality.BIT_EQUAL)
    equality = Equality.WITHIN_TOLERANCE if tolerable else Equality.DIFFERENT
    return ArtifactVerdict(artifact=artifact, equality=equality, detail=f"{first.where}: {first.text}")


def overall(verdicts: list[ArtifactVerdict]) -> Equality:
    """Return the worst of all verdicts; without any, the reproduction has nothing that equals the original."""
    order = (Equality.DIFFERENT, Equality.WITHIN_TOLERANCE, Equality.BIT_EQUAL)
    found = {verdict.equality for verdict in verdicts}
    return next((equality for equality in order if equality in found), Equality.DIFFERENT)


def summary(verdicts: Sequence[ArtifactVerdict], reasons: Sequence[str]) -> dict[str, Any]:
    """Return the contents of ``verdict.json``.

    Args:
        verdicts: The verdict on every artifact.
        reasons: Why the machines may round differently; without any, what is not bit-equal is different.
    """
    decided = list(verdicts) if reasons else without_tolerance(verdicts)
    return {
        "verdict": overall(decided).value,
        "reasons_for_tolerance": list(reasons),
        "artifacts": [verdict.model_dump(mode="json") for verdict in decided],
    }


_NOT_COMPARED = {CARD, MODEL_FILE, HARDWARE_FILE, RESUMED_FILE, LOAD_REPORT_FILE, manifest.FILE}
Compare = Callable[[Path, Path, bool], Iterator[Distance]]


def _reader(name: str) -> Compare | None:
    """Return what compares a file; None for files that state who ran where, or repeat others."""
    if name in _NOT_COMPARED:
        return None
    by_suffix: dict[str, Compare] = {
        ".safetensors": _tensors,
        ".npz": _arrays,
        ".json": _json,
        ".jsonl": _lines,
        ".parquet": _rows,
    }
    return by_suffix.get(Path(name).suffix)


def _tensors(original: Path, again: Path, _: bool) -> Iterator[Distance]:  # noqa: FBT001
    from safetensors.numpy import load_file

    yield from _named(load_file(original), load_file(again), "tensor")


def _arrays(original: Path, again: Path, _: bool) -> Iterator[Distance]:  # noqa: FBT001
    with np.load(original) as a, np.load(again) as b:
        names = [set(part.files) - {checksums.KEY} for part in (a, b)]
        yield from _named({name: a[name] for name in names[0]}, {name: b[name] for name in names[1]}, "array")


def _named(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], noun: str) -> Iterator[Distance]:
    for name in sorted({*a, *b}):
        if name not in a or name not in b:
            yield Distance(
                f"{noun} {name}", f"only in the {'original' if name in a else 'reproduction'}", tolerable=False
            )
        elif distance := _distance(f"{noun} {name}", a[name], b[name]):
            yield distance


def _distance(where: str, a: np.ndarray, b: np.ndarray) -> Distance | None:
    """Compare two arrays; None if they are bit-equal."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return Distance(where, f"{a.dtype}{list(a.shape)} → {b.dtype}{list(b.shape)}", tolerable=False)
    if a.tobytes() == b.tobytes():
        return None
    if not np.issubdtype(a.dtype, np.floating):
        return Distance(where, f"{np.count_nonzero(a != b)} of {a.size} values differ", tolerable=False)
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    not_finite_a, not_finite_b = (np.where(np.isfinite(part), 0.0, part) for part in (a64, b64))
    if not np.array_equal(not_finite_a, not_finite_b, equal_nan=True):
        return Distance(where, "other values are not finite", tolerable=False)
    largest = float(np.nanmax(np.abs(a64 - b64), initial=0.0))
    apart, size = (float(np.linalg.norm(np.nan_to_num(part))) for part in (a64 - b64, a64))
    relative = apart / max(size, 1e-12)
    return Distance(where, f"relative distance {relative:.2g}, largest {largest:.2g}", tolerable=relative <= RELATIVE)


def _json(original: Path, again: Path, same_key: bool) -> Iterator[Distance]:  # noqa: FBT001
    a, b = (json.loads(path.read_text(encoding="utf-8")) for path in (original, again))
    yield from _values("", a, b, same_key)


def _lines(original: Path, again: Path, same_key: bool) -> Iterator[Distance]:  # noqa: FBT001
    a, b = (
        [row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()) if checksums.KEY not in row]
        for path in (original, again)
    )
    for number, (row, other) in enumerate(zip(a, b, strict=False), start=1):
        yield from _values(f"line {number}", row, other, same_key)
    if len(a) != len(b):
        yield Distance(f"line {min(len(a), len(b)) + 1}", f"{len(a)} → {len(b)} lines", tolerable=False)


def _values(where: str, a: Any, b: Any, same_key: bool) -> Iterator[Distance]:  # noqa: FBT001
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b} - IGNORED_KEYS):
            if key in _RENAMED and not same_key:
                a, b = a | {key: len(a.get(key, ()))}, b | {key: len(b.get(key, ()))}
            yield from _values(f"{where}.{key}" if where else key, a.get(key), b.get(key), same_key)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _values(f"{where}[{index}]", one, other, same_key)
    elif a != b:
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (a, b))
        tolerable = numbers and bool(np.isfinite([a, b]).all()) and abs(a - b) <= max(ABSOLUTE, RELATIVE * abs(a))
        yield Distance(where or "the whole file", f"{_short(a)} → {_short(b)}", tolerable=tolerable)


def _rows(original: Path, again: Path, same_key: bool) -> Iterator[Distance]:  # noqa: FBT001
    a, b = (pq.read_table(path).to_pandas() for path in (original, again))
    if len(a) != len(b) or list(a.columns) != list(b.columns):
        yield Distance(
            "the table", f"{a.shape[0]} rows, {a.shape[1]} columns → {b.shape[0]}, {b.shape[1]}", tolerable=False
        )
        return
    for name in a.columns:
        if name in IDS and not same_key:
            if not _renamed(a[name], b[name]):
                yield Distance(f"column {name}", "other rows belong together", tolerable=False)
            continue
        different = [row for row, (x, y) in enumerate(zip(a[name], b[name], strict=True)) if not _equal(x, y)]
        if different:
            row = different[0]
            x, y = np.asarray(a[name][row]), np.asarray(b[name][row])
            numeric = np.issubdtype(x.dtype, np.number) and x.shape == y.shape
            largest = max((_largest(a[name][row], b[name][row]) for row in different), default=0.0) if numeric else 1.0
            text = f"{_short(a[name][row])} → {_short(b[name][row])}; {len(different)} rows differ"
            yield Distance(f"column {name}, row {row}", text, tolerable=numeric and largest <= RELATIVE)


def _equal(a: Any, b: Any) -> bool:
    x, y = np.asarray(a), np.asarray(b)
    return bool(np.array_equal(x, y, equal_nan=x.dtype.kind == y.dtype.kind == "f"))


def _largest(a: Any, b: Any) -> float:
    """Return the largest distance; infinite for values that cannot be compared."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    largest = float(np.abs(x - y).max(initial=0.0)) if x.shape == y.shape else np.inf
    return largest if np.isfinite(largest) else np.inf


def _renamed(a: "pd.Series[Any]", b: "pd.Series[Any]") -> bool:
    """Return whether one column has the names of the other under a one-to-one renaming."""
    return bool(np.array_equal(pd.factorize(a)[0], pd.factorize(b)[0]))


def _short(value: Any) -> str:
    text = str(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 60 else f"{text[:59]}…"
