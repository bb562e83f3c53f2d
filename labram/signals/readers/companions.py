"""Files beside a recording that belong to it, whatever the case of their names.

Recorders under Windows, where case does not matter, write `A.EEG` and name it `a.eeg`; libraries look for exact names.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from labram.scratch_folder import prefix


def find_beside(path: Path, name: str) -> Path | None:
    """Return the file of this name beside `path`, else one whose name differs only in case; None if there is none.

    A link that leads nowhere counts as a file: the recording is incomplete without it.
    """
    exact = path.with_name(name)
    if exact.is_file() or exact.is_symlink():
        return exact
    return next((other for other in sorted(path.parent.iterdir()) if _key(other.name) == _key(name)), None)


def _key(name: str) -> str:
    """Return a name without case and in one Unicode form: macOS decomposes umlauts, Windows does not."""
    return unicodedata.normalize("NFC", name.casefold())


def with_suffix(path: Path, suffix: str) -> Path | None:
    """Return the file beside `path` with another suffix, in any case."""
    return find_beside(path, f"{path.stem}{suffix}")


def with_companions(path: Path, suffixes: Iterable[str]) -> tuple[Path, ...]:
    """Return `path` and the existing files beside it with these suffixes."""
    return (path, *filter(None, (with_suffix(path, suffix) for suffix in suffixes)))


@contextmanager
def linked(files: Mapping[str, Path]) -> Iterator[Path]:
    """Provide a temporary folder with links to files under the names that a library looks for."""
    with TemporaryDirectory(prefix=prefix()) as name:
        folder = Path(name)
        for link, file in files.items():
            (folder / link).symlink_to(file.absolute())
        yield folder
