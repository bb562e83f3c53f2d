"""A labelled window as the published code pickles it, read without running code from the file."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.errors import CorpusError

_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}
_ALLOWED = {"ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer"}
_SIGNALS, _LABELS = ("X", "signal"), ("y", "label")


class _PlainUnpickler(pickle.Unpickler):  # noqa: S301 - it refuses whatever could run code
    """Reads NumPy arrays and plain values, and refuses everything else before it is called."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _MODULES and name in _ALLOWED:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 states bytes
            return _bytes_of
        raise pickle.UnpicklingError(f"{module}.{name}")


def _bytes_of(text: str, encoding: str) -> bytes:
    del encoding
    return text.encode("latin1")


def read_window(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return signals [channels, samples] and label of a pickled window, without running code from it.

    Raises:
        CorpusError: If it is damaged, or holds anything else than arrays and plain values.
    """
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file).load()
        signals = next(content[key] for key in _SIGNALS if key in content)
        label = next(content[key] for key in _LABELS if key in content)
        channels, samples = np.shape(signals)
        return np.asarray(signals, np.float32).reshape(channels, samples), float(np.ravel(label)[0])
    except pickle.UnpicklingError as error:
        problem = f"not a window of arrays and plain values ({error})"
    except Exception as error:  # a damaged pickle raises arbitrary exceptions
        problem = f"a damaged window, or one without signals and label ({type(error).__name__})"
    raise CorpusError(problem, file=path.name, remedy="Prepare it again, or remove it; no code of it was run") from None
