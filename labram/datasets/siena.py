"""Siena Scalp EEG Database: video-EEG of fourteen patients with epilepsy, seizures listed by clock time."""

import re
from pathlib import Path

from labram.datasets import seizures
from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile, invalid_labels, read_label_text
from labram.datasets.fetch import PhysioNet
from labram.signals.recording import Recording

_CLOCK = r"(\d{1,2})[.:](\d{2})[.:](\d{2})"
_FILE = re.compile(r"File name\s*:\s*(\S+)", re.IGNORECASE)
_TIME = re.compile(rf"(Registration|Seizure)\s+(start|end)\s+time\s*:\s*{_CLOCK}", re.IGNORECASE)
_DAY = 24 * 3600


class Siena(Dataset):
    """`PN00/PN00-1.edf`, with the patient's `Seizures-list-PN00.txt`; clock times may pass midnight.

    Some lists contain errors. A list that contradicts the recording (a seizure beyond its end or with negative
    duration), or that does not name it, yields a `LabelError`.

    Tested on a synthetic copy of its layout.
    """

    name = "siena"
    title = "Siena Scalp EEG Database"
    line_freq_hz = 50.0
    reference = "not stated"
    licence = "CC BY 4.0"
    citation = "Detti P, et al. Processes 2020;8(7):846; Goldberger AL, et al. Circulation 2000;101:e215"
    obtain = "https://physionet.org/content/siena-scalp-eeg/"
    download = PhysioNet("siena-scalp-eeg", "1.0.0", subject=r"^PN(\d+)/")
    layout = ("PN[0-9][0-9]/PN*.edf",)
    file_name = re.compile(r"(?P<subject>PN\d{2})-(?P<session>[\d.]+)\.edf")
    group = Group.PRETRAINING
    tasks = {seizures.TASK: seizures.CLASSES}

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the seizure list of the patient."""
        return [file.path.with_name(f"Seizures-list-{file.subject}.txt")]

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `seizure`, seizures and background."""
        (path,) = self.sidecars(file)
        try:
            return seizures.spans(_listed(read_label_text(path), file.path.name), recording.seconds)
        except (ValueError, KeyError):
            raise invalid_labels(path) from None


def _listed(text: str, name: str) -> list[tuple[float, float]]:
    """Return start and end of the seizures of one file, in seconds from its start."""
    clock: dict[str, int] = {}
    seizure_times, here = [], False
    for line in text.splitlines():
        if file := _FILE.search(line):
            here = file[1].lower() == name.lower()
        elif here and (time := _TIME.search(line)):
            hours, minutes, seconds = map(int, time.groups()[2:])
            clock[f"{time[1]} {time[2]}".lower()] = hours * 3600 + minutes * 60 + seconds
            if "seizure end" in clock:
                begin = clock["registration start"]
                start, stop = clock.pop("seizure start") - begin, clock.pop("seizure end") - begin
                seizure_times.append((float(start % _DAY), float(stop % _DAY)))
    if not clock:
        raise KeyError(name)
    return seizure_times
