"""Electrodes of the model from a cap with other positions, by spherical splines (Perrin et al. 1989) as in MNE.

Positions are those of MNE's template montages, both on a sphere of one size.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from labram.errors import ReadError, Reason
from labram.signals.nearest_electrodes import MODEL_MONTAGE, sphere_positions
from labram.signals.recording import Recording

LEAST_CHANNELS = 8
"""Fewest channels of the cap from which electrodes are interpolated."""


def interpolate_electrodes(
    recording: Recording, montage: str, electrodes: Sequence[str], without: Sequence[str] = ()
) -> Recording:
    """Return the recording with some electrodes of the model in place of the channels of a cap.

    Args:
        recording: The recording; channels that are not the cap's are kept.
        montage: Name of the cap's montage in MNE.
        electrodes: Names of the electrodes.
        without: Labels of channels that are not used.

    Raises:
        ReadError: If it has fewer than eight channels of the cap.
        RecipeError: If MNE has no such montage.
    """
    known = {name.upper(): name for name in sphere_positions(montage)}
    labels = [label.strip().upper() for label in recording.channels]
    left_out = {label.strip().upper() for label in without}
    first = {label: index for index, label in reversed(list(enumerate(labels)))}
    used = [first[label] for label in dict.fromkeys(labels) if label in known and label not in left_out]
    if len(used) < LEAST_CHANNELS:
        raise ReadError(
            f"{len(used)} channels of the montage {montage}, of which {LEAST_CHANNELS} are needed",
            reason=Reason.NO_CANONICAL_CHANNELS,
            field="channels.interpolate.montage",
            remedy="State the montage of the cap, or rename its channels as that montage does",
        )
    kept = [index for index, label in enumerate(labels) if label not in known]
    weights = np.zeros((len(electrodes) + len(kept), len(labels)))
    weights[: len(electrodes), used] = spline_weights(
        tuple(known[labels[index]] for index in used), montage, tuple(electrodes)
    )
    weights[np.arange(len(electrodes), len(weights)), kept] = 1.0
    names = (*electrodes, *(recording.channels[index] for index in kept))
    return recording.mixed(weights.astype(np.float32), names)


@lru_cache(maxsize=256)
def spline_weights(labels: tuple[str, ...], montage: str, electrodes: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the matrix [electrodes, labels] by which MNE's splines make electrodes of the channels of a cap."""
    import mne

    def placed(names: Sequence[str], positions: dict[str, NDArray[np.float64]]) -> mne.channels.DigMontage:
        known = {name.upper(): points / 1000 for name, points in positions.items()}
        return mne.channels.make_dig_montage({name: known[name.upper()] for name in names}, coord_frame="head")

    info = mne.create_info(list(labels), sfreq=1.0, ch_types="eeg")
    raw = mne.io.RawArray(np.eye(len(labels)), info, verbose="error")
    raw.set_montage(placed(labels, sphere_positions(montage)), verbose="error")
    target = placed(electrodes, sphere_positions(MODEL_MONTAGE))
    done = raw.interpolate_to(target, origin=(0.0, 0.0, 0.0), method="spline")
    return np.asarray(done.get_data(picks=list(electrodes)))
