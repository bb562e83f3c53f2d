"""MATLAB files as containers: version 5 (scipy) and 7.3 (HDF5). What their variables mean, each dataset says itself."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from labram.signals.readers.refusals import unreadable

_HDF5 = b"MATLAB 7.3"


def variables(path: Path, *names: str) -> dict[str, Any]:
    """Some variables of a file: matrices without axes of length 1, structures as dictionaries, cells as lists.

    Raises:
        ReadError: If it is no MATLAB file, damaged, or lacks one of the variables.
    """
    try:
        with path.open("rb") as file:
            hdf5 = file.read(len(_HDF5)) == _HDF5
        found = _hdf5(path, names) if hdf5 else scipy.io.loadmat(path, variable_names=list(names), simplify_cells=True)
        return {name: found[name] for name in names}
    except Exception as error:  # both libraries raise whatever their parsers meet
        raise unreadable(path, type(error).__name__) from None


def _hdf5(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: _value(file, file[name]) for name in names}


def _value(file: h5py.File, item: Any) -> Any:
    """MATLAB keeps its columns as HDF5's rows, text as numbers, and cells as references."""
    if isinstance(item, h5py.Group):
        return {name: _value(file, inner) for name, inner in item.items()}
    values = item[()]
    if item.dtype == h5py.ref_dtype:
        return [_value(file, file[reference]) for reference in values.T.ravel()]
    if item.attrs.get("MATLAB_class") == b"char":
        return "".join(map(chr, values.T.ravel()))
    return np.squeeze(values.T)[()]
