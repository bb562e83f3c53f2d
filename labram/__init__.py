"""LaBraM as a production pipeline: raw EEG recordings in, a registered, gated, reproducible champion out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labram.embedding import Embedding as Embedding
    from labram.embedding import Labram as Labram
    from labram.embedding import LabramEmbedder as LabramEmbedder
    from labram.estimators import LabramClassifier as LabramClassifier
    from labram.estimators import LabramRegressor as LabramRegressor
    from labram.estimators import score_groups as score_groups

__version__ = "0.1.0"

_LAZY = {
    "Embedding": "embedding",
    "Labram": "embedding",
    "LabramEmbedder": "embedding",
    "LabramClassifier": "estimators",
    "LabramRegressor": "estimators",
    "score_groups": "estimators",
}


def __getattr__(name: str) -> object:
    """Import the names that need PyTorch on first use."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"labram.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
