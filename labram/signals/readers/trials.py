"""Trials and plain arrays: NumPy, MATLAB and HDF5 files whose layout is stated elsewhere; epochs of MNE and EEGLAB.

Trials stay separate: `Recording.trial_samples` is their length, and nothing is filtered or windowed across them.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import mne
import numpy as np
from numpy.typing import NDArray

from labram.checksums import require_regular
from labram.errors import ReadError, Reason
from labram.signals.readers import matlab
from labram.signals.readers.errors import too_large, unreadable
from labram.signals.readers.hdf5_links import require_self_contained
from labram.signals.readers.limits import is_sparse, unpacked_limit
from labram.signals.readers.with_mne import quiet
from labram.signals.recording import Event, Recording

Axis = Literal["trials", "channels", "samples"]
ARRAYS = frozenset({".npy", ".npz", ".mat", ".h5", ".hdf5"})
EPOCHS = frozenset({".fif", ".set"})
_VOLT_TO_UV = 1e6


@dataclass(frozen=True)
class ArrayLayout:
    """What an array file does not state.

    Attributes:
        variable: Name of the variable or HDF5 dataset; empty for `.npy`.
        axes: Meaning of each axis, in order.
        sfreq: Sampling rate in Hz.
        microvolts: Value of a unit in µV.
        channels: Channel names.
        filtered: Whether the signals have been filtered.
        pad: How a trial of less than a second is extended to one; None: it is an error.
    """

    variable: str
    axes: tuple[Axis, ...]
    sfreq: float
    microvolts: float
    channels: tuple[str, ...]
    filtered: bool = False
    pad: Literal["zeros", "reflect"] | None = None


def read_trials(path: Path, layout: ArrayLayout | None, trials: Sequence[int] | None, expected: int = 0) -> Recording:
    """Read the trials of a file as one recording; trials of less than a second are an error or padded.

    Args:
        path: The file.
        layout: Layout of an array; None: epochs of MNE or EEGLAB, which state it.
        trials: Indices of the trials to keep, in order; None: all.
        expected: Number of trials that a table states; 0: none.

    Raises:
        ReadError: If the file cannot be read, or contradicts its layout.
    """
    if layout is None:
        data_NCT, channels, sfreq, codes = _read_epochs(path)
    else:
        data_NCT, channels, sfreq, codes = _read_layout(path, layout), layout.channels, layout.sfreq, ()
    if expected and len(data_NCT) != expected:
        problem = f"the table has {expected} rows, the file {len(data_NCT)} trials"
        raise _contradiction(path, problem, "Write one row per trial, in the order of the file")
    kept = range(len(data_NCT)) if trials is None else trials
    data_NCT = data_NCT[list(kept)]
    data_NCT = _long_enough(path, data_NCT, sfreq, layout.pad if layout else None)
    length = data_NCT.shape[2]
    events = tuple(
        Event(position * length / sfreq, length / sfreq, codes[index]) for position, index in enumerate(kept) if codes
    )
    joined = np.ascontiguousarray(data_NCT.transpose(1, 0, 2)).reshape(len(channels), -1)
    return Recording(
        joined,
        tuple(channels),
        sfreq,
        events,
        gap_seconds=0.0,
        unit="µV",
        trial_samples=length if layout is None or "trials" in layout.axes else 0,
        filtered=layout.filtered if layout else False,
    )


def read_array(path: Path, variable: str) -> NDArray[Any]:
    """Return a variable of a NumPy, MATLAB or HDF5 file.

    Raises:
        ReadError: If the file cannot be read, lacks the variable, or holds Python objects.
    """
    try:
        require_regular(path)
        if is_sparse(path):
            raise too_large(path, "next to nothing of it was ever written")
        match path.suffix.lower():
            case ".npy":
                return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
            case ".npz":
                return _read_npz(path, variable)
            case ".mat":
                return np.asarray(matlab.read_variables(path, variable)[variable])
            case ".h5" | ".hdf5":
                require_self_contained(path)
                with h5py.File(path, "r") as file:
                    if isinstance(file[variable], h5py.Dataset) and file[variable].nbytes > unpacked_limit(path):
                        raise too_large(path, "it unpacks to far more than its size")
                    return np.asarray(file[variable][()])
    except KeyError:
        raise unreadable(path, f"no variable {variable!r}") from None
    except (OSError, ValueError, TypeError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise unreadable(path, type(error).__name__) from None
    raise unreadable(path, f"an array in {path.suffix or 'a file without suffix'}")


def require_proportionate(path: Path) -> None:
    """Check that the arrays of a `.npz` file do not unpack to far more than its size.

    Raises:
        ReadError: DAMAGED.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > unpacked_limit(path):
            raise too_large(path, "it unpacks to far more than its size")


