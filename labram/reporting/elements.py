"""Building blocks of report sections, and formatting of numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from markupsafe import Markup
from matplotlib.figure import Figure

from labram import metrics
from labram.evaluation.statistics import Estimate
from labram.reporting import plots


@dataclass(frozen=True)
class Status:
    """Short result with its colour."""

    text: str
    tone: Literal["good", "bad", "open"]


@dataclass(frozen=True)
class EmbeddedFigure:
    """SVG figure with its caption. Two figures that are not `wide` share a row."""

    markup: Markup
    caption: str
    wide: bool


@dataclass(frozen=True)
class Table:
    """Table. The columns in `numbers` are right-aligned.

    Attributes:
        title: Heading above the table.
        head: Column headings.
        rows: Cells by row.
        numbers: Indices of numeric columns.
        folded: Whether the table is collapsed at first.
        note: Sentence below the table.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Status, ...], ...]
    numbers: frozenset[int] = frozenset()
    folded: bool = False
    note: str = ""


@dataclass(frozen=True)
class ReportSection:
    """Section of a report page.

    Attributes:
        anchor: HTML id.
        title: Heading.
        lead: Paragraphs below the heading.
        tiles: Key numbers, each with its label.
        figures: Embedded figures.
        tables: Tables.
        commands: Shell commands to copy, each with its purpose.
        short: Entry in the navigation, if it differs from the title.
        badge: Result in a word or two.
    """

    anchor: str
    title: str
    lead: tuple[str, ...] = ()
    tiles: tuple[tuple[str, str], ...] = ()
    figures: tuple[EmbeddedFigure, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    short: str = ""
    badge: Status | None = None

    def layout(self) -> list[tuple[str, EmbeddedFigure]]:
        """Return the figures with their CSS class: ``wide``, ``half`` or ``lone``."""
        rows: list[tuple[str, EmbeddedFigure]] = []
        for figure in self.figures:
            if figure.wide:
                rows.append(("wide", figure))
            elif rows and rows[-1][0] == "lone":
                rows[-1:] = [("half", rows[-1][1]), ("half", figure)]
            else:
                rows.append(("lone", figure))
        return rows


def embed_figure(figure: Figure, *, name: str, alt: str, caption: str) -> EmbeddedFigure:
    """Return a figure as inline SVG. `name` must be unique within the page."""
    wide = figure.get_size_inches()[0] > plots.HALF + 0.1
    return EmbeddedFigure(Markup(plots.markup(figure, name=name, alt=alt)), caption, wide)  # noqa: S704 - our own SVG


def metric_title(name: str) -> str:
    """Return a metric's title, with an arrow down where smaller is better."""
    return metrics.title(name) + ("" if metrics.greater_is_better(name) else " ↓")


def number(value: float | None, digits: int = 3) -> str:
    """Format a value; a dash if it is missing or not finite."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 0) -> str:
    """Format a fraction as a percentage."""
    return f"{100 * share:.{digits}f} %"


def estimate(value: Estimate | None) -> str:
    """Format a value with its confidence interval, if it has one."""
    if value is None or value.value is None:
        return "–"
    if value.low is None or value.high is None:
        return number(value.value)
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"


def count(amount: int, singular: str, plural: str = "") -> str:
    """Format a count with its noun, such as ``1 recording`` or ``12 recordings``."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}".replace(",", " ")


def listed(words: Iterable[str]) -> str:
    """Join words, such as ``a, b and c``."""
    *most, last = list(words) or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def moment(text: str) -> str:
    """Format an ISO 8601 time for readers. Other text is returned unchanged."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return text


def duration(started: str, finished: str) -> str:
    """Format the duration between two ISO 8601 times; "" if one is missing."""
    try:
        seconds = round((datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds())
    except (ValueError, TypeError):
        return ""
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
