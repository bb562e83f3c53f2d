"""The recordings of files and folders that were named on the command line, each with the adapter that reads it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labram.corpus.scan import Item, scan
from labram.datasets.base import Group, RecordingFile
from labram.datasets.finder import FOLDER
from labram.datasets.registry import ADAPTERS
from labram.datasets.stated.dataset_file import DATASET_FILE
from labram.datasets.stated.file_dataset import FileDataset
from labram.datasets.subjects import guess, state
from labram.errors import CorpusError

_LEVELS = 6
"""Folders above a file in which its dataset's layout is looked for: the deepest layout, TUH's, has five."""


@dataclass(frozen=True)
class Source:
    """A recording to read.

    Attributes:
        name: Its path as the caller named it, or named its folder.
        item: The recording with its adapter.
    """

    name: str
    item: Item

    @property
    def subject(self) -> str:
        """The subject by the dataset's layout or a pattern; empty if nothing states it."""
        return "" if self.item.file.subject_source == "guessed" else self.item.file.subject

    @property
    def group(self) -> str:
        """Key of the recordings of one person; a recording without a stated subject is alone."""
        if not self.subject:
            return f"\0{self.name}"
        return f"{self.item.dataset.population or self.item.dataset.name}\0{self.item.subject}"


def find_recordings(
    paths: Sequence[Path], *, dataset: str = "", subject: str = "", line_freq_hz: float | None = None
) -> list[Source]:
    """Return the recordings of some files and folders, each once, sorted by name.

    A folder is scanned as ingest does. For a file, the folders above it decide on its adapter.

    Args:
        paths: Files and folders.
        dataset: Adapter to use; empty: the one whose layout fits, else that of plain folders.
        subject: Pattern of the subjects, see `labram.corpus.scan.scan`.
        line_freq_hz: Line frequency of recordings whose metadata state none.

    Raises:
        CorpusError: If a path does not exist, a folder has no recording, or the pattern does not match.
    """
    files = _Files(dataset, subject)
    found: dict[tuple[Path, str], Source] = {}
    for path in paths:
        for source in _in_folder(path, dataset, subject) if path.is_dir() else [files.source(path)]:
            key = (source.item.file.path.absolute(), source.item.file.part)
            found.setdefault(key, _with_line_freq(source, line_freq_hz))
    return sorted(found.values(), key=lambda source: source.name)


def _in_folder(folder: Path, dataset: str, subject: str) -> Iterator[Source]:
    for item in scan(folder, [dataset] if dataset else [], subject, labelled=False):
        part = item.file.part if item.file.trials is not None else ""
        yield Source(f"{item.file.path} {part}" if part else str(item.file.path), item)


def _with_line_freq(source: Source, line_freq_hz: float | None) -> Source:
    file, dataset = source.item.file, source.item.dataset
    if line_freq_hz is None or file.line_freq_hz is not None or dataset.group is not Group.GENERIC:
        return source
    notes = tuple(note for note in file.notes if note != "line_freq_not_stated")
    return replace(source, item=replace(source.item, file=replace(file, line_freq_hz=line_freq_hz, notes=notes)))


class _Files:
    """Adapters of single files; the recordings of each folder are listed once."""

    def __init__(self, dataset: str, subject: str) -> None:
        self._adapters = (
            [ADAPTERS[dataset]] if dataset in ADAPTERS else [each for each in ADAPTERS.values() if each is not FOLDER]
        )
        self._subject, self._dataset = subject, dataset
        self._listed: dict[Path, dict[Path, Item]] = {}

    def source(self, path: Path) -> Source:
        """Return the recording of one file.

        Raises:
            CorpusError: If the file does not exist, or is none of the named dataset's.
        """
        if not path.exists() and not path.is_symlink():
            raise CorpusError("no such file or folder", file=path, remedy="Name recordings, or folders of recordings")
        item = self._item(path.absolute())
        if self._subject and item.file.subject_source == "guessed":
            item = replace(item, file=state(item.file, path.as_posix(), self._subject))
        return Source(str(path), item)

    def _item(self, path: Path) -> Item:
        for folder in path.parents[:_LEVELS]:
            if folder in {folder.parent, Path.home()}:
                break
            if path in self._recordings(folder):
                return self._recordings(folder)[path]
        if self._dataset and self._dataset != FOLDER.name:
            raise CorpusError(
                f"the file is not in the layout of {self._dataset}",
                file=path.name,
                field="dataset",
                remedy="Keep the dataset's folders and file names, or leave --dataset out",
            )
        file = RecordingFile(FOLDER.name, path, guess(path.name), path.name, subject_source="guessed")
        return Item(FOLDER, path.parent, file)

    def _recordings(self, folder: Path) -> dict[Path, Item]:
        if folder not in self._listed:
            self._listed[folder] = {item.file.path: item for item in self._list(folder)}
        return self._listed[folder]

    def _list(self, folder: Path) -> Iterator[Item]:
        if (folder / DATASET_FILE).is_file():
            stated = FileDataset.load(folder).without_labels()
            if self._dataset in ("", stated.name):
                yield from (Item(stated, folder, file) for file in stated.recordings(folder))
            return
        for adapter in self._adapters:
            if adapter.recognises(folder):
                yield from (Item(adapter, folder, file) for file in adapter.recordings(folder))
                return
