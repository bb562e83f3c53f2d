"""eNTERFACE'06 EMOBRAIN: pictures of three emotion categories, BioSemi EEG with fNIRS. For pre-training."""

import re
from dataclasses import replace

from labram.datasets.base import Dataset, Group, RecordingFile
from labram.datasets.biosemi import rename_inputs
from labram.signals.recording import Recording


class Emobrain(Dataset):
    """`Data/EEG/Part1_IAPS_SES1_EEG_fNIRS_03082006.bdf`; fNIRS sensors replace the forehead electrodes.

    Tested on a synthetic copy of its layout.
    """

    name = "emobrain"
    title = "eNTERFACE'06 EMOBRAIN"
    line_freq_hz = 50.0
    reference = "none (BioSemi CMS and DRL)"
    licence = "free for research, by the archive's terms"
    citation = "Savran A, et al. Emotion detection in the loop from brain signals and facial images. eNTERFACE 2006"
    obtain = "http://enterface.tel.fer.hr/docs/database_files/eNTERFACE06_EMOBRAIN.html"
    suffixes = frozenset({".bdf"})
    layout = ("Part*_IAPS_SES*.bdf", "EEG/Part*_IAPS_SES*.bdf", "Data/EEG/Part*_IAPS_SES*.bdf")
    file_name = re.compile(r"(?P<subject>Part\d+)_IAPS_(?P<session>SES\d+)_EEG_fNIRS_\d+\.bdf", re.IGNORECASE)
    group = Group.PRETRAINING

    def read(self, file: RecordingFile) -> Recording:
        """Read a recording and replace amplifier inputs by electrode names."""
        recording = super().read(file)
        return replace(recording, channels=rename_inputs(recording.channels))
