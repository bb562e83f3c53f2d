"""Brain Invaders 2015a: a P300 brain-computer interface game, 32 electrodes, target and non-target flashes."""

import re

import numpy as np

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile
from labram.datasets.fetch import Zenodo
from labram.signals.readers import matlab, table
from labram.signals.readers.errors import unreadable
from labram.signals.readers.time_stamps import longest_gap
from labram.signals.recording import Event, Recording

_SFREQ = 512.0
_NAMES = """
Fp1 Fp2 AFz F7 F3 F4 F8 FC5 FC1 FC2 FC6 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 PO7 O1 Oz O2 PO8 PO9 PO10
"""
_ELECTRODES = tuple(_NAMES.split())
_COLUMNS = 1 + len(_ELECTRODES) + 2
SECONDS = 1.0
"""Epoch length after a flash; it contains the P300."""


class Bi2015a(Dataset):
    """`subject_01_session_01.csv` without a header, or `.mat` with `DATA`: time, 32 electrodes, flash, target; in µV.

    Resting recordings (such as `subject_01_closing_before.csv`) have no flashes.

    Tested on a synthetic copy of its layout.
    """

    name = "bi2015a"
    title = "Brain Invaders 2015a: Target Versus Non-Target"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "as Zenodo states"
    citation = "Korczowski L, et al. Brain Invaders bi2015a. GIPSA-lab, 2019"
    obtain = "https://doi.org/10.5281/zenodo.3266930"
    download = Zenodo("3266930", subject=r"subject_(\d+)", wanted=r"^subject_\d+_mat\.zip$")
    suffixes = frozenset({".csv", ".mat"})
    layout = ("subject_*_session_*.*", "*/subject_*_session_*.*")
    file_name = re.compile(r"subject_(?P<subject>\d+)_(?P<session>(?:session|opening|closing|fixing)_\w+)\.(?:csv|mat)")
    group = Group.PRETRAINING
    tasks = {"p300": ("non-target", "target")}
    event_codes = frozenset({"target", "non-target"})

    def read(self, file: RecordingFile) -> Recording:
        """Read the electrodes; each flash becomes an event, `target` or `non-target`."""
        if file.path.suffix == ".mat":
            rows = np.asarray(matlab.read_variables(file.path, "DATA")["DATA"], np.float32).T
        else:
            _, rows = table.read_columns(file.path, range(_COLUMNS), header=False)
        if rows.ndim != 2 or len(rows) != _COLUMNS:
            raise unreadable(file.path, f"expected {_COLUMNS} columns")
        flash, target = rows[-2], rows[-1]
        begins = np.flatnonzero(np.diff(flash > 0, prepend=False) & (flash > 0))
        events = (Event(int(at) / _SFREQ, 0.0, "target" if target[at] > 0 else "non-target") for at in begins)
        return Recording(rows[1:-2], _ELECTRODES, _SFREQ, tuple(events), longest_gap(rows[0], _SFREQ))

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `p300`: one second from each flash."""
        del file
        return [LabelSpan("p300", event.onset, SECONDS, (float(event.code == "target"),)) for event in recording.events]
