"""eNTERFACE'06 EMOBRAIN: pictures of three emotion categories, BioSemi EEG with fNIRS. For pre-training."""

import re

from labram.datasets.base import Group
from labram.datasets.biosemi import BioSemiDataset


class Emobrain(BioSemiDataset):
    """`Data/EEG/Part1_IAPS_SES1_EEG_fNIRS_03082006.bdf`; fNIRS sensors replace the forehead electrodes.

    Tested on a synthetic copy of its layout.
    """

    name = "emobrain"
    title = "eNTERFACE'06 EMOBRAIN"
    line_freq_hz = 50.0
    licence = "free for research, by the archive's terms"
    citation = "Savran A, et al. Emotion detection in the loop from brain signals and facial images. eNTERFACE 2006"
    obtain = "http://enterface.tel.fer.hr/docs/database_files/eNTERFACE06_EMOBRAIN.html"
    layout = ("Part*_IAPS_SES*.bdf", "EEG/Part*_IAPS_SES*.bdf", "Data/EEG/Part*_IAPS_SES*.bdf")
    file_name = re.compile(r"(?P<subject>Part\d+)_IAPS_(?P<session>SES\d+)_EEG_fNIRS_\d+\.bdf", re.IGNORECASE)
    group = Group.PRETRAINING
