"""Channels that look like EEG and that the model does not know."""

import re
from collections.abc import Sequence

from labram.signals.electrodes import electrode_names, split_label

_OTHER_TABLE = """
EOG VEO HEO LEYE REYE LOC ROC EYE ECG EKG EMG CHIN TIB LEG GSR EDA RESP FLOW THOR ABD CHEST NASAL CPAP SNOR SPO2 SAO2
OSAT PULSE PLET PPG BPM TEMP ACC GYR MIC SOUND AUDIO AUX EXG MARK TRIG STATUS STIM EVENT ANNOT PHOTIC IBI BURST SUPPR
COUNTER BATT TIME SYNC GROUND GND BODY LIGHT QUALITY SAMPLE PACKET
"""
_OTHER = re.compile("|".join(_OTHER_TABLE.split()))
"""Words that occur in the labels of other channels than EEG."""
_OTHER_NAME = re.compile(r"|[XYZ]|ND|HR|STI ?\d*|DC ?\d+|EX ?\d+|CQ.*|[AM][12]|REF|G[12]")
_EYES = frozenset({"E1", "E2"})


def lost_channels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of one recording that look like EEG and are no electrode of the model.

    Every label counts that is not known to be something else (EOG, ECG, triggers, respiration, ears, the eyes E1 and
    E2 of a polysomnography). A second label of an electrode does not count (see `repeated_electrodes`).
    """
    electrodes = [split_label(label)[0] for label in labels]
    net = any(re.fullmatch(r"E0*(?:[3-9]|\d{2,3})", electrode) for electrode in electrodes)
    return tuple(
        label
        for label, electrode, name in zip(labels, electrodes, electrode_names(labels), strict=True)
        if name is None
        if not _OTHER.search(label.upper())
        if not _OTHER_NAME.fullmatch(electrode)
        if net or electrode not in _EYES
    )
