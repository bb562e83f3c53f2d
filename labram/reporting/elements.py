"""What a chapter of the report is made of, and how numbers are written in it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from markupsafe import Markup
from matplotlib.figure import Figure

from labram.evaluation.statistics import Estimate
from labram.reporting import plots

METRIC_TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "cohen_kappa": "Cohen’s\N{NO-BREAK SPACE}κ",
    "weighted_f1": "weighted F1",
    "r2": "R²",
    "pearson_r": "Pearson r",
    "rmse": "RMSE",
}


@dataclass(frozen=True)
class Word:
    """A judgement in a word or two, and how it is coloured."""

    text: str
    tone: Literal["good", "bad", "open"]


@dataclass(frozen=True)
class Picture:
    """A figure with its caption. Two that are not `wide` share a row; one without a partner has its caption there."""

    markup: Markup
    caption: str
    wide: bool


@dataclass(frozen=True)
class Table:
    """A table. Cells of the columns in `numbers` are set flush right.

    Attributes:
        folded: Shown only when the reader opens it; for what is long and seldom needed.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Word, ...], ...]
    numbers: frozenset[int] = frozenset()
    folded: bool = False
    note: str = ""


@dataclass(frozen=True)
class Chapter:
    """One section of the page.

    Attributes:
        anchor: Its identifier in the page's address.
        title: Its heading.
        short: Its entry in the navigation, where that is not the title.
        badge: Its result in a word or two.
        lead: What the section says, in sentences; each a paragraph.
        tiles: Figures worth a large type, with what they count.
        commands: Shell commands for the reader to copy, each under what it does.
    """

    anchor: str
    title: str
    lead: tuple[str, ...] = ()
    tiles: tuple[tuple[str, str], ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    short: str = ""
    badge: Word | None = None

    def placed(self) -> list[tuple[str, Picture]]:
        """The pictures, each with how it stands in its row: ``wide``, ``half`` or ``lone``."""
        places: list[tuple[str, Picture]] = []
        for item in self.pictures:
            if item.wide:
                places.append(("wide", item))
            elif places and places[-1][0] == "lone":
                places[-1:] = [("half", places[-1][1]), ("half", item)]
            else:
                places.append(("lone", item))
        return places


def picture(figure: Figure, *, name: str, alt: str, caption: str) -> Picture:
    """Embed a figure; `name` must be unique within the page."""
    wide = figure.get_size_inches()[0] > plots.HALF + 0.1
    return Picture(Markup(plots.markup(figure, name=name, alt=alt)), caption, wide)  # noqa: S704 - our own SVG


def number(value: float | None, digits: int = 3) -> str:
    """A measured value; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 0) -> str:
    """A share, in per cent."""
    return f"{100 * share:.{digits}f} %"


def estimate(value: Estimate | None) -> str:
    """A value with its interval, as far as there is one."""
    if value is None or value.value is None:
        return "–"
    if value.low is None or value.high is None:
        return number(value.value)
    return f"{number(value.value)} [{number(value.low)}, {number(value.high)}]"


def count(amount: int, singular: str, plural: str = "") -> str:
    """Such as ``1 recording`` or ``12 recordings``."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}".replace(",", " ")


def listed(words: Iterable[str]) -> str:
    """Such as ``a, b and c``."""
    *most, last = list(words) or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def moment(text: str) -> str:
    """An ISO 8601 time, as people write it; the text itself where it is not one."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return text


def duration(started: str, finished: str) -> str:
    """Time between two ISO 8601 times; empty where one is missing."""
    try:
        seconds = round((datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds())
    except (ValueError, TypeError):
        return ""
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
