"""LaBraM as a production pipeline: raw EEG recordings in, a registered, gated, reproducible champion out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labram.embedding import Embedding as Embedding
    from labram.embedding import Labram as Labram
    from labram.embedding import LabramEmbedder as LabramEmbedder

__version__ = "0.1.0"

_FOR_ARRAYS = ("Embedding", "Labram", "LabramEmbedder")


def __getattr__(name: str) -> object:
    """What needs PyTorch is imported when it is first asked for."""
    if name in _FOR_ARRAYS:
        from labram import embedding

        return getattr(embedding, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
