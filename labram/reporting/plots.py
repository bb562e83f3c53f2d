"""Figures of the reports, as self-contained HTML.

Plotting functions take arrays and return a matplotlib figure. `markup` converts a figure to inline SVG, or to an
embedded PNG if the SVG is large. Output is deterministic: SVG ids have a fixed salt, and no dates are written. Figures
must be drawn inside `styled`, which applies ``labram.mplstyle`` only.
"""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

LARGEST_SVG_BYTES = 150_000
FULL, HALF = 10.2, 4.95  # figure widths in inches: a whole row of the page, or half of one
MODEL, BASELINE, QUIET, INK = "#12446b", "#d98324", "#6c7a89", "#1d2733"
Role = Literal["training", "validation", "reference"]
Floats = npt.NDArray[np.float64]

_LINES: dict[Role, dict[str, object]] = {
    "training": {"color": MODEL, "linestyle": "-"},
    "validation": {"color": BASELINE, "linestyle": "--", "marker": "o", "markerfacecolor": "white"},
    "reference": {"color": QUIET, "linestyle": ":", "linewidth": 1.8},
}
_SHADES = LinearSegmentedColormap.from_list("labram", ["#ffffff", "#9dbad2", MODEL])


@dataclass(frozen=True)
class Line:
    """Curve with its label, points and role."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    role: Role = "training"


@dataclass(frozen=True)
class Panel:
    """Axes with curves. `marks` are x positions of thin vertical lines."""

    title: str
    y_label: str
    lines: Sequence[Line]
    x_label: str = "optimiser step"
    marks: Sequence[float] = ()


@dataclass(frozen=True)
class Interval:
    """Point estimate with its confidence interval; `low` and `high` are NaN if it has none."""

    label: str
    value: float
    low: float
    high: float


@contextmanager
def styled() -> Iterator[None]:
    """Apply labram's matplotlib style, independent of the user's settings."""
    style = resources.files("labram.reporting").joinpath("labram.mplstyle")
    with resources.as_file(style) as path, mpl.rc_context():
        mpl.rcdefaults()
        with mpl.rc_context(fname=path):
            yield


def markup(figure: Figure, *, name: str, alt: str) -> str:
    """Return a figure as a self-contained HTML element.

    Args:
        figure: The figure.
        name: Prefix of the ids inside the SVG; unique within a page.
        alt: Alternative text.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    width = round(figure.get_size_inches()[0] * 96)
    svg = _standalone(buffer.getvalue(), name=name, alt=alt, width=width)
    if len(svg.encode()) <= LARGEST_SVG_BYTES:
        return svg
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", metadata={"Software": None})
    encoded = base64.b64encode(pixels.getvalue()).decode()
    return f'<img alt="{escape(alt)}" style="max-width:{width}px" src="data:image/png;base64,{encoded}">'


def _standalone(svg: str, *, name: str, alt: str, width: int) -> str:
    """Remove the XML prologue and global styles from an SVG, and prefix its ids with `name`."""
    view_box = re.search(r'viewBox="([^"]+)"', svg)
    assert view_box is not None
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    head = f'<svg role="img" aria-label="{escape(alt)}" viewBox="{view_box[1]}" style="max-width:{width}px">'
    return head + re.sub(r"\n\s*", "\n", body).strip()


def curves(panels: Sequence[Panel], *, width: float = FULL, columns: int = 3) -> Figure:
    """Plot training curves, one panel per metric."""
    rows = -(-len(panels) // columns)
    columns = min(columns, len(panels))
    figure = Figure(figsize=(width, (2.5 if rows == 1 or columns > 1 else 1.95) * rows))
    for position, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, position)
        for line in panel.lines:
            axes.plot(line.x, line.y, label=line.label, **_LINES[line.role])  # type: ignore[arg-type]
        for mark in panel.marks:
            axes.axvline(mark, color=QUIET, linewidth=0.8, zorder=0)
        axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10]))
        axes.margins(x=0.02, y=0.08)
        if len(panel.lines) > 1:
            axes.legend(loc="best")
    return figure


