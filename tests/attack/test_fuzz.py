"""Flipped bytes, cuts and foreign numbers in files of formats that labram reads itself, against an independent reader.

Whatever is done to a file, it is rejected with a reason, or its samples are those that the other reader finds in it.
`LABRAM_HOSTILE_CASES` sets how many files are tried; without it they are the same ones every time.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import mne
import numpy as np
import pytest

from labram.errors import ReadError
from labram.signals.readers import content_files, read
from tests.signals.test_readers_more_formats import LABELS, RATE, STEPS, curry, nedf, persyst
from tests.signals.test_readers_names import brainvision

CASES = int(os.environ.get("LABRAM_HOSTILE_CASES", "0"))
NUMBERS = (b"0", b"-1", b"1e999", b"nan", b"99999999", b"1,5", b"9" * 40, b"")
Oracle = Callable[[Path], np.ndarray]


def of_gdf(path: Path) -> np.ndarray:
    """Return the samples that MNE reads; it takes all units but one spelling for V."""
    if b"uV      " * len(LABELS) not in path.read_bytes():
        raise ValueError("not understood")
    raw = mne.io.read_raw_gdf(path, preload=True, verbose="CRITICAL")
    if raw.info["sfreq"] != read(path).sfreq:
        raise ValueError("another sampling rate")
    return raw.get_data() * 1e6


def by_hand(path: Path) -> np.ndarray:
    """Return the samples of a BrainVision file as its specification says, from the fields that matter."""
    text = path.read_bytes().decode("utf-8")
    fields = {key: int(value) for key, value in re.findall(r"(?m)^(NumberOfChannels)=(\d+)$", text)}
    gains = [float(gain) for gain in re.findall(r"(?m)^Ch\d+=[^,\n]*,[^,\n]*,(\d*\.?\d+),µV$", text)]
    if not ("MULTIPLEXED" in text and "BinaryFormat=INT_16\n" in text and len(gains) == fields["NumberOfChannels"]):
        raise ValueError("not understood")
    values = np.fromfile(path.with_suffix(".eeg"), "<i2").reshape(-1, len(gains)).T
    return values * np.array(gains)[:, None]


def of_sound_header(header: str, size: int, write: Callable[[Path], Path], samples: Oracle) -> Oracle:
    """Return a reader by hand, of files whose header (its first bytes, of that suffix) is as it was written."""

    def of_file(path: Path) -> np.ndarray:
        (path.parent / "sound").mkdir(exist_ok=True)
        sound = write(path.parent / "sound").with_suffix(header).read_bytes()
        if path.with_suffix(header).read_bytes()[:size] != sound[:size]:
            raise ValueError("not understood")
        return samples(path)

    return of_file


def of_nedf(path: Path) -> np.ndarray:
    """Return samples of three bytes each, big-endian, in blocks of five rows."""
    content, width = path.read_bytes(), 3 * len(LABELS) + 4
    rows = [content[10240 + 6 * (row // 5 + 1) + width * row :][: 3 * len(LABELS)] for row in range(STEPS.shape[1] - 3)]
    values = [[int.from_bytes(row[at : at + 3], "big", signed=True) for at in range(0, len(row), 3)] for row in rows]
    return np.array(values).T * (2.4 / (6.0 * 8388607) * 1e6)


def of_curry(path: Path) -> np.ndarray:
    """Return floats in mV, of which the first channel is a trigger that is listed last."""
    rows = np.fromfile(path, "<f4").reshape(-1, len(LABELS) + 1).T.astype(np.float64)
    return np.vstack([rows[1:] * 1e3, rows[:1]])


def of_persyst(path: Path) -> np.ndarray:
    return np.fromfile(path.with_suffix(".dat"), "<i2", offset=16).reshape(-1, len(LABELS)).T * 0.1


def write_nedf(folder: Path) -> Path:
    return nedf.__wrapped__(folder)


def write_curry(folder: Path) -> Path:
    return curry(folder / "a.cdt")


def write_persyst(folder: Path) -> Path:
    return persyst(folder / "a.lay", file="a.dat")


def gdf_1(folder: Path, write_gdf: Callable[..., Path]) -> Path:
    return write_gdf(folder / "a.gdf", STEPS * 0.1, LABELS, RATE)


WRITERS: dict[str, tuple[Callable[..., Path], Oracle]] = {
    "gdf": (gdf_1, of_gdf),
    "brainvision": (lambda folder, _: brainvision(folder, "a"), by_hand),
    "persyst": (lambda folder, _: write_persyst(folder), of_sound_header(".lay", -1, write_persyst, of_persyst)),
    "nedf": (lambda folder, _: write_nedf(folder), of_sound_header(".nedf", 10240, write_nedf, of_nedf)),
    "curry": (lambda folder, _: write_curry(folder), of_sound_header(".cdt.dpa", -1, write_curry, of_curry)),
}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bytes in the header or anywhere, replace a number, or cut the file."""
    changed, kind = bytearray(content), rng.integers(5)
    if kind == 0:
        return content[: rng.integers(len(content))]
    if kind == 1:
        numbers = list(re.finditer(rb"\d+", content[:4000]))
        found = numbers[rng.integers(len(numbers))] if numbers else None
        other = NUMBERS[rng.integers(len(NUMBERS))]
        return content[: found.start()] + other + content[found.end() :] if found else content
    for _ in range(rng.integers(1, 5)):
        changed[rng.integers(len(changed) if kind == 2 else min(len(changed), 2000))] ^= 1 << rng.integers(8)
    return bytes(changed)


def files(path: Path, rng: np.random.Generator, count: int) -> Iterator[None]:
    """Damage one file of the recording after the other, each time from its sound state."""
    sound = {part: part.read_bytes() for part in content_files(path)}
    for _ in range(count):
        for part, content in sound.items():
            part.write_bytes(content)
        part = list(sound)[rng.integers(len(sound))]
        part.write_bytes(damaged(sound[part], rng))
        yield


@pytest.mark.parametrize("name", WRITERS)
def test_a_damaged_file_is_rejected_or_has_the_samples_that_another_reader_finds(
    tmp_path: Path, write_gdf: Callable[..., Path], name: str, record_property: Callable[[str, object], None]
) -> None:
    write, oracle = WRITERS[name]
    path = write(tmp_path, write_gdf)
    count = CASES // len(WRITERS) or 25
    rng = np.random.default_rng(None if CASES else 0)
    rejected = compared = 0
    for _ in files(path, rng, count):
        try:
            found = read(path)
            samples = found.read(range(len(found.channels)))
        except ReadError:
            rejected += 1
            continue
        if not np.isfinite(samples).all():  # ingest rejects it
            rejected += 1
            continue
        expected = other(oracle, path)
        if expected is not None and expected.shape == samples.shape:
            np.testing.assert_allclose(samples, expected, rtol=1e-5, atol=1e-3)
            compared += 1
    record_property("inputs", count)
    assert rejected > count // 20
    assert compared > count // 20


def other(oracle: Oracle, path: Path) -> np.ndarray | None:
    """Return what another reader finds; None if it cannot read the file, for which it cannot vouch then."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return oracle(path)
    except Exception:
        return None
