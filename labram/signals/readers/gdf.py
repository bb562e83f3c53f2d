"""GDF, the general data format for biosignals (arXiv cs/0608052). Event codes are its hexadecimal table, in decimal."""

from pathlib import Path

import mne

from labram.signals.readers.with_mne import open_raw, to_recording
from labram.signals.recording import Recording


def read(path: Path) -> Recording:
    """Read a GDF file.

    Raises:
        ReadError: If it cannot be read.
    """
    return to_recording(path, open_raw(path, mne.io.read_raw_gdf))
