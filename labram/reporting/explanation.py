"""Figure of an explanation: effects of electrodes on the scalp, of bands and of seconds."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labram.inference.occlusion import Effect, Explanation
from labram.reporting.plots import BASELINE, FULL, MODEL, styled

_MONTAGE = "colin27_1005"
_LEAST_ELECTRODES = 4


def draw(explanation: Explanation, title: str) -> Figure:
    """Return the figure; effects that are not clear are pale.

    Args:
        explanation: The explanation.
        title: Text above the figure.
    """
    by_kind = {kind: [e for e in explanation.effects if e.occlusion.kind == kind] for kind in _TITLES}
    with styled():
        figure = Figure(figsize=(FULL, 3.4))
        scalp, bands, seconds = figure.subplots(1, 3, width_ratios=(1.2, 1, 1.4))
        if not _draw_scalp(scalp, by_kind["electrode"]):
            _draw_bars(scalp, by_kind["electrode"])
        _draw_bars(bands, by_kind["band"])
        _draw_bars(seconds, by_kind["second"])
        for axes, kind in ((scalp, "electrode"), (bands, "band"), (seconds, "second")):
            axes.set_title(_TITLES[kind])
        figure.suptitle(title)
    return figure


_TITLES = {"electrode": "Without the electrode", "band": "Without the band", "second": "Without the second"}


def _draw_bars(axes: Axes, effects: list[Effect]) -> None:
    names = [effect.occlusion.name for effect in effects]
    means = np.array([effect.mean for effect in effects])
    errors = np.array([[e.mean - e.low, e.high - e.mean] for e in effects]).reshape(-1, 2).T
    for name, mean, error, effect in zip(range(len(names)), means, errors.T, effects, strict=True):
        colour = MODEL if mean >= 0 else BASELINE
        axes.bar(name, mean, color=colour, alpha=1.0 if effect.clear else 0.35, yerr=error.reshape(2, 1))
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 6 else 0)
    axes.set_ylabel("score with minus without")


def _draw_scalp(axes: Axes, effects: list[Effect]) -> bool:
    """Draw a map; return False if too few electrodes have a known position."""
    import mne

    montage = mne.channels.make_standard_montage(_MONTAGE)
    names = {name.upper(): name for name in montage.ch_names}
    placed = [effect for effect in effects if effect.occlusion.name.upper() in names]
    if len(placed) < _LEAST_ELECTRODES:
        return False
    info = mne.create_info([names[effect.occlusion.name.upper()] for effect in placed], 1.0, "eeg")
    info.set_montage(montage, on_missing="ignore")
    means = np.array([effect.mean for effect in placed])
    mne.viz.plot_topomap(
        means,
        info,
        axes=axes,
        show=False,
        cmap="RdBu_r",
        vlim=(-float(np.abs(means).max() or 1), float(np.abs(means).max() or 1)),
        mask=np.array([effect.clear for effect in placed]),
    )
    return True
