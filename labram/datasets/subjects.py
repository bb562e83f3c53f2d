r"""Subjects of recordings whose dataset does not state them: by a pattern of the recipe, or guessed from names.

A pattern is a regular expression with the named groups `subject` and, optionally, `session`, searched in a recording's
path relative to the corpus folder, such as ``(?P<subject>P\d+)/(?P<session>session\d+)/``.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from labram.datasets.patterns import composed, search
from labram.errors import CorpusError

if TYPE_CHECKING:
    from labram.datasets.base import RecordingFile

FIELD = "corpus.subject"


class SubjectPatternError(CorpusError):
    """A pattern that does not match the path of a recording; `file` is the path, for the terminal only."""

    def without_path(self) -> CorpusError:
        """Return the error without the path, for logs."""
        return CorpusError(self.problem, field=self.field, remedy=self.remedy)


_RULES = (
    r"(?i)(?<![a-z0-9])(?P<subject>sub-[a-z0-9]+)",
    r"(?i)(?<![a-z0-9])(?P<subject>(?:subj?|subject|pat|patient|participant|proband)[-_ ]?\d+)(?!\d)",
    r"(?:^|/)(?P<subject>[Pp](?!300(?!\d))\d+)(?!\d)",
    r"(?:^|/)(?P<subject>[Ss]\d+)(?!\d)",
    r"(?:^|/)(?P<subject>(?!(?i:ses|run|day|trial|task|block|visit|part|rec|eeg|p300))[A-Za-z]{1,4}\d{2,})(?!\d)",
    r"(?<![A-Za-z0-9])(?P<subject>[SsPp](?!300(?!\d))\d+)(?!\d)",
    r"(?:^|/)(?P<subject>\d{1,3})(?=[-_ /.])",
)
"""What names of subjects look like, the most certain first: sub-01, subject_3, P01, S01, AB12, rest_S01, 01."""
_SESSION = re.compile(r"(?i)[-_ ]*(?<![a-z])(?:ses|sess|session|run|day|visit|block|trial|part|rec)[-_ ]?\d+")
_FIRST_FOLDER, _FILE_NAME = r"^(?P<subject>[^/]+)/", r"(?P<subject>[^/]+)\.[^/.]+$"


@dataclass(frozen=True)
class Proposal:
    """Subjects that the names of recordings suggest.

    Attributes:
        recordings: Number of recordings of each subject. The names are for display only, never to be stored.
        pattern: Pattern for `corpus.subject` that matches every recording.
    """

    recordings: Mapping[str, int]
    pattern: str

    @property
    def counts(self) -> str:
        """The subjects and their recordings without names, such as ``6 subjects x 2 recordings``."""
        sizes = sorted(Counter(self.recordings.values()).items(), reverse=True)
        return ", ".join(
            f"{subjects} subject{'s' * (subjects > 1)} x {size} recording{'s' * (size > 1)}" for size, subjects in sizes
        )

    @property
    def remedy(self) -> str:
        """How to state the subjects."""
        return (
            "State the subjects in the recipe by a pattern of the recordings' paths, after checking it. Their names "
            f"suggest: corpus: {{subject: '{self.pattern}'}}"
        )


def guess(path: str) -> str:
    """Return the subject that the path of a recording suggests; without a hint, its first folder or its file name."""
    path = composed(path)
    for rule in _RULES:
        if match := re.search(rule, path):
            return _normalised(match["subject"])
    *folders, name = path.split("/")
    kept = [part for part in (_SESSION.sub("", folder).strip() for folder in folders) if part]
    return "/".join(kept) or _SESSION.sub("", Path(name).stem) or Path(name).stem


def propose(paths: Iterable[str]) -> Proposal:
    """Return the subjects that the paths of recordings suggest, and a pattern that matches all of them."""
    listed = list(paths)
    fitting = (rule for rule in (*_RULES, _FIRST_FOLDER) if all(re.search(rule, path) for path in listed))
    return Proposal(Counter(guess(path) for path in listed), next(fitting, _FILE_NAME))


def state(file: "RecordingFile", path: str, pattern: str) -> "RecordingFile":
    """Return a recording with subject and session by the pattern.

    Args:
        file: The recording.
        path: Its path relative to the corpus folder.
        pattern: Value of `corpus.subject`.

    Raises:
        CorpusError: If the pattern does not match the path, or takes too long.
    """
    match = search(pattern, path, FIELD)
    if match is None or not (match["subject"] or "").strip():
        raise SubjectPatternError(
            f"the pattern {pattern!r} finds no subject in the path of this recording",
            file=path,
            field=FIELD,
            remedy="Extend the pattern so that it matches the path of every recording, relative to --data, or move "
            "the file out of the folder",
        )
    session = match.groupdict().get("session") or file.session
    return replace(file, subject=composed(match["subject"]), session=session, subject_source="pattern")


def _normalised(subject: str) -> str:
    """Return one spelling for sub01, Sub-1 and SUB_001."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[-_ ]", "", subject.lower()))
