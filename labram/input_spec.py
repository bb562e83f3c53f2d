"""What every model expects of its input: patches of one second at 200 Hz, in units of 100 µV (paper, section 3.1)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 200
PATCH_SAMPLES = SAMPLE_RATE_HZ
"""A patch is one second of one channel."""
MAX_SECONDS = 16
"""Longest window: rows of the temporal table."""
MAX_PATCHES = 256
"""Most patches in a window: channels times seconds."""
SCALE_UV = 100.0
"""The models' unit."""


def to_model_unit(signals: "NDArray[np.floating]", out: "NDArray[np.float32] | None" = None) -> "NDArray[np.float32]":
    """Scale signals from µV to units of 100 µV.

    Args:
        signals: µV, any shape.
        out: Array of that shape to write to, which may be `signals` itself.

    Returns:
        float32, the same shape.
    """
    import numpy as np  # here, so that recipes and the command line load without it

    scaled: NDArray[np.float32] = np.divide(signals, np.float32(SCALE_UV), out=out, dtype=np.float32)
    return scaled
