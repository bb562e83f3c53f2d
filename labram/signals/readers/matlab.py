"""MATLAB files of version 5 and 7.3 as containers. What their variables mean, each dataset says itself."""

from pathlib import Path
from typing import Any

import pymatreader

from labram.signals.readers.errors import unreadable
from labram.signals.readers.with_mne import quiet


def read_variables(path: Path, *names: str) -> dict[str, Any]:
    """Some variables of a file: matrices without axes of length 1, structures as dictionaries, cells as lists.

    Raises:
        ReadError: If it is no MATLAB file, damaged, or lacks one of the variables.
    """
    try:
        with quiet():
            found = pymatreader.read_mat(path, variable_names=list(names))
        return {name: found[name] for name in names}
    except Exception as error:  # the libraries below raise whatever their parsers meet
        raise unreadable(path, type(error).__name__) from None