def _read_npz(path: Path, variable: str) -> NDArray[Any]:
    require_proportionate(path)
    with np.load(path, allow_pickle=False) as archive:
        return np.asarray(archive[variable])


def _read_layout(path: Path, layout: ArrayLayout) -> NDArray[np.float32]:
    """Return trials [N, C, T] in µV; a continuous array is one trial."""
    data = read_array(path, layout.variable)
    if data.ndim == len(layout.axes) - 1 and "trials" in layout.axes:  # MATLAB files lose an axis of length one
        data = np.expand_dims(data, layout.axes.index("trials"))
    if data.ndim != len(layout.axes) or not np.issubdtype(data.dtype, np.number) or np.iscomplexobj(data):
        raise _contradiction(
            path,
            f"expected numbers with {len(layout.axes)} axes ({', '.join(layout.axes)}), got shape {data.shape}",
            "State its axes in order",
        )
    at, count = layout.axes.index("channels"), len(layout.channels)
    if data.shape[at] != count:
        others = [number for number, size in enumerate(data.shape) if size == count]
        problem = f"{count} channels are stated, but axis {at + 1} of the shape {data.shape} is said to be the channels"
        remedy = f"State the axes in another order: axis {others[0] + 1} has that length" if others else ""
        raise _contradiction(path, problem, remedy or "State all channels")
    if "trials" not in layout.axes:
        data = data[None]
        axes: tuple[Axis, ...] = ("trials", *layout.axes)
    else:
        axes = layout.axes
    ordered = data.transpose([axes.index(axis) for axis in ("trials", "channels", "samples")])
    return np.asarray(ordered, np.float32) * np.float32(layout.microvolts)


def _read_epochs(path: Path) -> tuple[NDArray[np.float32], tuple[str, ...], float, tuple[str, ...]]:
    """Return trials [N, C, T] in µV, channels, sampling rate and the name of each trial's event."""
    try:
        with quiet():
            if path.suffix.lower() == ".set":
                require_self_contained(path)
                epochs = mne.read_epochs_eeglab(path, verbose="CRITICAL")
            else:
                epochs = mne.read_epochs(path, preload=True, verbose="CRITICAL")
            epochs.pick("eeg", exclude="bads")
            names = {code: name for name, code in epochs.event_id.items()}
            codes = tuple(names.get(int(code), str(code)) for code in epochs.events[:, 2])
            data = np.asarray(epochs.get_data(copy=False) * _VOLT_TO_UV, np.float32)
            return data, tuple(epochs.ch_names), float(epochs.info["sfreq"]), codes
    except Exception as error:  # MNE's parsers raise arbitrary exceptions
        raise unreadable(path, type(error).__name__) from None


def _long_enough(
    path: Path, data_NCT: NDArray[np.float32], sfreq: float, pad: Literal["zeros", "reflect"] | None
) -> NDArray[np.float32]:
    missing = int(np.ceil(sfreq)) - data_NCT.shape[2]
    if missing <= 0:
        return data_NCT
    if pad is None or not data_NCT.shape[2]:
        raise ReadError(
            f"trials of {data_NCT.shape[2] / sfreq:.2f} s are shorter than a patch of one second",
            reason=Reason.TOO_SHORT,
            file=path.name,
            remedy="State trials.pad (zeros or reflect) in dataset.yaml, or cut longer trials",
        )
    mode = "constant" if pad == "zeros" else "reflect"
    return np.pad(data_NCT, ((0, 0), (0, 0), (0, missing)), mode)  # type: ignore[call-overload, no-any-return]


def _contradiction(path: Path, problem: str, remedy: str) -> ReadError:
    return ReadError(problem, reason=Reason.UNREADABLE, file=path.name, field="trials in dataset.yaml", remedy=remedy)
