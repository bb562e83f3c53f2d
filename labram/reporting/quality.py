"""What was asked of every recording and what came of it: a page of its own, and the quarantine in a run's report."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labram.corpus.catalogue import Corpus
from labram.corpus.quality import QUALITY_FILE
from labram.corpus.reasons import explain
from labram.errors import Reason
from labram.reporting import plots
from labram.reporting.elements import Chapter, Picture, Table, Word, count, number, picture
from labram.reporting.plots import Limit, Strip
from labram.reporting.templates import environment

PAGE = "quality.html"
MOST_ROWS_UNFOLDED = 12
_MOST_NAMED = 8
_SHOWN = (
    ("band_rms_uv", "Amplitude as recorded", "RMS in 1–45 Hz (µV)", "log"),
    ("median_sd_uv", "Amplitude after preprocessing", "SD, median of channels (µV)", "log"),
    ("psd_slope", "Slope of the spectrum", "slope in 1–40 Hz; noise has 0", "linear"),
    ("spectral_flatness", "Lines in the spectrum", "flatness; a sinusoid has 0", "linear"),
    ("held_fraction", "Staircases", "samples equal to the one before, share", "linear"),
    ("channel_correlation", "Kinship of channels", "correlation, median of pairs", "linear"),
    ("line_noise_ratio", "Mains", "power at mains over 1–45 Hz", "log"),
    ("gap_seconds", "Holes", "longest hole in the time stamps (s)", "log"),
    ("seconds", "Length", "length (s)", "log"),
)
"""Columns that are drawn: title, axis and its scale. On a logarithmic axis zeros stand at its left end."""


def write(corpus: Path, out: Path) -> Path:
    """Write the quality page of a judged corpus to the file `out`; gives `out`.

    Args:
        corpus: Folder that `labram.corpus.quality.check_quality` wrote.
        out: The file.

    Raises:
        CorpusError: If there is no catalogue, or it is damaged.
    """
    everything, suite = Corpus.load(corpus), _suite(corpus)
    rows = everything.catalogue
    with plots.styled():
        chapters = [_verdicts(rows), _distributions(rows, suite), _rules(suite), quarantine(everything), _warned(rows)]
    page = (
        environment()
        .get_template("chapters.html")
        .render(
            kicker="labram quality page",
            title="Quality of the recordings",
            simulated=False,
            answer=_answer(rows),
            chapters=chapters,
            note="Recordings are named by their ids; no name of a file or a person is in it.",
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def quarantine(corpus: Corpus) -> Chapter:
    """Who was refused, why, and what to do about it."""
    rows, total = corpus.quarantined(), len(corpus.catalogue)
    if rows.empty:
        return Chapter("quarantine", "Quarantine", ("No recording was refused.",))
    lead = (
        f"{count(len(rows), 'recording')} of {total} {'was' if len(rows) == 1 else 'were'} refused; "
        "a recording can have more than one reason. None of them is used."
    )
    refusals = rows.to_dict("records")
    counts = Counter((str(code), str(row["dataset"])) for row in refusals for code in row["reasons"])
    by_reason = Counter(str(code) for row in refusals for code in row["reasons"])
    reasons = tuple(
        (
            code,
            *_explained(code),
            str(amount),
            ", ".join(f"{name} ({n})" for (reason, name), n in sorted(counts.items()) if reason == code),
        )
        for code, amount in by_reason.most_common()
    )
    refused = tuple(
        (str(row["recording_id"]), str(row["format"]), _seconds(row["seconds"]), ", ".join(row["reasons"]), _told(row))
        for row in refusals
    )
    tables = (
        Table("Reasons", ("reason", "meaning", "what to do", "recordings", "datasets"), reasons, frozenset({3})),
        Table(
            "Recordings refused",
            ("recording", "format", "seconds", "reasons", "particulars"),
            refused,
            frozenset({2}),
            folded=len(refused) > MOST_ROWS_UNFOLDED,
        ),
    )
    return Chapter("quarantine", "Quarantine", (lead,), tables=tables)


def rules_asked(folder: Path | None) -> list[Table]:
    """The quality suite: what was asked of each recording, and how many broke it."""
    body = tuple(
        (rule["name"], rule["column"], bounds(rule["least"], rule["most"]), rule["severity"], str(rule["failed"]))
        for rule in (_suite(folder) if folder else ())
    )
    note = "Breaking a critical rule means quarantine, breaking the others a warning."
    head = ("rule", "figure", "allowed", "severity", "broken by")
    return [Table("Quality rules", head, body, frozenset({4}), folded=True, note=note)] if body else []


def _suite(folder: Path) -> list[dict[str, Any]]:
    path = folder / QUALITY_FILE
    return list(json.loads(path.read_text())) if path.is_file() else []


def _answer(rows: pd.DataFrame) -> str:
    accepted = rows[rows["verdict"] == "accepted"]
    warned = int(accepted["warnings"].map(bool).sum())
    return (
        f"Of {count(len(rows), 'recording')}, {len(accepted)} can be used, {warned} of them with a warning; "
        f"{len(rows) - len(accepted)} cannot."
    )


def _verdicts(rows: pd.DataFrame) -> Chapter:
    accepted = rows["verdict"] == "accepted"
    clean = accepted & ~rows["warnings"].map(bool)
    tiles = (
        (str(len(rows)), "recordings"),
        (str(int(clean.sum())), "accepted"),
        (str(int((accepted & ~clean).sum())), "accepted with a warning"),
        (str(int((~accepted).sum())), "quarantined"),
        (number(rows["seconds"][accepted].sum() / 3600, 2), "hours accepted"),
    )
    groups = list(rows.groupby("dataset"))
    body = tuple(
        (
            str(name),
            str(len(part)),
            str(int(clean[part.index].sum())),
            str(int((accepted & ~clean)[part.index].sum())),
            str(int((~accepted)[part.index].sum())),
            number(part["seconds"][accepted[part.index]].sum() / 3600, 2),
        )
        for name, part in groups
    )
    head = ("dataset", "recordings", "accepted", "with a warning", "quarantined", "hours accepted")
    table = Table("Datasets", head, body, frozenset(range(1, 6)))
    return Chapter("verdicts", "Verdicts", tiles=tiles, tables=(table,))


def _distributions(rows: pd.DataFrame, suite: Sequence[Mapping[str, Any]]) -> Chapter:
    """Where recordings lie, and where the thresholds are."""
    read = rows[rows["store_key"] != ""]
    if read.empty:
        return Chapter("distributions", "Distributions", ("No recording could be read.",))
    strips = [
        Strip(title, label, scale == "log", read[column].to_numpy(np.float64), _limits(column, suite))
        for column, title, label, scale in _SHOWN
        if read[column].notna().any()
    ]
    datasets, refused = read["dataset"].astype(str).tolist(), (read["verdict"] != "accepted").tolist()
    drawn: Picture = picture(
        plots.strips(strips, datasets, refused),
        name="strips",
        alt="Figures of all recordings by dataset, with the thresholds of the rules: "
        + "; ".join(f"{strip.title} {_range(strip)}" for strip in strips),
        caption="A point is a recording: filled, accepted; a cross, quarantined, for whatever reason. Solid lines are "
        "thresholds of critical rules, beyond which the ground is shaded; dashed lines those of warnings. On "
        "logarithmic axes, zeros stand at the left end.",
    )
    lead = "Where the recordings lie that could be read, and how far from the thresholds."
    return Chapter("distributions", "Distributions", (lead,), pictures=(drawn,))


def _limits(column: str, suite: Sequence[Mapping[str, Any]]) -> list[Limit]:
    return [
        Limit(float(rule[side]), below=side == "least", critical=rule["severity"] == "critical")
        for rule in suite
        for side in ("least", "most")
        if rule["column"] == column and rule[side] is not None
    ]


def _range(strip: Strip) -> str:
    known = strip.values[~pd.isna(strip.values)]
    return f"{known.min():.3g} to {known.max():.3g}"


def _rules(suite: Sequence[Mapping[str, Any]]) -> Chapter:
    """Rule by rule, who broke it."""
    body = tuple(
        (
            rule["name"],
            rule["column"],
            bounds(rule["least"], rule["most"]),
            rule["code"],
            Word(rule["severity"], "bad" if rule["severity"] == "critical" else "open") if rule["failed"] else "–",
            str(rule["failed"]),
            _named(rule["recordings"]),
        )
        for rule in suite
    )
    head = ("rule", "figure", "allowed", "code", "broken", "by", "recordings named")
    lead = (
        "Breaking a critical rule means quarantine; breaking another is a warning. Recordings that could not be read "
        "are refused before any rule is asked."
    )
    return Chapter("rules", "Rules", (lead,), tables=(Table("Rule by rule", head, body, frozenset({2, 5})),))


def _named(recordings: Sequence[str]) -> str:
    named = ", ".join(recordings[:_MOST_NAMED])
    more = len(recordings) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named or "–"


def _warned(rows: pd.DataFrame) -> Chapter:
    accepted = rows[rows["verdict"] == "accepted"]
    counts = Counter(str(code).partition("=")[0] for codes in accepted["warnings"] for code in codes)
    if not counts:
        return Chapter("warnings", "Warnings", ("No accepted recording has a warning.",))
    body = tuple((code, *_explained(code), str(amount)) for code, amount in counts.most_common())
    head = ("warning", "meaning", "what to do", "recordings")
    table = Table("Accepted all the same", head, body, frozenset({3}))
    return Chapter("warnings", "Warnings", tables=(table,))


def _explained(code: str) -> tuple[str, ...]:
    """Meaning and remedy as plain text: the documentation's marks of code are not for pages."""
    return tuple(text.replace("`", "") for text in explain(code))


def _told(row: Mapping[Any, Any]) -> str:
    """What is particular to one refusal: the factor of its unit, what it copies, how long its hole is."""
    told = []
    if Reason.IMPLAUSIBLE_UNIT in row["reasons"]:
        told.append(f"multiply by {row['unit_correction']:g}")
    if row["copy_of"]:
        told.append(f"copy of {row['copy_of']}")
    if Reason.GAPS in row["reasons"]:
        told.append(f"hole of {row['gap_seconds']:.1f} s")
    return "; ".join(told)


def bounds(least: float | None, most: float | None) -> str:
    """What a rule allows, in words."""
    if least is None:
        return f"at most {most:.3g}"
    return f"at least {least:.3g}" if most is None else f"{least:.3g} to {most:.3g}"


def _seconds(value: float | None) -> str:
    return "–" if pd.isna(value) or not value else f"{value:.0f}"
