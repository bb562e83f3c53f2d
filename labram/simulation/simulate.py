"""The simulated corpus: three datasets that differ in montage, rate, unit and format, with labels for four tasks.

It shows that the machine works and never stands in for a result. The same seed gives the same bytes everywhere:
computed at double precision, rounded to the recorder's integers, random numbers by recording and not by order, fixed
dates, no clock, no locale. Two recordings are bad on purpose, one truncated and one flat, so that the quarantine is
seen to work.
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
"""Goes up when the same seed would give other bytes; `data.dvc` then changes with it."""

MARK = "simulated.json"
"""Name of the file that tells a simulated corpus, and each dataset of it, from real recordings. The corpus's own lists
every file with its SHA-256."""

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
    """How much is simulated; the default has about 53 minutes and 38 MB."""

    patients: int = 12
    participants: int = 12
    walkers: int = 12
    sessions: int = hospital.SESSIONS
    events: int = 17
    trials: int = lab.TRIALS
    walk_seconds: int = gait.SECONDS


def simulate(out: Path, *, seed: int = 0, size: Size | None = None, monitor: Monitor | None = None) -> None:
    """Write the corpus to `out`, all of it or nothing. An older simulated corpus there is replaced.

    Args:
        out: The corpus folder; it may not exist, or be empty, or be a simulated corpus.
        seed: Of all random numbers.
        size: How much; default `Size()`.
        monitor: Is told after each subject.

    Raises:
        CorpusError: If `out` holds something else, or cannot be written.
    """
    if out.exists() and not _ours(out):
        raise CorpusError(
            "the folder is not empty, and not a simulated corpus",
            file=out,
            remedy="Name another folder, or empty this one",
        )
    try:
        _make(out, seed, size or Size(), monitor or NullMonitor())
    except OSError as error:
        raise CorpusError(
            f"the simulated corpus cannot be written ({error.strerror})",
            file=out,
            remedy="Make room, or name a folder that may be written",
        ) from error


def _make(out: Path, seed: int, size: Size, monitor: Monitor) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as temporary:
        temporary.mkdir()
        _write(temporary, seed, size, monitor)


def _ours(folder: Path) -> bool:
    """Whether nothing would be lost with the folder: it is empty, or its own list names every file in it."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return folder.is_dir()
    try:
        listed = set(json.loads((folder / MARK).read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return set(_files(folder)) <= listed | {MARK}


def _files(folder: Path) -> dict[str, Path]:
    """By path relative to the folder, sorted."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    return dict(sorted(found.items()))


def _write(out: Path, seed: int, size: Size, monitor: Monitor) -> None:
    draw = _draw(seed)
    works = _works(out, size, draw)
    for done, work in enumerate(works, start=1):
        work()
        monitor.progress(done, len(works))
    for name in (hospital.NAME, lab.NAME, gait.NAME):
        files.write_text(out / name / MARK, [json.dumps({"dataset": name, "generator": GENERATOR})])
    files.write_text(out / "README.md", _README.splitlines())
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _files(out).items()}
    mark = {"generator": GENERATOR, "seed": seed, "size": asdict(size), "files": sums}
    files.write_text(out / MARK, [json.dumps(mark, sort_keys=True, indent=1)])


def _works(out: Path, size: Size, draw: Draw) -> list[Callable[[], None]]:
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
    """Random numbers by name: a recording stays as it is when others are added before it."""

    def draw(name: str) -> np.random.Generator:
        words = np.frombuffer(hashlib.sha256(name.encode()).digest(), "<u4")
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *words.tolist()])))

    return draw
