"""Results of the doctor's checks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from labram.errors import PlatformError


@dataclass(frozen=True)
class Finding:
    """Result of one check. `remedy` is empty if the state is *ok*."""

    subject: str
    state: Literal["ok", "warning", "error"]
    detail: str
    remedy: str = ""


def passed(subject: str, detail: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(subject, "ok", detail)


def warned(subject: str, detail: str, remedy: str) -> Finding:
    """Return a warning: the check could not be completed, or its result may be intended."""
    return Finding(subject, "warning", detail, remedy)


def failed(subject: str, detail: str, remedy: str) -> Finding:
    """Return an error: a run would fail, or wait forever."""
    return Finding(subject, "error", detail, remedy)


def require(findings: Iterable[Finding]) -> None:
    """Raise if any finding is an error.

    Raises:
        PlatformError: Lists all errors with their remedies.
    """
    errors = [finding for finding in findings if finding.state == "error"]
    if errors:
        raise PlatformError(
            "; ".join(f"{finding.subject}: {finding.detail}" for finding in errors),
            remedy="; ".join(finding.remedy for finding in errors),
        )