def codebook(counts: npt.ArrayLike) -> Figure:
    """Plot code frequencies in descending order, with the level of uniform usage.

    Args:
        counts: Occurrences of each code on the validation windows, shape [K].
    """
    ranked = np.sort(np.asarray(counts, dtype=np.float64))[::-1]
    share = 100 * ranked / max(ranked.sum(), 1.0)
    used = int((ranked > 0).sum())
    figure = Figure(figsize=(HALF, 2.5))
    axes = figure.add_subplot()
    rank = np.arange(1, used + 1)
    axes.fill_between(rank, share[:used], step="mid", color=MODEL, alpha=0.25, linewidth=0)
    axes.step(rank, share[:used], where="mid", color=MODEL, label="codes in use")
    axes.axhline(100 / ranked.size, **_LINES["reference"], label="uniform usage")  # type: ignore[arg-type]
    if used < ranked.size:
        axes.axvspan(used + 0.5, ranked.size + 0.5, facecolor="#eef1f4", zorder=0)
        _note_unused(axes, used, ranked.size)
    axes.set(title="Codebook usage by rank", xlabel="code rank", ylabel="share of patches (%)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_xlim(0.5, ranked.size + 0.5)
    axes.legend(loc="upper right")
    return figure


def _note_unused(axes: Axes, used: int, codes: int) -> None:
    """Annotate the number of unused codes if there is room."""
    if codes - used > 0.2 * codes:
        center = (used + codes) / 2
        text = f"{codes - used} unused"
        axes.text(center, 0.06, text, transform=axes.get_xaxis_transform(), ha="center", color=QUIET, fontsize=8)


def spectra(
    original: npt.ArrayLike, reconstructed: npt.ArrayLike, frequencies: npt.ArrayLike, names: Sequence[str]
) -> Figure:
    """Plot amplitude spectra of patches and their reconstructions by the tokenizer.

    Args:
        original: z-scored DFT amplitudes, shape [P, F].
        reconstructed: Reconstruction from one code per patch, shape [P, F].
        frequencies: Hz, shape [F]; frequencies above 100 Hz (Nyquist) mirror those below and are not drawn.
        names: Titles of the P patches.
    """
    before, after = np.asarray(original, dtype=np.float64), np.asarray(reconstructed, dtype=np.float64)
    hertz = np.asarray(frequencies, dtype=np.float64)
    shown = (hertz >= 0) & (hertz <= 100)
    columns = min(3, len(before))
    rows = -(-len(before) // columns)
    figure = Figure(figsize=(FULL, 1.15 + 1.75 * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, x, y, name in zip(grid.flat, before, after, names, strict=False):
        axes.plot(hertz[shown], x[shown], color=QUIET, linewidth=1.1, label="original")
        axes.plot(hertz[shown], y[shown], color=BASELINE, linewidth=1.9, linestyle="--", label="reconstructed")
        axes.set_title(name, fontweight="normal")
    for axes in grid.flat[len(before) :]:
        axes.set_visible(False)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    figure.supxlabel("frequency (Hz)", fontsize=8.5, color="#4a5663")
    figure.supylabel("amplitude (z-score)", fontsize=8.5, color="#4a5663")
    return figure


def hours(datasets: Sequence[str], by_split: Mapping[str, Sequence[float]]) -> Figure:
    """Plot hours of accepted recordings, one bar per dataset, stacked by split."""
    figure = Figure(figsize=(FULL, 0.95 + 0.36 * len(datasets)))
    axes = figure.add_subplot()
    left = np.zeros(len(datasets))
    looks = zip((MODEL, BASELINE, "#b9c3cc"), ("", "//", ""), strict=True)
    for (split, values), (colour, hatch) in zip(by_split.items(), looks, strict=False):
        width = np.asarray(values, dtype=np.float64)
        axes.barh(datasets, width, left=left, color=colour, hatch=hatch, height=0.62, label=split, linewidth=0)
        left += width
    for row, total in enumerate(left):
        axes.annotate(f"{total:.2f} h", (total, row), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set(xlabel="hours of accepted recordings")
    axes.set_xlim(0, 1.12 * max(left.max(initial=0.0), 1e-3))
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def confusion(matrix: npt.ArrayLike, classes: Sequence[str], *, title: str) -> Figure:
    """Plot a confusion matrix: shade and percentage normalised by row, small numbers count windows.

    Args:
        matrix: Numbers of windows, shape [K, K]; rows are true classes, columns predicted classes.
        classes: K class names.
        title: Title of the figure.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    side = min(HALF, 2.1 + 0.55 * len(classes))
    figure = Figure(figsize=(HALF, side))
    axes = figure.add_subplot()
    axes.imshow(share, cmap=_SHADES, vmin=0, vmax=1)
    for (row, column), part in np.ndenumerate(share):
        colour = "white" if part > 0.72 else INK
        axes.text(column, row - 0.02, f"{100 * part:.0f} %", ha="center", va="bottom", color=colour, fontweight="bold")
        axes.text(column, row + 0.06, f"{counts[row, column]:.0f}", ha="center", va="top", color=colour, fontsize=7.5)
    labels = [f"{name} ({total:.0f})" for name, total in zip(classes, totals[:, 0], strict=True)]
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), labels)
    if max(map(len, classes)) * len(classes) > 40:
        axes.tick_params(axis="x", rotation=35)
    axes.set(title=title, xlabel="predicted", ylabel="true (windows)")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axes.grid(visible=True, which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)
    return figure


def scatter(points: Sequence[tuple[int, float, float]], targets: Sequence[str]) -> Figure:
    """Plot predicted against true values, one panel per target.

    Args:
        points: Index of the target, true value, predicted value.
        targets: Names of the targets, with units if they have one.
    """
    columns = min(3, len(targets))
    rows = -(-len(targets) // columns)
    figure = Figure(figsize=(HALF, 3.6) if len(targets) == 1 else (FULL, 0.4 + 3.2 * rows))
    table = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    for k, target in enumerate(targets):
        truth, predicted = table[table[:, 0] == k, 1], table[table[:, 0] == k, 2]
        axes = figure.add_subplot(rows, columns, k + 1)
        axes.scatter(truth, predicted, s=12, color=MODEL, alpha=0.5, linewidths=0)
        low, high = _span(truth, predicted)
        axes.plot([low, high], [low, high], color=INK, linestyle="--", linewidth=1, label="predicted = true")
        axes.set(xlim=(low, high), ylim=(low, high), title=target, xlabel="true", ylabel="predicted")
        axes.set_box_aspect(1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if k == 0:
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0))
    return figure


def _span(*values: Floats) -> tuple[float, float]:
    """Return common axis limits with a margin."""
    finite = np.concatenate([value[np.isfinite(value)] for value in values])
    if finite.size == 0:
        return 0.0, 1.0
    margin = 0.05 * (np.ptp(finite) or 1.0)
    return float(finite.min() - margin), float(finite.max() + margin)


def intervals(model: Sequence[Interval], baseline: Sequence[Interval]) -> Figure:
    """Plot model and baseline scores with confidence intervals, one row per metric."""
    figure = Figure(figsize=(HALF, 0.95 + 0.55 * len(model)))
    axes = figure.add_subplot()
    looks = ((model, MODEL, "o", "model", -0.14, MODEL), (baseline, BASELINE, "s", "baseline", 0.14, "white"))
    for rows, colour, marker, label, shift, face in looks:
        y = np.arange(len(rows)) + shift
        value = np.array([row.value for row in rows])
        reach = np.array([[row.value - row.low, row.high - row.value] for row in rows]).reshape(-1, 2).T
        axes.errorbar(value, y, xerr=np.nan_to_num(np.abs(reach)), fmt="none", ecolor=colour, capsize=3, elinewidth=1.6)
        axes.plot(value, y, marker, color=colour, markerfacecolor=face, markersize=5.5, label=label)
    axes.set_yticks(range(len(model)), [row.label for row in model])
    axes.set_ylim(len(model) - 0.5, -0.5)
    axes.set(title="Scores on test subjects", xlabel="score, with 95 % confidence interval")
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    return figure


@dataclass(frozen=True)
class Limit:
    """Threshold of a rule; values `below` it, or else above it, violate the rule."""

    value: float
    below: bool
    critical: bool


@dataclass(frozen=True)
class Strip:
    """Values of one metric for all recordings (NaN if missing), with the thresholds."""

    title: str
    label: str
    logarithmic: bool
    values: Floats
    limits: Sequence[Limit]


def strips(panels: Sequence[Strip], groups: Sequence[str], marked: Sequence[bool]) -> Figure:
    """Plot recordings as points, one row per group, one panel per metric.

    Args:
        panels: Metrics, each with a value for each of N recordings.
        groups: N group names.
        marked: N flags; marked recordings are drawn as crosses.
    """
    names = sorted(set(groups))
    row = np.array([names.index(group) for group in groups], dtype=np.float64)
    row += 0.56 * (np.modf(np.arange(len(row)) * 0.6180339887)[0] - 0.5)  # deterministic jitter
    crossed = np.asarray(marked, dtype=bool)
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(FULL, rows * (0.95 + 0.26 * len(names))))
    grid = figure.subplots(rows, 3, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        shown = np.where(panel.values > 0, panel.values, _least(panel)) if panel.logarithmic else panel.values
        axes.plot(shown[~crossed], row[~crossed], ".", color=MODEL, markersize=3.5, alpha=0.6, markeredgewidth=0)
        axes.plot(shown[crossed], row[crossed], "x", color=BASELINE, markersize=4.5, markeredgewidth=1.3)
        axes.set(title=panel.title, xlabel=panel.label, xscale="log" if panel.logarithmic else "linear")
        if panel.logarithmic:
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.margins(x=0.06)
        _draw_limits(axes, panel.limits)
        axes.grid(visible=False, axis="y")
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    grid[0, 0].set_yticks(range(len(names)), names)
    grid[0, 0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _least(panel: Strip) -> float:
    """Return the position of zeros on a logarithmic axis, below all other values."""
    positive = [value for value in (*panel.values, *(limit.value for limit in panel.limits)) if value > 0]
    return 0.3 * min(positive, default=1.0)


def _draw_limits(axes: Axes, limits: Sequence[Limit]) -> None:
    for limit in limits:
        line = {"color": INK, "linewidth": 1.0} if limit.critical else {"color": QUIET, "linestyle": "--"}
        axes.axvline(limit.value, **line)
    left, right = axes.get_xlim()
    for limit in limits:
        if limit.critical:
            axes.axvspan(left if limit.below else limit.value, limit.value if limit.below else right, color="#fbe9e7")
    axes.set_xlim(left, right)
