"""MoBI: walking on a treadmill with 60 electrodes and joint angles, with and without a brain-computer interface."""

import re
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile, invalid_labels
from labram.errors import ReadError
from labram.signals.readers import table
from labram.signals.readers.errors import unreadable
from labram.signals.readers.limits import read_bytes
from labram.signals.readers.time_stamps import longest_gap
from labram.signals.recording import Recording

_NAMES, _ANGLES = "impedances-before.txt", "joints.txt"
_CHANNELS = 64
_MOVED = {"T7": "FCz", "T8": "AFz", "TP9": "VEOU", "TP10": "VEOL", "FT9": "HEOL", "FT10": "HEOR"}
"""Electrodes that the experimenters moved; four of them record eye movements."""
_FULL_ANGLE = 90.0
"""Degrees by which the paper divides the angles."""
WINDOW_SECONDS, STRIDE_SECONDS = 2.0, 0.05
_FOLDER_NAME = re.compile(r"(?P<subject>SL\d+)-(?P<session>T\d+)")


class Mobi(Dataset):
    """`SL01-T01/eeg.txt`: ``64 channels``, then lines of time and 64 values, tab separated.

    Channel names are in `impedances-before.txt`. Targets are in `joints.txt`, on the same clock: two header lines, then
    time and twelve angles in degrees, six measured (G), six predicted by the interface (P): hip, knee, ankle, right and
    left. The paper trains on the first ten minutes of each session and tests on its last minutes. Here splits are by
    subject, so results are not comparable.

    Tested on a synthetic copy of its layout.
    """

    name = "mobi"
    title = "MoBI: treadmill walking with a brain-computer interface"
    line_freq_hz = 60.0
    reference = "not stated"
    licence = "as its archive states"
    citation = "He Y, et al. Sci Data 2018;5:180074"
    obtain = "the archive that the article cites: https://doi.org/10.1038/sdata.2018.74"
    group = Group.FINETUNING
    suffixes = frozenset({".txt"})
    layout = ("SL*-T*/eeg.txt",)
    file_name = re.compile(r"eeg\.txt")
    tasks = {"gait": ("GHR", "GKR", "GAR", "GHL", "GKL", "GAL", "PHR", "PKR", "PAR", "PHL", "PKL", "PAL")}
    regressions = frozenset({"gait"})

    def recordings(self, folder: Path) -> Iterator[RecordingFile]:
        """Yield every `eeg.txt`; subject and session come from the folder name."""
        for file in super().recordings(folder):
            match = _FOLDER_NAME.match(file.path.parent.name)
            if match:
                file = replace(file, subject=match["subject"], session=match["session"], subject_source="adapter")
            yield file

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the file of joint angles."""
        return [file.path.with_name(_ANGLES)]

    def read(self, file: RecordingFile) -> Recording:
        """Read a table with a column for each electrode, in µV; the time stamps determine the sampling rate."""
        names = _names(file.path.with_name(_NAMES))
        _, (seconds, *samples) = table.read_columns(
            file.path, range(1 + _CHANNELS), separator="\t", skip=1, header=False
        )
        steps = np.diff(seconds.astype(np.float64))
        steps = steps[np.isfinite(steps)]
        step = float(np.median(steps)) if len(steps) else 0.0
        if not step > 0:
            raise unreadable(file.path, "time stamps do not increase")
        sfreq = round(1 / step, 1)
        return Recording(np.stack(samples), names, sfreq, gap_seconds=longest_gap(seconds, sfreq))

    def read_version(self, file: RecordingFile) -> str:
        """Return a version that changes with the channel names too."""
        try:
            names = sha256(read_bytes(file.path.with_name(_NAMES))).hexdigest()
        except (OSError, ReadError):
            names = ""
        return f"{super().read_version(file)} {names}"

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `gait`: windows of 2 s every 50 ms, labelled with twelve angles divided by 90 degrees.

        The angles are those at the end of the window; the paper does not state which moment it uses.
        """
        path = file.path.with_name(_ANGLES)
        targets = len(self.tasks["gait"])
        try:
            _, angles = table.read_columns(path, range(1, 1 + targets), separator="\t", skip=2, header=False)
        except (OSError, ReadError):
            raise invalid_labels(path) from None
        if angles.shape[1] != recording.samples:
            raise invalid_labels(path)
        count = int((recording.seconds - WINDOW_SECONDS) / STRIDE_SECONDS) + 1
        starts = STRIDE_SECONDS * np.arange(max(count, 0))
        ends = np.round((starts + WINDOW_SECONDS) * recording.sfreq).astype(int) - 1
        values = np.round(angles[:, ends].T.astype(np.float64) / _FULL_ANGLE, 6)
        return [
            LabelSpan(
                "gait",
                round(float(start), 2),
                WINDOW_SECONDS,
                tuple(value.tolist()),
                "" if np.isfinite(value).all() else "angle_missing",
            )
            for start, value in zip(starts, values, strict=True)
        ]


def _names(path: Path) -> tuple[str, ...]:
    """Return the electrode of each channel, after the experimenters' moves.

    Rows are ``PhysChn  Name  LabelSet  Impedance``, tab separated, below the amplifier's settings.
    """
    try:
        rows = [[cell.strip() for cell in line.split("\t")] for line in read_bytes(path).decode("latin1").splitlines()]
    except OSError:
        raise unreadable(path, "the file with channel names is missing") from None
    names = [row[1] for row in rows if len(row) >= 4 and row[0].isdigit()][:_CHANNELS]
    if len(names) != _CHANNELS:
        raise unreadable(path, f"expected {_CHANNELS} channel names")
    return tuple(_MOVED.get(name, name) for name in names)
