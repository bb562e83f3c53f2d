"""Compare the output of readers and filters with golden files of the current `REVISION`.

`REVISION` is part of the keys of patches in a store, so it must change when the output does. After an intended change:

    raise REVISION in labram/signals/version.py
    python tests/signals/test_version.py [FOLDER OF REAL RECORDINGS]

The script does not overwrite golden files of the same revision.
"""

import hashlib
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from labram.errors import ReadError
from labram.signals.preprocessing import BackEnd, preprocess
from labram.signals.readers import format_of, read
from labram.signals.recording import Recording
from labram.signals.version import REVISION, VERSION
from labram.simulation import files

GOLDEN = Path(__file__).with_name("golden")
CHANNELS = ["Fp1", "Fp2", "C3"]
MICROVOLTS = 1e-3
Outputs = dict[str, list[float] | str]


def wave(rate: float, seconds: float) -> np.ndarray:
    """Return three channels of chirps on drifts, µV, without random numbers."""
    time = np.arange(round(rate * seconds)) / rate
    rows = [np.sin(2 * np.pi * (0.2 + number + time / 5) * time) for number in range(len(CHANNELS))]
    return 30 * np.stack(rows) + 3 * time + np.sin(2 * np.pi * 50 * time)


def some(values: np.ndarray) -> list[float]:
    """Return shape, a few values and SDs of a signal."""
    places = np.linspace(0, values.shape[1] - 1, 5).astype(int)
    rows = values[:: max(1, len(values) // 3)].astype(np.float64)
    return [*map(float, values.shape), *rows[:, places].ravel().round(5), *rows.std(axis=1).round(5)]


def filtered() -> Outputs:
    backs: tuple[BackEnd, ...] = ("reference", "fused")
    found: Outputs = {}
    for back, rate, (seconds, mains) in itertools.product(
        backs, (100.0, 128.0, 250.0, 512.0, 1000.0), ((2.0, 50.0), (20.0, 60.0), (80.0, 50.0))
    ):
        recording = Recording(wave(rate, seconds), tuple(CHANNELS), rate)
        blocks = list(preprocess(recording, [2, 0, 1], line_freq_hz=mains, back_end=back))
        found[f"{back} {rate:g} Hz {seconds:g} s {mains:g} Hz"] = some(np.concatenate(blocks, axis=1))
    return found


def written() -> Outputs:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files.write_edf(folder / "a.edf", wave(256.0, 4), CHANNELS, 256.0)
        files.write_bdf(folder / "a.bdf", wave(256.0, 4), CHANNELS, 256.0)
        files.write_brainvision(folder / "a.vhdr", wave(500.0, 4), CHANNELS, 500.0, markers=[])
        return {path.name: outcome(path) for path in sorted(folder.iterdir()) if format_of(path)}


def real(folder: Path) -> Outputs:
    """Return the outcomes of every file in `misc_formats` and of the first recording of each dataset."""
    found: Outputs = {}
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        inside = sorted(path for path in part.rglob("*") if path.parent.suffix != ".mff" and format_of(path))
        for path in inside if part.name == "misc_formats" else inside[:1]:
            found[path.relative_to(folder).as_posix()] = outcome(path)
    return found


def outcome(path: Path) -> list[float] | str:
    """Return the reason code of an error, or numbers that change with anything that is read."""
    try:
        recording = read(path)
        values = recording.read(range(len(recording.channels)), 0, min(recording.samples, 5000))
    except ReadError as error:
        return error.reason.value
    words = "\n".join([*recording.channels, *recording.notes, *(event.code for event in recording.events)])
    times = [sum(event.onset for event in recording.events), sum(event.duration for event in recording.events)]
    of_words = int(hashlib.sha256(words.encode()).hexdigest()[:6], 16)
    gap = np.nan if recording.gap_seconds is None else recording.gap_seconds
    return [recording.sfreq, recording.samples, gap, *times, of_words, *some(values)]


def assert_same(found: Outputs, name: str) -> None:
    golden = json.loads((GOLDEN / name).read_text())
    assert golden["revision"] == REVISION, "the outputs kept are not of this REVISION: see this file's beginning"
    assert changed(found, golden["outputs"]) == [], "outputs have changed: see this file's beginning"


def changed(found: Outputs, kept: Outputs) -> list[str]:
    return [name for name in sorted({*found, *kept}) if not same(found.get(name), kept.get(name))]


def same(one: list[float] | str | None, other: list[float] | str | None) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and np.allclose(one, other, rtol=1e-5, atol=MICROVOLTS, equal_nan=True)
    return one == other


def write(found: Outputs, name: str) -> None:
    path = GOLDEN / name
    kept = json.loads(path.read_text()) if path.exists() else {"revision": 0, "outputs": {}}
    if kept["revision"] == REVISION and changed(found, kept["outputs"]):
        sys.exit(f"raise REVISION first: {changed(found, kept['outputs'])} would change")
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in sorted(found.items()))
    path.write_text(f'{{"revision": {REVISION}, "outputs": {{\n{lines}\n}}}}\n')


def test_filters_match_their_golden_files():
    assert_same(filtered(), "filtered.json")


def test_readers_match_their_golden_files():
    assert_same(written(), "written.json")


@pytest.mark.real
def test_readers_match_their_golden_files_for_real_recordings(real_eeg: Path):
    assert_same(real(real_eeg), "real.json")


def test_a_change_is_seen():
    kept = written()
    assert changed({**kept, "a.edf": [2 * value for value in kept["a.edf"]]}, kept) == ["a.edf"]
    assert changed({**kept, "a.bdf": "damaged"}, kept) == ["a.bdf"]
    assert changed({**kept, "more": "damaged"}, kept) == ["more"]


def test_the_version_has_both_numbers():
    assert VERSION.startswith(f"{REVISION}-mne")


if __name__ == "__main__":
    write(filtered(), "filtered.json")
    write(written(), "written.json")
    if len(sys.argv) > 1:
        write(real(Path(sys.argv[1])), "real.json")
