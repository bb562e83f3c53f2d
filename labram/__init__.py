"""LaBraM as a production pipeline: raw EEG recordings in, a registered, gated, reproducible champion out."""

__version__ = "0.1.0"
