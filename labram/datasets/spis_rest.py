"""SPIS Resting State: two and a half minutes with eyes closed and open, 64 BioSemi electrodes."""

import re

import numpy as np

from labram.datasets.base import Dataset, Group, LabelSpan, RecordingFile
from labram.datasets.biosemi import ELECTRODES
from labram.signals.readers import matlab
from labram.signals.readers.errors import unreadable
from labram.signals.recording import Recording

_SFREQ = 256.0
_EYES = {"EO": 0.0, "EC": 1.0}


class SpisRest(Dataset):
    """`Pre-SART EEG/S02_restingPre_EC.mat`: `dataRest` [68, samples], 64 electrodes in BioSemi's order, 3 EOG, trigger.

    Recorded at 2048 Hz, published at 256 Hz, in µV with the amplifier's DC offset.

    Tested on a synthetic copy of its layout.
    """

    name = "spis_rest"
    title = "SPIS Resting State Dataset"
    line_freq_hz = 50.0
    reference = "not stated (BioSemi CMS and DRL)"
    licence = "not stated"
    citation = "Torkamani-Azar M, et al. IEEE JBHI 2020;24:2550"
    obtain = "https://github.com/mastaneht/SPIS-Resting-State-Dataset"
    suffixes = frozenset({".mat"})
    layout = ("S*_restingPre_E?.mat", "*/S*_restingPre_E?.mat")
    file_name = re.compile(r"(?P<subject>S\d+)_restingPre_(?P<session>E[CO])\.mat")
    group = Group.PRETRAINING
    tasks = {"eyes": ("open", "closed")}

    def read(self, file: RecordingFile) -> Recording:
        """Read the 64 electrodes."""
        samples = np.asarray(matlab.read_variables(file.path, "dataRest")["dataRest"])
        if samples.ndim != 2 or len(samples) < len(ELECTRODES):
            raise unreadable(file.path, "dataRest must be a matrix with at least 64 rows")
        return Recording(samples[: len(ELECTRODES)].astype(np.float32), ELECTRODES, _SFREQ)

    def labels(self, file: RecordingFile, recording: Recording) -> list[LabelSpan]:
        """Return one span of task `eyes` over the whole recording: 0 open, 1 closed."""
        return [LabelSpan("eyes", 0.0, recording.seconds, (_EYES[file.session],))]
