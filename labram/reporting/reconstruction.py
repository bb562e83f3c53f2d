"""Figure of a reconstruction: signals of a window, and mean spectra."""

import numpy as np
from matplotlib.figure import Figure

from labram.inference.reconstruct import Reconstructed
from labram.input_spec import SAMPLE_RATE_HZ
from labram.reporting.plots import BASELINE, FULL, MODEL, styled

_CHANNELS = 6
"""Channels whose signals are drawn: evenly from the montage."""


def draw(result: Reconstructed, title: str) -> Figure:
    """Return the figure: signals of the first window on the left, mean amplitude spectra on the right.

    Args:
        result: The reconstruction.
        title: Text above the figure.
    """
    with styled():
        figure = Figure(figsize=(FULL, 4.6))
        signals, spectra = figure.subplots(1, 2, width_ratios=(2, 1))
        picks = np.unique(np.linspace(0, len(result.channels) - 1, _CHANNELS).round().astype(int))
        step = 6 * float(np.median(result.original[0, picks].std(axis=-1)) or 1.0)
        seconds = np.arange(result.original.shape[-1]) / SAMPLE_RATE_HZ + result.starts[0]
        for place, channel in enumerate(picks):
            lines = ((result.original, MODEL, "original"), (result.rebuilt, BASELINE, "from codes"))
            for windows, colour, label in lines:
                shifted = windows[0, channel] - place * step
                signals.plot(seconds, shifted, color=colour, linewidth=0.8, label=None if place else label)
        signals.set_yticks([-place * step for place in range(len(picks))], [result.channels[pick] for pick in picks])
        signals.set(title=f"{title}: first window, traces {step:.0f} µV apart", xlabel="s")
        signals.legend(loc="upper right")
        hz = np.arange(1, result.amplitude.shape[1])
        spectra.semilogy(hz, result.amplitude.mean(axis=0)[1:], color=MODEL, label="original")
        spectra.semilogy(
            hz, result.rebuilt_amplitude.mean(axis=0)[1:], color=BASELINE, linestyle="--", label="from codes"
        )
        spectra.set(title="Mean amplitude of the patches, µV", xlabel="Hz")
        spectra.legend()
    return figure
