"""Channel names as a dataset file states them: the same in training and in use."""

from dataclasses import replace

from labram.datasets.stated.dataset_file import Channels
from labram.signals.electrodes import canonical_names
from labram.signals.nearest_electrodes import nearest_electrodes
from labram.signals.recording import Recording

_MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_LEGACY = {modern: legacy for legacy, modern in _MODERN.items()}


def with_names(recording: Recording, stated: Channels) -> Recording:
    """Return the recording with the names of electrodes in place of its labels, as stated."""
    if stated == Channels():
        return recording
    names = [stated.rename.get(label.strip(), label) for label in recording.channels]
    if stated.nearest:
        nearest = nearest_electrodes(stated.nearest.montage, stated.nearest.within_mm)
        names = [nearest.get(name.strip(), name) for name in names]
    if stated.temporal_names != "recorded":
        table = _MODERN if stated.temporal_names == "modern" else _LEGACY
        known = canonical_names(names)
        names = [table.get(name or "", label) for name, label in zip(known, names, strict=True)]
    return replace(recording, channels=tuple(names))
