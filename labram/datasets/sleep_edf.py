"""Sleep-EDF Database Expanded: whole nights with two derivations, sleep stages in separate hypnogram files."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mne

from labram.datasets.base import Dataset, LabelSpan, RecordingFile, invalid_labels
from labram.datasets.fetch import PhysioNet
from labram.errors import LabelError
from labram.signals.readers.with_mne import quiet
from labram.signals.recording import Recording

_STAGES = {
    "Sleep stage W": 0.0,
    "Sleep stage 1": 1.0,
    "Sleep stage 2": 2.0,
    "Sleep stage 3": 3.0,
    "Sleep stage 4": 3.0,
    "Sleep stage R": 4.0,
}
_APPROXIMATED_BY = {"EEG Fpz-Cz": "FPZ", "EEG Pz-Oz": "PZ"}


class SleepEdf(Dataset):
    """`sleep-cassette/SC4001E0-PSG.edf` and `sleep-telemetry/ST7011J0-PSG.edf`, stages in `SC4001EC-Hypnogram.edf`.

    The model's electrode table has no midline bipolar channels: Fpz-Cz is approximated by FPZ, Pz-Oz by PZ. The two
    nights of a subject share the first five characters of their names.

    Tested on a synthetic copy of its layout.
    """

    name = "sleep_edf"
    title = "Sleep-EDF Database Expanded"
    line_freq_hz = 50.0
    reference = "bipolar: Fpz-Cz, Pz-Oz"
    licence = "ODC-By 1.0"
    citation = "Kemp B, et al. IEEE TBME 2000;47:1185; Goldberger AL, et al. Circulation 2000;101:e215"
    obtain = "https://physionet.org/content/sleep-edfx/"
    download = PhysioNet("sleep-edfx", "1.0.0", subject=r"S[CT][47](\d\d)\d")
    layout = ("sleep-*/S*-PSG.edf", "S*-PSG.edf")
    file_name = re.compile(r"(?P<subject>S[CT][47]\d\d)(?P<session>\d[A-Z]\d)-PSG\.edf")
    tasks = {"sleep_stage": ("wake", "N1", "N2", "N3", "REM")}

    def eeg_files(self, folder: Path) -> list[Path]:
        """Return the EEG files without hypnograms, which have the same suffix."""
        return [path for path in super().eeg_files(folder) if not path.name.endswith("-Hypnogram.edf")]

    def sidecars(self, file: RecordingFile) -> list[Path]:
        """Return the hypnogram; its name has the scorer's code where the recording's name has the device's."""
        return sorted(file.path.parent.glob(f"{file.path.name[:7]}?-Hypnogram.edf"))

    def read(self, file: RecordingFile) -> Recording:
        """Read a recording and rename its derivations to the electrodes that approximate them."""
        recording = super().read(file)
        return replace(recording, channels=tuple(_APPROXIMATED_BY.get(name, name) for name in recording.channels))

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return spans of task `sleep_stage`. Stages 3 and 4 are N3; movement and unscored time have no label."""
        hypnograms = self.sidecars(file)
        if len(hypnograms) != 1:
            raise LabelError(
                f"expected one hypnogram beside the recording, got {len(hypnograms)}",
                file=file.path.name,
                remedy="Restore the dataset's original files",
            )
        return [
            LabelSpan("sleep_stage", start, min(seconds, recording.seconds - start), (_STAGES[stage],))
            for start, seconds, stage in _scored(hypnograms[0])
            if stage in _STAGES and start < recording.seconds
        ]


def _scored(path: Path) -> Iterator[tuple[float, float, str]]:
    try:
        with quiet():
            scored = mne.read_annotations(path)
    except Exception:  # as in the readers: MNE raises whatever its parsers meet
        raise invalid_labels(path) from None
    for start, seconds, stage in zip(scored.onset, scored.duration, scored.description, strict=True):
        yield float(start), float(seconds), str(stage)
