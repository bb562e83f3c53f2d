"""Arguments of the commands that read recordings, and what they print at the end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labram.cli.exit_codes import SOME_NOT_PREDICTED

if TYPE_CHECKING:
    from labram.inference.find_recordings import Source
    from labram.inference.prepare import Prepared

_NAMED = 5
"""Files, and sets of dropped channels, that are listed at most."""


class LineFrequency(StrEnum):
    """Power line frequencies."""

    HZ_50 = "50"
    HZ_60 = "60"


FilesArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE_OR_FOLDER", help="Recordings, or folders of recordings.")
]
DatasetOption = Annotated[
    str, typer.Option(help="Dataset adapter that reads the files. Default: the one whose layout their folders have.")
]
SubjectOption = Annotated[
    str,
    typer.Option(
        help="Pattern of the subjects in paths, such as '(?P<subject>P[0-9]+)', where no dataset's layout states them."
    ),
]
LineFrequencyOption = Annotated[
    LineFrequency | None,
    typer.Option(help="Power line frequency of recordings whose dataset states none, in Hz. Default: 50."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Processes that read and filter recordings. Default: one per core.")
]
AllowMissingOption = Annotated[
    bool, typer.Option("--allow-missing", help="Exit with 0 even if some files are left out.")
]


def sources_of(files: Sequence[Path], dataset: str, subject: str, line_freq: LineFrequency | None) -> "list[Source]":
    """Return the recordings that a command names.

    Raises:
        CorpusError: If a path does not exist, a folder has no recording, or the pattern does not match.
    """
    from labram.inference.find_recordings import find_recordings

    line_freq_hz = float(line_freq.value) if line_freq else None
    return find_recordings(files, dataset=dataset, subject=subject, line_freq_hz=line_freq_hz)


@dataclass
class RecordingCounts:
    """What became of the recordings of a command.

    Attributes:
        done: Recordings that were used.
        unused: Reason codes by file.
        dropped: Recordings by the labels of the channels that were dropped. For the terminal only.
    """

    done: int = 0
    unused: dict[str, str] = field(default_factory=dict)
    dropped: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def add(self, recordings: "Sequence[Prepared]", reasons: Sequence[tuple[str, str]]) -> None:
        """Count recordings; `reasons` has file and reason code of those that were not used."""
        self.unused.update(reasons)
        self.done += len(recordings) - len(reasons)
        self.dropped.update(each.dropped for each in recordings if each.dropped and each.name not in self.unused)

    def add_finished(self, files: int, reasons: Mapping[str, str]) -> None:
        """Count recordings that were finished before an interruption."""
        self.unused.update(reasons)
        self.done += files - len(reasons)

    def end(self, out: Path, *, allow_missing: bool) -> None:
        """Print the outcome, and exit with `SOME_NOT_PREDICTED` if recordings are missing."""
        from labram.cli.progress import console
        from labram.inference.reasons import COMPANIONS, explain

        say = partial(console.print, soft_wrap=True)
        say(f"{self.done} of {self.done + len(self.unused)} recordings → {out}")
        for labels, count in self.dropped.most_common(_NAMED):
            say(f"  channels dropped in {count} recordings: {', '.join(labels)}")
        for code, count in Counter(self.unused.values()).most_common():
            meaning, remedy = explain(code)
            say(f"  {count} not used, {code}: {meaning}" + (f". {remedy}" if remedy else ""), style="yellow")
            names = [name for name, reason in self.unused.items() if reason == code]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            say(f"    {', '.join(names[:_NAMED])}{more}")
        if not allow_missing and set(self.unused.values()) - COMPANIONS:
            raise typer.Exit(SOME_NOT_PREDICTED)
