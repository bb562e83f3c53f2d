"""The class `braindecode.models.Labram` itself, where it is installed: what ours is compared with."""

import sys
import warnings
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any

from torch import nn

_TORCHAUDIO = ("torchaudio", "torchaudio.functional", "torchaudio.transforms")


def braindecode_class() -> type[nn.Module] | None:
    """The class, or None where braindecode is not installed.

    braindecode imports torchaudio for other models than this. On package indexes torchaudio is built for CUDA and does
    not load beside a CPU build of PyTorch; then an empty stand-in takes its place while braindecode is imported.
    """
    stand_ins = () if _loads("torchaudio") else _TORCHAUDIO
    sys.modules.update({name: _StandIn(name) for name in stand_ins})
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")  # other packages' deprecations, on import; MNE prints them
            from braindecode.models import Labram
    except ImportError:
        return None
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return Labram  # type: ignore[no-any-return]


class _StandIn(ModuleType):
    """A module that has every name asked of it, none of which can be used."""

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
