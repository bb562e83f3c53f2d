"""Quality report of a corpus, and the quarantine section of the run report."""

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
from labram.reporting.elements import EmbeddedFigure, ReportSection, Status, Table, count, embed_figure, number
from labram.reporting.plots import Limit, Strip
from labram.reporting.templates import environment

PAGE = "quality.html"
MOST_ROWS_UNFOLDED = 12
_MOST_NAMED = 8
_SHOWN = (
    ("band_rms_uv", "Amplitude as recorded", "RMS in 1–45 Hz (µV)", "log"),
    ("median_sd_uv", "Amplitude after preprocessing", "SD, median of channels (µV)", "log"),
    ("psd_slope", "Aperiodic slope", "1/f slope, 1–40 Hz (white noise: 0)", "linear"),
    ("spectral_flatness", "Spectral flatness", "flatness (sinusoid: 0)", "linear"),
    ("held_fraction", "Repeated samples", "fraction equal to the previous sample", "linear"),
    ("channel_correlation", "Channel correlation", "correlation, median of pairs", "linear"),
    ("line_noise_ratio", "Line noise", "power at line frequency / 1–45 Hz", "log"),
    ("gap_seconds", "Gaps", "longest gap in the time stamps (s)", "log"),
    ("seconds", "Duration", "duration (s)", "log"),
)
"""Plotted columns: title, axis label and scale. On a logarithmic axis, zeros are plotted at the left end."""


