"""Variables of MATLAB files, version 5 and 7.3; dataset adapters interpret them."""

from pathlib import Path
from typing import Any

import pymatreader

from labram.signals.readers.errors import unreadable
from labram.signals.readers.hdf5_links import require_self_contained
from labram.signals.readers.matlab_size import require_proportionate
from labram.signals.readers.with_mne import quiet


def read_variables(path: Path, *names: str) -> dict[str, Any]:
    """Read variables: matrices squeezed, structures as dictionaries, cells as lists.

    Raises:
        ReadError: If it is no MATLAB file, is damaged, lacks one of the variables, or refers to another file.
    """
    require_self_contained(path)
    require_proportionate(path)
    try:
        with quiet():
            content = pymatreader.read_mat(path, variable_names=list(names))
    except Exception as error:  # parsers raise arbitrary exceptions
        raise unreadable(path, type(error).__name__) from None
    for name in names:
        if name not in content:
            raise unreadable(path, f"no variable {name!r}")
    return {name: content[name] for name in names}
