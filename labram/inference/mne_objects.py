"""Signals of MNE objects: names, sampling rate, unit and line frequency are their own.

Letters: n windows, C channels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from labram.errors import WindowError
from labram.inference.signal_checks import real_array


class EegWindows(NamedTuple):
    """Signals with what a model needs to know of them.

    Attributes:
        signals: Windows [n, C, samples], or a recording [C, samples].
        channels: Channel labels [C].
        sfreq: Sampling rate in Hz.
        unit: Unit of the signals.
    """

    signals: npt.NDArray[Any]
    channels: Sequence[str]
    sfreq: float
    unit: str


def is_mne(x: object) -> bool:
    """Return whether an object is an MNE ``Raw``, ``Epochs`` or ``Evoked``, without importing MNE."""
    return hasattr(x, "info") and hasattr(x, "get_data") and hasattr(x, "ch_names")


def eeg_windows(x: Any, channels: Sequence[str] | None, sfreq: float | None, unit: str) -> EegWindows:
    """Return the signals of an MNE object, or an array with the settings that were passed.

    Args:
        x: MNE ``Raw`` or ``Epochs``, of which the good EEG channels are used, or an array.
        channels: Channel labels of an array.
        sfreq: Sampling rate of an array in Hz.
        unit: Unit of an array.

    Raises:
        WindowError: If an array has no channel labels or sampling rate, settings of an MNE object are passed again, or
            it has no EEG.
    """
    if not is_mne(x):
        return _from_array(x, channels, sfreq, unit)
    if channels is not None or sfreq not in (None, x.info["sfreq"]):
        raise WindowError(
            "channels and sampling rate of an MNE object are its own",
            field="channels, sfreq",
            remedy="Leave them out, or pass an array",
        )
    import mne

    picks = mne.pick_types(x.info, meg=False, eeg=True, exclude="bads")
    if not len(picks):
        raise WindowError(
            "the MNE object has no good EEG channel",
            field="channels",
            remedy="Set the channel types with set_channel_types, and check info['bads']",
        )
    signals = x.get_data(picks=picks)
    return EegWindows(real_array(signals), [x.ch_names[pick] for pick in picks], float(x.info["sfreq"]), "V")


def _from_array(x: Any, channels: Sequence[str] | None, sfreq: float | None, unit: str) -> EegWindows:
    if channels is None:
        raise WindowError(
            "an array has no channel names",
            field="channels",
            remedy="Pass channels=['FP1', 'FP2'], or an MNE Raw or Epochs object",
        )
    if sfreq is None:
        raise WindowError("an array has no sampling rate", field="sfreq", remedy="Pass sfreq= in Hz, or an MNE object")
    return EegWindows(real_array(x), channels, sfreq, unit)
