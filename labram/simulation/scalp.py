"""Electrode positions on a flattened head, and the spread of sources over electrodes.

Coordinates are degrees on the azimuthal projection of the 10-20 system: CZ at (0, 0), nose upwards, ear at radius 90,
one step of 10 % is 18 degrees.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_STEP = 18.0
_CAP_RADIUS = 72.0
_ROWS = {"FP": 4, "AF": 3, "F": 2, "FT": 1, "FC": 1, "C": 0, "T": 0, "CP": -1, "TP": -1, "P": -2, "PO": -3, "O": -4}
_NAME = re.compile(r"([A-Z]+?)(Z|\d+)")
_OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_SPECIAL = {"FP1": (-22.0, 68.5), "FP2": (22.0, 68.5), "O1": (-22.0, -68.5), "O2": (22.0, -68.5)} | {
    "A1": (-90.0, 0.0),
    "A2": (90.0, 0.0),
    "T1": (-75.0, 27.0),
    "T2": (75.0, 27.0),
}


def position(name: str) -> tuple[float, float]:
    """Return the position of an electrode of the 10-10 system: degrees to the right, degrees to the front."""
    name = _OLD_NAMES.get(name, name)
    if name in _SPECIAL:
        return _SPECIAL[name]
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"unknown electrode {name!r}: expected a name of the 10-10 system")
    front = _ROWS[match[1]] * _STEP
    number = 0 if match[2] == "Z" else int(match[2])
    side = -1 if number % 2 else 1
    half_width = np.sqrt(max(_CAP_RADIUS**2 - front**2, _STEP**2))
    return side * ((number + 1) // 2) / 4 * float(half_width), front


def spread(montage: Sequence[str], centre: tuple[float, float], width: float) -> NDArray[np.float64]:
    """Return the topography of a source: a Gaussian of the distance in degrees from each electrode, [N]."""
    offsets = np.array([position(name) for name in montage]) - np.array(centre)
    return np.asarray(np.exp(-(offsets**2).sum(axis=1) / (2 * width**2)))


def mixing(montage: Sequence[str], width: float) -> NDArray[np.float64]:
    """Return volume conduction weights for one source below each electrode, rows of unit norm, [N, N]."""
    weights = np.stack([spread(montage, position(name), width) for name in montage], axis=1)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True))
