"""A labelled window as the published code pickles it, read without running code from the file.

NumPy's own constructors are not called: some make an array of any bytes, and of addresses in memory too. What a pickle
states of an array is kept by stand-ins, which read numbers and nothing else.
"""

import io
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labram.errors import CorpusError, ReadError
from labram.signals.readers.limits import read_bytes

_MODULES = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"}
_SIGNALS, _LABELS = ("X", "signal"), ("y", "label")
_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_REFUSED = pickle.UnpicklingError("its arrays are not of plain numbers")


class _Dtype:
    """Stands in for `numpy.dtype`: a type of numbers, and their byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if not (isinstance(code, str) and _NUMBERS.fullmatch(code)):
            raise _REFUSED
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for `numpy.ndarray`: the state that a pickle has of it."""

    values: NDArray[Any]

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        self.values = _numbers(content, dtype).reshape(shape, order="F" if fortran else "C")


def _numbers(content: Any, dtype: Any) -> NDArray[Any]:
    if not (isinstance(dtype, _Dtype) and isinstance(content, bytes | bytearray)):
        raise _REFUSED
    return np.frombuffer(content, dtype.dtype)


def _of_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    made.__setstate__((1, shape, dtype, order == "F", content))
    return made


def _bytes_of(text: str, encoding: str) -> bytes:
    del encoding
    return text.encode("latin1")


_STAND_INS = {
    "ndarray": _Array,
    "dtype": _Dtype,
    "_reconstruct": _Array,
    "scalar": lambda dtype, content: float(_numbers(content, dtype)[0]),
    "_frombuffer": _of_buffer,
}


class _PlainUnpickler(pickle._Unpickler):
    """Reads arrays of numbers and plain values, and refuses everything else before it is called."""

    dispatch = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        if module in _MODULES and name in _STAND_INS:
            return _STAND_INS[name]
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 states bytes
            return _bytes_of
        raise pickle.UnpicklingError(f"{module}.{name}")

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8  # type: ignore[assignment]


def read_window(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return signals [channels, samples] and label of a pickled window, without running code from it.

    Raises:
        CorpusError: If it is damaged, or holds anything else than arrays of numbers and plain values.
    """
    try:
        content = _PlainUnpickler(io.BytesIO(read_bytes(path))).load()
        signals = next(content[key] for key in _SIGNALS if key in content).values
        label = next(content[key] for key in _LABELS if key in content)
        channels, samples = signals.shape
        values = label.values if isinstance(label, _Array) else label
        return np.asarray(signals, np.float32).reshape(channels, samples), float(np.ravel(values)[0])
    except pickle.UnpicklingError as error:
        problem = f"not a window of arrays and plain values ({error})"
    except ReadError as error:
        problem = error.problem
    except Exception as error:  # a damaged pickle raises arbitrary exceptions
        problem = f"a damaged window, or one without signals and label ({type(error).__name__})"
    raise CorpusError(problem, file=path.name, remedy="Prepare it again, or remove it; no code of it was run") from None
