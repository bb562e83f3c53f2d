"""The result of one check, and what follows from several."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from labram.errors import PlatformError


@dataclass(frozen=True)
class Finding:
    """The result of one check; `remedy` is empty where nothing is wrong."""

    subject: str
    state: Literal["ok", "warning", "error"]
    detail: str
    remedy: str = ""


def passed(subject: str, detail: str) -> Finding:
    """As it must be."""
    return Finding(subject, "ok", detail)


def warned(subject: str, detail: str, remedy: str) -> Finding:
    """It may be right; only a person can tell."""
    return Finding(subject, "warning", detail, remedy)


def failed(subject: str, detail: str, remedy: str) -> Finding:
    """A run would fail or wait for it in vain."""
    return Finding(subject, "error", detail, remedy)


def require(findings: Iterable[Finding]) -> None:
    """Go on only if nothing is wrong.

    Raises:
        PlatformError: Says all that is wrong, and how to mend it.
    """
    bad = [finding for finding in findings if finding.state == "error"]
    if bad:
        raise PlatformError(
            "; ".join(f"{finding.subject}: {finding.detail}" for finding in bad),
            remedy="; ".join(finding.remedy for finding in bad),
        )