def write(corpus: Path, out: Path) -> Path:
    """Write the quality report of a corpus to the file `out`, and return `out`.

    Args:
        corpus: Folder that `labram.corpus.quality.check_quality` wrote.
        out: The file.

    Raises:
        CorpusError: If the catalogue is missing or damaged.
    """
    everything, suite = Corpus.load(corpus), _suite(corpus)
    rows = everything.catalogue
    with plots.styled():
        sections = [_verdicts(rows), _distributions(rows, suite), _rules(suite), quarantine(everything)]
    sections += [_windows(rows), _warned(rows)]
    page = (
        environment()
        .get_template("sections.html")
        .render(
            kicker="labram quality report",
            title="Data quality",
            simulated=False,
            answer=_answer(rows) + (f" Subjects: {source}." if (source := everything.subjects_guessed_from) else ""),
            sections=sections,
            note="Recordings are identified by ids; file names and personal names are not included.",
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def quarantine(corpus: Corpus) -> ReportSection:
    """Return the section on quarantined recordings, with reasons and remedies."""
    rows, total = corpus.quarantined(), len(corpus.catalogue)
    if rows.empty:
        return ReportSection("quarantine", "Quarantine", ("No recording was quarantined.",))
    lead = (
        f"{count(len(rows), 'recording')} of {total} {'was' if len(rows) == 1 else 'were'} quarantined and not used. "
        "A recording can have several reasons."
    )
    records = rows.to_dict("records")
    counts = Counter((str(code), str(row["dataset"])) for row in records for code in row["reasons"])
    by_reason = Counter(str(code) for row in records for code in row["reasons"])
    reasons = tuple(
        (
            code,
            *_explained(code),
            str(amount),
            ", ".join(f"{name} ({n})" for (reason, name), n in sorted(counts.items()) if reason == code),
        )
        for code, amount in by_reason.most_common()
    )
    tables = (
        Table("Reasons", ("reason", "meaning", "what to do", "recordings", "datasets"), reasons, frozenset({3})),
        _quarantined(records),
    )
    return ReportSection("quarantine", "Quarantine", (lead,), tables=tables)


def _quarantined(records: Sequence[Mapping[Any, Any]]) -> Table:
    rows = tuple(
        (
            str(row["recording_id"]),
            str(row["format"]),
            _seconds(row["seconds"]),
            ", ".join(row["reasons"]),
            _details(row),
        )
        for row in records
    )
    return Table(
        "Quarantined recordings",
        ("recording", "format", "seconds", "reasons", "details"),
        rows,
        frozenset({2}),
        folded=len(rows) > MOST_ROWS_UNFOLDED,
    )


def rules_table(folder: Path | None) -> list[Table]:
    """Return a table of the quality rules and the number of recordings that violate each."""
    body = tuple(
        (rule["name"], rule["column"], bounds(rule["least"], rule["most"]), rule["severity"], str(rule["failed"]))
        for rule in (_suite(folder) if folder else ())
    )
    note = "A recording that violates a critical rule is quarantined; other rules give warnings."
    head = ("rule", "metric", "allowed", "severity", "violated by")
    return [Table("Quality rules", head, body, frozenset({4}), folded=True, note=note)] if body else []


def _suite(folder: Path) -> list[dict[str, Any]]:
    path = folder / QUALITY_FILE
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def _answer(rows: pd.DataFrame) -> str:
    accepted = rows[rows["verdict"] == "accepted"]
    warned = int(accepted["warnings"].map(bool).sum())
    return (
        f"{count(len(rows), 'recording')}: {len(accepted)} accepted, {warned} of them with a warning; "
        f"{len(rows) - len(accepted)} quarantined."
    )


def _verdicts(rows: pd.DataFrame) -> ReportSection:
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
    return ReportSection("verdicts", "Verdicts", tiles=tiles, tables=(table,))


def _distributions(rows: pd.DataFrame, suite: Sequence[Mapping[str, Any]]) -> ReportSection:
    """Return the section with the distributions of quality metrics and the thresholds of the rules."""
    read = rows[rows["store_key"] != ""]
    if read.empty:
        return ReportSection("distributions", "Distributions", ("No recording could be read.",))
    strips = [
        Strip(title, label, scale == "log", read[column].to_numpy(np.float64), _limits(column, suite))
        for column, title, label, scale in _SHOWN
        if read[column].notna().any()
    ]
    datasets, quarantined = read["dataset"].astype(str).tolist(), (read["verdict"] != "accepted").tolist()
    figure: EmbeddedFigure = embed_figure(
        plots.strips(strips, datasets, quarantined),
        name="strips",
        alt="Quality metrics of all recordings by dataset, with the thresholds of the rules: "
        + "; ".join(f"{strip.title} {_range(strip)}" for strip in strips),
        caption="One marker per recording. Dot: accepted; cross: quarantined for any reason. Solid line and shading: "
        "threshold of a critical rule; dashed line: threshold of a warning. On logarithmic axes, zeros are at the left "
        "end.",
    )
    lead = "Quality metrics of the readable recordings, with the thresholds of the rules."
    return ReportSection("distributions", "Distributions", (lead,), figures=(figure,))


def _limits(column: str, suite: Sequence[Mapping[str, Any]]) -> list[Limit]:
    return [
        Limit(float(rule[side]), below=side == "least", critical=rule["severity"] == "critical")
        for rule in suite
        for side in ("least", "most")
        if rule["column"] == column and rule[side] is not None
    ]


def _range(strip: Strip) -> str:
    values = strip.values[~pd.isna(strip.values)]
    return f"{values.min():.3g} to {values.max():.3g}"


def _rules(suite: Sequence[Mapping[str, Any]]) -> ReportSection:
    """Return the section that lists every rule with the recordings that violate it."""
    body = tuple(
        (
            rule["name"],
            rule["column"],
            bounds(rule["least"], rule["most"]),
            rule["code"],
            _severity(rule) if rule["failed"] else rule["severity"],
            str(rule["failed"]),
            _named(rule["recordings"]),
        )
        for rule in suite
    )
    head = ("rule", "metric", "allowed", "code", "severity", "violations", "recordings")
    lead = (
        "A recording that violates a critical rule is quarantined; other rules give warnings. Unreadable recordings "
        "are quarantined before the rules are checked."
    )
    return ReportSection("rules", "Rules", (lead,), tables=(Table("Rules", head, body, frozenset({2, 5})),))


def _severity(rule: Mapping[str, Any]) -> Status:
    return Status(rule["severity"], "bad" if rule["severity"] == "critical" else "open")


def _named(recordings: Sequence[str]) -> str:
    named = ", ".join(recordings[:_MOST_NAMED])
    more = len(recordings) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named or "–"


def _warned(rows: pd.DataFrame) -> ReportSection:
    accepted = rows[rows["verdict"] == "accepted"]
    counts = Counter(str(code).partition("=")[0] for codes in accepted["warnings"] for code in codes)
    if not counts:
        return ReportSection("warnings", "Warnings", ("No accepted recording has a warning.",))
    body = tuple((code, *_explained(code), str(amount)) for code, amount in counts.most_common())
    head = ("warning", "meaning", "what to do", "recordings")
    table = Table("Accepted with warnings", head, body, frozenset({3}))
    return ReportSection("warnings", "Warnings", tables=(table,))


def _windows(rows: pd.DataFrame) -> ReportSection:
    """Return the section on what windows lack of the accepted recordings: loud seconds and bad channels."""
    accepted = rows[rows["verdict"] == "accepted"]
    excluded = accepted["excluded_seconds"].map(lambda seconds: len(seconds or ()))
    interpolated = accepted["interpolated_channels"].map(lambda names: len(names or ()))
    parts = list(accepted.groupby(["dataset", "split"]))
    by_split = tuple(
        (*map(str, names), str(len(part)), *_lost(part, excluded), str(int(interpolated[part.index].sum())))
        for names, part in parts
    )
    affected = accepted[(excluded > 0) | (interpolated > 0)]
    by_recording = tuple(
        (*map(str, names), *_lost(part, excluded), str(int(interpolated[part.index].sum())))
        for names, part in affected.groupby(["recording_id", "split"])
    )
    columns = ("seconds", "excluded", "excluded (%)", "interpolated channels")
    tables = (
        Table("Splits", ("dataset", "split", "recordings", *columns), by_split, frozenset(range(2, 7))),
        Table(
            "Recordings",
            ("recording", "split", *columns),
            by_recording,
            frozenset(range(2, 6)),
            folded=len(by_recording) > MOST_ROWS_UNFOLDED,
        ),
    )
    lead = (
        "No window has a second with values beyond quality.max_window_uv; in every split, windows have flat and bad "
        "channels interpolated from the others (quality.bad_channels)."
    )
    return ReportSection("windows", "Windows", (lead,), tables=tables if by_recording else tables[:1])


def _lost(part: pd.DataFrame, excluded: "pd.Series[int]") -> tuple[str, str, str]:
    """Return seconds, excluded seconds, and their percentage."""
    seconds, lost = int(part["seconds"].sum()), int(excluded[part.index].sum())
    return str(seconds), str(lost), number(100 * lost / max(1, seconds), 2)


def _explained(code: str) -> tuple[str, ...]:
    """Return meaning and remedy as plain text, without Markdown code marks."""
    return tuple(text.replace("`", "") for text in explain(code))


def _details(row: Mapping[Any, Any]) -> str:
    """Describe a quarantined recording: correct unit factor, original of a copy, longest gap."""
    details = []
    if Reason.IMPLAUSIBLE_UNIT in row["reasons"]:
        details.append(f"multiply by {row['unit_correction']:g}")
    if row["copy_of"]:
        details.append(f"copy of {row['copy_of']}")
    if Reason.GAPS in row["reasons"]:
        details.append(f"gap of {row['gap_seconds']:.1f} s")
    return "; ".join(details)


def bounds(least: float | None, most: float | None) -> str:
    """Describe the range that a rule allows."""
    if least is None:
        return f"at most {most:.3g}"
    return f"at least {least:.3g}" if most is None else f"{least:.3g} to {most:.3g}"


def _seconds(value: float | None) -> str:
    return "–" if pd.isna(value) or not value else f"{value:.0f}"
