"""Page of a reproduction: the verdict on every artifact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from labram.reporting.elements import ReportSection, Status, Table
from labram.reporting.templates import environment

TONES: dict[str, Literal["good", "bad", "open"]] = {
    "bit-equal": "good",
    "within tolerance": "open",
    "different": "bad",
}


def write(decided: Mapping[str, Any], original: str, out: Path) -> Path:
    """Write the page to the file `out`, and return `out`.

    Args:
        decided: See `labram.platform.reproduce.verdict.summary`.
        original: Name of the original run.
        out: The HTML file.
    """
    rows = tuple((row["artifact"], _status(row["equality"]), row["detail"]) for row in decided["artifacts"])
    reasons = tuple(f"This machine may round differently: {reason}." for reason in decided["reasons_for_tolerance"])
    table = Table("Artifacts", ("artifact", "verdict", "first difference"), rows)
    section = ReportSection("artifacts", "Artifacts", lead=reasons, tables=(table,), badge=_status(decided["verdict"]))
    page = (
        environment()
        .get_template("sections.html")
        .render(
            kicker="labram reproduction",
            title=original,
            simulated=False,
            answer=f"{len(rows)} artifacts were compared with the original's. Verdict: {decided['verdict']}.",
            sections=[section],
            note="Subjects and recordings have pseudonyms.",
        )
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def _status(equality: str) -> Status:
    return Status(equality, TONES[equality])
