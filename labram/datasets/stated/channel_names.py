"""Channel names as a dataset file states them: the same in training and in use."""

from dataclasses import replace

from labram.datasets.stated.dataset_file import Channels
from labram.signals.cap_interpolation import interpolate_electrodes
from labram.signals.electrodes import canonical_names
from labram.signals.nearest_electrodes import nearest_electrodes
from labram.signals.recording import Recording

CHANNELS_STATED = "channels_stated"
"""Note of a recording with channels as its dataset file states."""
_MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_LEGACY = {modern: legacy for legacy, modern in _MODERN.items()}


def with_names(recording: Recording, stated: Channels) -> Recording:
    """Return the recording with the names of electrodes in place of its labels, as stated."""
    if stated == Channels():
        return recording
    labels = recording.channels
    names = [stated.rename.get(label.strip(), label) for label in recording.channels]
    if stated.nearest:
        nearest = nearest_electrodes(stated.nearest.montage, stated.nearest.within_mm)
        names = [nearest.get(name.strip(), name) for name in names]
    elif stated.interpolate:
        cap = stated.interpolate
        renamed = replace(recording, channels=tuple(names))
        recording = interpolate_electrodes(renamed, cap.montage, cap.electrodes, stated.drop)
        names = list(recording.channels)
    if stated.temporal_names != "recorded":
        table = _MODERN if stated.temporal_names == "modern" else _LEGACY
        known = canonical_names(names)
        names = [table.get(name or "", label) for name, label in zip(known, names, strict=True)]
    changed = () if tuple(names) == labels and not stated.interpolate else (CHANNELS_STATED,)
    return replace(recording, channels=tuple(names), notes=(*recording.notes, *changed))
