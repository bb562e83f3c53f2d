"""The simulated corpus: three datasets of different montage, sampling rate, unit and format, with four tasks.

It tests the pipeline; results on it say nothing about EEG. The same seed yields the same bytes on every machine: double
precision, rounded to integers at the end, a random number generator per recording, fixed dates, no clock, no locale.
Two recordings are invalid on purpose, one truncated and one flat, to exercise the quarantine.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from labram.atomic import atomic_folder
from labram.errors import CorpusError
from labram.events import Monitor, NullMonitor
from labram.simulation import files, gait, hospital, lab
from labram.simulation.rhythms import Draw

GENERATOR = 1
"""Version of the generator, raised when the same seed would yield other bytes; `data.dvc` then changes too."""

MARKER_FILE = "simulated.json"
"""Name of the marker file of a simulated corpus and of each dataset in it. The corpus's own lists every file with its
SHA-256."""

_README = """\
# Simulated EEG

Written by `labram corpus simulate`. Nobody's recordings: a generator made them, to show that the pipeline works.
No number computed on them says anything about EEG.

| dataset | format | channels | rate | labels |
| --- | --- | --- | --- | --- |
| sim_hospital | EDF+, µV | 23 + ECG | 256 Hz | abnormal (folder name), events (.rec) |
| sim_lab | BrainVision, µV | 32 | 250 Hz | emotion (_events.tsv) |
| sim_gait | BDF+, mV | 24 | 100 Hz | joint angles (-joints.csv) |

Two recordings are bad on purpose and belong into the quarantine: the last session of patient aaaaaaaa broke off
half-way, and the second trial of SL01 has a cap that was not plugged in.
"""


@dataclass(frozen=True)
class Size:
    """Size of the simulated corpus; the default has about 53 minutes and 38 MB."""

    patients: int = 12
    participants: int = 12
    walkers: int = 12
    sessions: int = hospital.SESSIONS
    events: int = 17
    trials: int = lab.TRIALS
    walk_seconds: int = gait.SECONDS


def simulate(out: Path, *, seed: int = 0, size: Size | None = None, monitor: Monitor | None = None) -> None:
    """Write the corpus to `out` atomically, replacing an older simulated corpus.

    Args:
        out: The corpus folder: absent, empty, or a simulated corpus.
        seed: Random seed.
        size: Size of the corpus; default `Size()`.
        monitor: Receives the progress after each subject.

    Raises:
        CorpusError: If `out` holds other files or cannot be written.
    """
    if out.exists() and not _is_replaceable(out):
        raise CorpusError(
            "the folder is neither empty nor a simulated corpus",
            file=out,
            remedy="Choose another folder, or empty this one",
        )
    try:
        _write_atomically(out, seed, size or Size(), monitor or NullMonitor())
    except OSError as error:
        raise CorpusError(
            f"the simulated corpus cannot be written ({error.strerror})",
            file=out,
            remedy="Free disk space, or choose a writable folder",
        ) from error


def _write_atomically(out: Path, seed: int, size: Size, monitor: Monitor) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as temporary:
        temporary.mkdir()
        _write(temporary, seed, size, monitor)


def _is_replaceable(folder: Path) -> bool:
    """Whether the folder is empty or its marker file lists every file in it."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return folder.is_dir()
    try:
        listed = set(json.loads((folder / MARKER_FILE).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return set(_files(folder)) <= listed | {MARKER_FILE}


def _files(folder: Path) -> dict[str, Path]:
    """Return all files by path relative to the folder, sorted."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return dict(sorted(files.items()))


def _write(out: Path, seed: int, size: Size, monitor: Monitor) -> None:
    draw = _draw(seed)
    jobs = _jobs(out, size, draw)
    for done, job in enumerate(jobs, start=1):
        job()
        monitor.progress(done, len(jobs))
    for name in (hospital.NAME, lab.NAME, gait.NAME):
        files.write_text(out / name / MARKER_FILE, [json.dumps({"dataset": name, "generator": GENERATOR})])
    files.write_text(out / "README.md", _README.splitlines())
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _files(out).items()}
    marker = {"generator": GENERATOR, "seed": seed, "size": asdict(size), "files": sums}
    files.write_text(out / MARKER_FILE, [json.dumps(marker, sort_keys=True, indent=1)])


def _jobs(out: Path, size: Size, draw: Draw) -> list[Callable[[], None]]:
    clinic, film, walk = out / hospital.NAME, out / lab.NAME, out / gait.NAME
    return [
        *(
            lambda n=n: hospital.write(clinic, n, draw, sessions=size.sessions, blocks=size.events)
            for n in range(size.patients)
        ),
        *(lambda n=n: lab.write(film, n, draw, trials=size.trials) for n in range(size.participants)),
        *(lambda n=n: gait.write(walk, n, draw, seconds=size.walk_seconds) for n in range(size.walkers)),
        lambda: hospital.write_truncated(clinic, draw),
        lambda: gait.write_flat(walk, draw),
    ]


def _draw(seed: int) -> Draw:
    """Return a generator for each name, so that a recording does not change when others are added."""

    def draw(name: str) -> np.random.Generator:
        words = np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4")
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words.tolist()])))

    return draw
