"""The nearest electrode of the model for each electrode of a cap with its own names, such as E1 to E128 of EGI.

Positions are those of MNE's template montages, both on a sphere of one size.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from labram.errors import RecipeError
from labram.signals.electrodes import CANONICAL

MODEL_MONTAGE = "colin27_1005"
_HEAD_MM = 95.0
_SUFFIX = "-"
"""In names of derivations, which have no position."""


@cache
def nearest_electrodes(montage: str, within_mm: float) -> dict[str, str]:
    """Return the electrode of the model for each label of a cap; each electrode is used once, by the nearest label.

    Args:
        montage: Name of the cap's montage in MNE, such as ``GSN-HydroCel-128`` or ``easycap-M10``.
        within_mm: Largest distance on the head, in mm. Labels without an electrode that near have none.

    Raises:
        RecipeError: If MNE has no such montage.
    """
    cap, model = sphere_positions(montage), sphere_positions(MODEL_MONTAGE)
    labels, names = list(cap), {name.upper(): name for name in model}
    wanted = [name for name in CANONICAL if _SUFFIX not in name and name.upper() in names]
    here, there = np.array(list(cap.values())), np.array([model[names[name.upper()]] for name in wanted])
    distances = np.linalg.norm(here[:, None] - there[None], axis=2)
    found: dict[str, str] = {}
    while distances.size and distances.min() <= within_mm:
        row, column = np.unravel_index(int(distances.argmin()), distances.shape)
        found[labels[int(row)]] = wanted[int(column)]
        distances[row], distances[:, column] = np.inf, np.inf
    return found


@cache
def sphere_positions(montage: str) -> dict[str, NDArray[np.float64]]:
    """Return the position of each label of one of MNE's montages: x, y, z in mm on a sphere around the centre.

    Raises:
        RecipeError: If MNE has no such montage.
    """
    import mne

    try:
        positions = mne.channels.make_standard_montage(montage).get_positions()["ch_pos"]
    except ValueError:
        raise RecipeError(
            f"MNE has no montage {montage!r}",
            field="channels",
            remedy=f"Choose one of: {', '.join(mne.channels.get_builtin_montages())}",
        ) from None
    points = np.array(list(positions.values()))
    centred = points - _centre(points)
    return dict(zip(positions, centred / np.linalg.norm(centred, axis=1, keepdims=True) * _HEAD_MM, strict=True))


def _centre(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the centre of the sphere that fits best."""
    design = np.c_[2 * points, np.ones(len(points))]
    solution = np.linalg.lstsq(design, (points**2).sum(axis=1), rcond=None)[0]
    return np.asarray(solution[:3])
