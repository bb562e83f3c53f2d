"""LaBraM as a production pipeline: raw EEG recordings in, a registered, gated, reproducible champion out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labram.embedding import Embedding as Embedding
    from labram.embedding import Labram as Labram
    from labram.embedding import LabramEmbedder as LabramEmbedder

__version__ = "0.1.0"

_LAZY = ("Embedding", "Labram", "LabramEmbedder")


def __getattr__(name: str) -> object:
    """Import the names that need PyTorch on first use."""
    if name in _LAZY:
        from labram import embedding

        return getattr(embedding, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
