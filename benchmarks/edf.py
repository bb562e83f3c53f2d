"""Speed and memory of reading EDF and BDF in blocks, with labram, MNE and edfio.

    python benchmarks/edf.py [--hours 2] [--only labram,mne,edfio]

Writes a recording of 64 channels at 512 Hz with time-keeping annotations, reads all of it in blocks of 30 s in one
process per reader, and prints a Markdown table. The time includes opening the file, but not imports.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CHANNELS, SFREQ, BLOCK_SECONDS, ANNOTATION_BYTES = 64, 512, 30, 60


def write(path: Path, hours: float) -> None:
    """Write noise of half the full range, with one record per second."""
    width = 2 if path.suffix == ".edf" else 3
    most, signals, records = 2 ** (8 * width - 1) - 1, CHANNELS + 1, int(hours * 3600)
    kind = "EDF" if width == 2 else "BDF"
    fixed = (
        (b"0       " if width == 2 else b"\xffBIOSEMI")
        + b"X X X X".ljust(80)
        + b"Startdate X X X X".ljust(80)
        + b"01.01.0100.00.00"
        + f"{256 * (signals + 1):<8}{kind + '+C':<44}{records:<8}{1:<8}{signals:<4}".encode()
    )
    fields = [
        (16, [f"E{channel}" for channel in range(CHANNELS)], f"{kind} Annotations"),
        (80, [""] * CHANNELS, ""),
        (8, ["uV"] * CHANNELS, ""),
        (8, ["-3276"] * CHANNELS, "-1"),
        (8, ["3276"] * CHANNELS, "1"),
        (8, [str(-most)] * CHANNELS, str(-most)),
        (8, [str(most)] * CHANNELS, str(most)),
        (80, [""] * CHANNELS, ""),
        (8, [str(SFREQ)] * CHANNELS, str(ANNOTATION_BYTES // width)),
        (32, [""] * CHANNELS, ""),
    ]
    header = "".join(text.ljust(size) for size, texts, last in fields for text in (*texts, last))
    noise = np.random.default_rng(0).integers(-most // 2, most // 2, (16, CHANNELS * SFREQ), dtype="<i4")
    blocks = [row.view(np.uint8).reshape(-1, 4)[:, :width].tobytes() for row in noise]
    with path.open("wb") as file:
        file.write(fixed + header.encode())
        for record in range(records):
            file.write(blocks[record % len(blocks)])
            file.write(f"+{record}\x14\x14".encode().ljust(ANNOTATION_BYTES, b"\0"))


def read_with(reader: str, path: Path) -> float:
    """Open a file, read all of it, and return the seconds."""
    if reader == "labram":
        from labram.signals.readers import read

        start_time = time.perf_counter()
        recording = read(path)
        for start in range(0, recording.samples, BLOCK_SECONDS * SFREQ):
            recording.read(range(CHANNELS), start, min(start + BLOCK_SECONDS * SFREQ, recording.samples))
    elif reader == "mne":
        import mne

        opener = mne.io.read_raw_edf if path.suffix == ".edf" else mne.io.read_raw_bdf
        start_time = time.perf_counter()
        raw = opener(path, preload=False, verbose="ERROR")
        for start in range(0, raw.n_times, BLOCK_SECONDS * SFREQ):
            raw[:, start : start + BLOCK_SECONDS * SFREQ]
    else:
        import edfio

        start_time = time.perf_counter()
        file = edfio.read_edf(path) if path.suffix == ".edf" else edfio.read_bdf(path)
        for start in range(0, int(file.duration), BLOCK_SECONDS):
            stop = min(start + BLOCK_SECONDS, int(file.duration))
            np.stack([signal.get_data_slice(start, stop) for signal in file.signals])
    return time.perf_counter() - start_time


def main() -> None:
    """Write the files, read them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--only", default="labram,mne,edfio")
    parser.add_argument("--read", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        seconds = read_with(options.read[0], Path(options.read[1]))
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    print("| reader | file | seconds | samples/s | memory |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("edf", "bdf"):
            path = Path(folder, f"a.{suffix}")
            write(path, options.hours)
            for reader in options.only.split(","):
                done = subprocess.run(
                    [sys.executable, __file__, "--read", reader, str(path)],
                    capture_output=True,
                    encoding="utf-8",
                    check=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
                seconds, memory = map(float, done.stdout.split()[-2:])
                speed = CHANNELS * SFREQ * options.hours * 3600 / seconds / 1e6
                print(f"| {reader} | {suffix} | {seconds:.2f} | {speed:.0f} M | {memory:.0f} MB |")
            path.unlink()


if __name__ == "__main__":
    main()
