"""Speed of reading random windows from the patch store and from NumPy's memory-mapped files, on one core.

    OMP_NUM_THREADS=1 python benchmarks/store.py [--json]

Recordings of 64 channels are written once. Windows starting at any sample are then read in random order as float32, as
in training, from the page cache; MB/s count the stored float16 bytes. The store is compared with `.npy` files opened by
``np.load(mmap_mode="r")``: one with a row per channel, as recordings are usually stored, and one in the store's layout.
Readers take turns, and the median processor time is reported, which depends little on background load.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labram.input_spec import SAMPLE_RATE_HZ
from labram.store.store import Store

GOAL_MB_PER_S = 300
CHANNELS, SECONDS, RECORDINGS = 64, 600, 16
MONTAGE = tuple(f"E{number}" for number in range(CHANNELS))
ROUNDS, WINDOWS = 9, 150

Read = Callable[[int, int, int], NDArray[np.float32]]


def main() -> None:
    """Write recordings, read windows, and print MB/s."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as scratch:
        readers = _write_recordings(Path(scratch))
        speeds = {seconds: _speeds(readers, seconds) for seconds in (16, 4)}
    if arguments.json:
        print(json.dumps({"mb_per_s": speeds, "goal": GOAL_MB_PER_S}))
        return
    for seconds, by_name in speeds.items():
        for name, speed in by_name.items():
            print(f"{seconds:3d} s windows  {name:24s} {speed:7.0f} MB/s")
    slowest = min(by_name["store"] for by_name in speeds.values())
    print(f"goal of {GOAL_MB_PER_S} MB/s {'met' if slowest >= GOAL_MB_PER_S else 'missed'}: {slowest:.0f} MB/s")


def _write_recordings(folder: Path) -> dict[str, Read]:
    """Write the same recordings for every reader, and return the readers by name."""
    store, rng = Store(folder / "store"), np.random.default_rng(0)
    by_channel, by_patch = [], []
    for number in range(RECORDINGS):
        patches = rng.normal(0, 30, (SECONDS, CHANNELS, SAMPLE_RATE_HZ)).astype(np.float16)
        store.write(f"{number:032d}", patches, MONTAGE)
        np.save(folder / f"{number}-channels.npy", patches.transpose(1, 0, 2).reshape(CHANNELS, -1))
        np.save(folder / f"{number}-patches.npy", patches)
        by_channel.append(np.load(folder / f"{number}-channels.npy", mmap_mode="r"))
        by_patch.append(np.load(folder / f"{number}-patches.npy", mmap_mode="r"))

    def read_channels(number: int, start: int, seconds: int) -> NDArray[np.float32]:
        window = by_channel[number][:, start : start + seconds * SAMPLE_RATE_HZ]
        return np.asarray(window, np.float32).reshape(CHANNELS, seconds, SAMPLE_RATE_HZ)

    def read_patches(number: int, start: int, seconds: int) -> NDArray[np.float32]:
        first, shift = divmod(start, SAMPLE_RATE_HZ)
        rows = by_patch[number][first : first + seconds + 1].transpose(1, 0, 2).reshape(CHANNELS, -1)
        window = rows[:, shift : shift + seconds * SAMPLE_RATE_HZ]
        return np.asarray(window, np.float32).reshape(CHANNELS, seconds, SAMPLE_RATE_HZ)

    return {
        "store": lambda number, start, seconds: store.read(f"{number:032d}", start, seconds),
        "np.load, row per channel": read_channels,
        "np.load, row per second": read_patches,
    }


def _speeds(readers: dict[str, Read], seconds: int) -> dict[str, float]:
    """Return the median MB/s of each reader on the same windows, and check that all read the same values."""
    rng = np.random.default_rng(seconds)
    size = CHANNELS * seconds * SAMPLE_RATE_HZ * np.dtype(np.float16).itemsize
    durations: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(ROUNDS):
        numbers = rng.integers(RECORDINGS, size=WINDOWS)
        starts = rng.integers((SECONDS - seconds - 1) * SAMPLE_RATE_HZ, size=WINDOWS)
        windows = list(zip(numbers.tolist(), starts.tolist(), strict=True))
        first, *others = (read(*windows[0], seconds) for read in readers.values())
        assert all(np.array_equal(first, other) for other in others)
        for name, read in readers.items():
            start_time = time.process_time()
            for number, start in windows:
                read(number, start, seconds)
            durations[name].append(time.process_time() - start_time)
    return {name: size * WINDOWS / statistics.median(times) / 1e6 for name, times in durations.items()}


if __name__ == "__main__":
    main()
