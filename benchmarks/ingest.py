"""Speed of filters and ingest compared with MNE's chain, and peak memory for a long recording.

    python benchmarks/ingest.py [--quick] [--json]

Runs in one process and one thread, with the environment variables of ingest's worker processes. Candidates take turns,
and the median processor time is reported, which depends little on background load. Memory is measured in a separate
process.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from labram.corpus.catalogue import ACCEPTED
from labram.corpus.ingest import ingest
from labram.corpus.process_pool import WORKER_ENVIRONMENT
from labram.corpus.process_recording import process_recording
from labram.corpus.scan import Item
from labram.datasets.base import Dataset, RecordingFile
from labram.events import NullMonitor
from labram.recipe import PreprocessingRecipe
from labram.signals.electrodes import CANONICAL
from labram.signals.preprocessing import BackEnd, preprocess
from labram.signals.recording import Recording, Samples
from labram.store.store import Store

GOALS = {"filters": 5.0, "ingest": 4.0}
MEMORY_GOAL_MIB = 1000 * 1000**2 / 1024**2
LINE_FREQ_HZ = 50.0
MEASURE_MEMORY = "--measure-memory-of"


@dataclass(frozen=True)
class Load:
    """Number, channels, sampling rate and minutes of recordings."""

    channels: int
    rate: int
    minutes: int
    recordings: int = 1

    def __str__(self) -> str:
        return f"{self.recordings} x {self.channels} channels, {self.rate} Hz, {self.minutes} min"

    @property
    def samples(self) -> int:
        """Samples of all channels of a recording."""
        return self.channels * self.rate * 60 * self.minutes

    def signal(self) -> "Synthetic":
        """Return the signal of one recording."""
        return Synthetic((self.channels, self.rate * 60 * self.minutes), self.rate)


LOADS = (Load(19, 256, 20, 2), Load(64, 512, 10), Load(64, 160, 2, 8), Load(32, 1000, 10))
"""Clinical routine recordings, a laboratory's cap, short runs, and a fast amplifier."""
QUICK_LOADS = (Load(16, 512, 5),)


@dataclass(frozen=True)
class Synthetic:
    """Signal generated on reading: noise with a falling spectrum, repeated every minute."""

    shape: tuple[int, int]
    rate: int

    def read(self, picks: Sequence[int], start: int, stop: int) -> Samples:
        """See `labram.signals.recording.Signal`."""
        minute = _minute(self.shape[0], self.rate)
        again: NDArray[np.float32] = np.take(minute[list(picks)], np.arange(start, stop) % minute.shape[1], axis=1)
        return again


class SyntheticDataset(Dataset):
    """Dataset without files, whose recordings are `Synthetic` signals of the load named as subject."""

    name = "synthetic"
    title = licence = citation = obtain = reference = "none"
    line_freq_hz = LINE_FREQ_HZ

    def recognises(self, folder: Path) -> bool:
        """Return False: there is no folder."""
        del folder
        return False

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield nothing."""
        del folder
        return iter(())

    def read(self, source: RecordingFile) -> Recording:
        """Return the recording of the load."""
        load = Load(*map(int, source.subject.split()))
        return Recording(load.signal(), CANONICAL[: load.channels], load.rate)


@cache
def _minute(channels: int, rate: int) -> NDArray[np.float32]:
    samples = 60 * rate
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal((channels, samples)))
    spectrum[:, 1:] /= np.sqrt(np.arange(1, spectrum.shape[1]))
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(20 * noise / noise.std(axis=1, keepdims=True), np.float32)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="shorter recordings: takes seconds instead of minutes")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each candidate (default: 5)")
    parser.add_argument(MEASURE_MEMORY, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_memory_of:
        print(json.dumps(_memory_here(options.measure_memory_of)))
        return
    loads = QUICK_LOADS if options.quick else LOADS
    facts: dict[str, object] = {"machine": _machine()}
    print(", ".join(f"{name} {value}" for name, value in _machine().items()))
    facts["filters"] = [_filters(load, options.repeats) for load in loads]
    facts["ingest"] = [_ingest(load, options.repeats) for load in loads]
    facts["memory"] = _memory(Load(64, 512, 60 if options.quick else 24 * 60))
    if options.json:
        print(json.dumps(facts))


def _filters(load: Load, repeats: int) -> Mapping[str, object]:
    """Measure band-pass, notch and resampling of signals in memory."""
    signal = load.signal()
    signals = np.asarray(signal.read(range(load.channels), 0, signal.shape[1]), np.float64)
    recording = Recording(signals, CANONICAL[: load.channels], load.rate)

    def fused() -> None:
        for _ in preprocess(recording, range(load.channels), line_freq_hz=LINE_FREQ_HZ):
            pass

    def chain() -> None:
        low_pass = 75.0 if load.rate > 150 else None
        clean = mne.filter.filter_data(signals, load.rate, 0.1, low_pass, verbose="ERROR")
        clean = mne.filter.notch_filter(clean, load.rate, LINE_FREQ_HZ, verbose="ERROR")
        mne.filter.resample(clean, up=200.0, down=load.rate, verbose="ERROR")

    return _report("filters", load, load.samples, _in_turn({"fused": fused, "MNE": chain}, repeats))


def _ingest(load: Load, repeats: int) -> Mapping[str, object]:
    """Measure the ingest of EDF files into an empty store: hash, read, filter, metrics, patches and catalogue."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "data"), Path(folder, "out")
        data.mkdir()
        for number in range(load.recordings):
            _write_edf(data / f"{number}.edf", load, number)

        def run(back_end: BackEnd) -> None:
            done = ingest(
                data,
                (),
                out / "tables",
                store=Store(out / "store"),
                preprocessing=PreprocessingRecipe(back_end=back_end),
                shard=0,
                shards=1,
                subject_key=b"key",
                monitor=NullMonitor(),
                workers=0,
            )
            assert (done.recordings, done.quarantined) == (load.recordings, 0)

        candidates: dict[str, Callable[[], None]] = {"fused": lambda: run("fused"), "MNE": lambda: run("reference")}
        times = _in_turn(candidates, repeats, after=lambda: shutil.rmtree(out))
        return _report("ingest", load, load.samples * load.recordings, times)


