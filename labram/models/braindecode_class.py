"""Import of a class of `braindecode.models`, with which a model of ours is compared, if braindecode is installed."""

import sys
import warnings
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

from torch import nn

_TORCHAUDIO = ("torchaudio", "torchaudio.functional", "torchaudio.transforms")


def braindecode_class(class_name: str = "Labram") -> type[nn.Module] | None:
    """Return the class of that name, or None if braindecode is not installed.

    braindecode imports torchaudio for other models. PyPI's torchaudio is built for CUDA and does not load with a CPU
    build of PyTorch; a stub then replaces it while braindecode is imported.
    """
    stubs = () if _loads("torchaudio") else _TORCHAUDIO
    sys.modules.update({name: _Stub(name) for name in stubs})
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # deprecations in other packages; MNE prints them
            import braindecode.models as theirs
    except ImportError:
        return None
    finally:
        for name in stubs:
            del sys.modules[name]
    return getattr(theirs, class_name)  # type: ignore[no-any-return]


class _Stub(ModuleType):
    """Module with a placeholder for every attribute."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or type(name, (), {})


def _loads(name: str) -> bool:
    try:
        __import__(name)
    except (ImportError, OSError):
        return False
    return True
