"""BioSemi's cap of 64 electrodes, in the order of the amplifier's inputs A1 to A32 and B1 to B32."""

from dataclasses import replace

from labram.datasets.base import Dataset, RecordingFile
from labram.signals.recording import Recording

_NAMES = """
Fp1 AF7 AF3 F1 F3 F5 F7 FT7 FC5 FC3 FC1 C1 C3 C5 T7 TP7 CP5 CP3 CP1 P1 P3 P5 P7 P9 PO7 PO3 O1 Iz Oz POz Pz CPz
Fpz Fp2 AF8 AF4 AFz Fz F2 F4 F6 F8 FT8 FC6 FC4 FC2 FCz Cz C2 C4 C6 T8 TP8 CP6 CP4 CP2 P2 P4 P6 P8 P10 PO8 PO4 O2
"""
ELECTRODES = tuple(_NAMES.split())
"""Electrode names of inputs A1 to A32 and B1 to B32."""
ELECTRODE_OF_INPUT = dict(zip((f"{bank}{number}" for bank in "AB" for number in range(1, 33)), ELECTRODES, strict=True))
"""Electrode name of each input, for files that label channels by input."""


def rename_inputs(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Replace inputs by electrode names if the recording labels channels by input (A3 and B1 are among them)."""
    return tuple(ELECTRODE_OF_INPUT.get(label, label) for label in labels) if {"A3", "B1"} <= set(labels) else labels


class BioSemiDataset(Dataset):
    """Dataset whose recordings may label channels by input."""

    reference = "none (BioSemi CMS and DRL)"
    suffixes = frozenset({".bdf"})

    def read(self, file: RecordingFile) -> Recording:
        """Read a recording and replace amplifier inputs by electrode names."""
        recording = super().read(file)
        return replace(recording, channels=rename_inputs(recording.channels))