def _memory(load: Load) -> Mapping[str, object]:
    """Measure peak memory and time of the ingest of a long recording, including generation of the signal."""
    command = [sys.executable, __file__, MEASURE_MEMORY, f"{load.channels} {load.rate} {load.minutes}"]
    done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
    facts: dict[str, object] = json.loads(done.stdout)
    goal = "" if float(str(facts["peak_mib"])) < MEMORY_GOAL_MIB else ", NOT"
    print(f"memory   {load}: peak {facts['peak_mib']:.0f} MiB in {facts['seconds']:.0f} s{goal} below 1 GB")
    return {"load": str(load), **facts}


def _memory_here(name: str) -> Mapping[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        item = Item(SyntheticDataset(), Path(folder), RecordingFile("synthetic", Path(folder, "none.edf"), name))
        started = time.monotonic()
        found = process_recording(item, Store(Path(folder, "store")), "memory", PreprocessingRecipe())
        assert found["row"]["verdict"] == ACCEPTED
        seconds = time.monotonic() - started
    status = dict(
        line.split(":", maxsplit=1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    )
    return {"peak_mib": int(status["VmHWM"].split()[0]) / 1024, "seconds": seconds}


def _in_turn(
    candidates: Mapping[str, Callable[[], None]], repeats: int, after: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Return the processor seconds of each run without `after`, after one warm-up run per candidate."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(repeats + 1):
        for name, run in candidates.items():
            started = time.process_time()
            run()
            if turn:
                times[name].append(time.process_time() - started)
            after()
    return times


def _report(what: str, load: Load, samples: int, times: Mapping[str, Sequence[float]]) -> Mapping[str, object]:
    """Print and return medians per sample, their ratio, and the ratios of consecutive runs."""
    nanoseconds = {name: 1e9 * statistics.median(seconds) / samples for name, seconds in times.items()}
    ratio = nanoseconds["MNE"] / nanoseconds["fused"]
    ratios = [slow / fast for slow, fast in zip(times["MNE"], times["fused"], strict=True)]
    speeds = ", ".join(f"{name} {value:.1f} ns" for name, value in nanoseconds.items())
    print(
        f"{what:8} {load}: {speeds} per sample; {ratio:.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f}, "
        f"goal {GOALS[what]:.0f})",
        flush=True,
    )
    return {"load": str(load), "ns_a_sample": nanoseconds, "ratio": ratio, "ratios": ratios, "goal": GOALS[what]}


def _write_edf(path: Path, load: Load, number: int) -> None:
    import edfio

    signal = load.signal()
    edfio.Edf(
        [
            edfio.EdfSignal(
                (1 + number / 100) * signal.read([channel], 0, signal.shape[1])[0].astype(np.float64),
                load.rate,
                label=CANONICAL[channel],
                physical_dimension="uV",
            )
            for channel in range(load.channels)
        ]
    ).write(path)


def _machine() -> dict[str, str]:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    packages = {name: version(name) for name in ("mne", "numpy", "scipy")}
    return {"processor": model, "cores": str(os.cpu_count()), "python": platform.python_version(), **packages}


if __name__ == "__main__":
    if not os.environ.items() >= WORKER_ENVIRONMENT.items():  # libraries read them on import
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **WORKER_ENVIRONMENT})  # noqa: S606
    main()
