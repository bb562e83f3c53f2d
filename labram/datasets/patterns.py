"""Regular expressions of dataset files and recipes, searched in the paths of recordings.

Names are composed first, so a pattern finds an umlaut however the file system stores it.
"""

import re
import signal
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from labram.errors import CorpusError

MOST_SECONDS = 2.0
"""Processor time of one search: a pattern such as ``(\\w+)+$`` takes years for a path of 60 characters."""


def composed(name: str) -> str:
    """Return a name in one Unicode form, without blanks around it: macOS decomposes umlauts, Windows does not."""
    return unicodedata.normalize("NFC", name).strip()


class _TooLongError(Exception):
    pass


def search(pattern: str, place: str, field: str) -> re.Match[str] | None:
    """Return the first match of a pattern in the path of a recording.

    Args:
        pattern: The pattern, which compiles.
        place: The path, relative to the folder of the dataset or corpus.
        field: Key that states the pattern.

    Raises:
        CorpusError: If it takes more than `MOST_SECONDS`; outside the main thread, there is no limit.
    """
    try:
        with _limited():
            return re.search(pattern, composed(place))
    except _TooLongError:
        raise CorpusError(
            f"the pattern {pattern!r} takes more than {MOST_SECONDS:g} s for one path",
            field=field,
            remedy="Leave out repetitions of repetitions, such as (a+)+",
        ) from None


@contextmanager
def _limited() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
