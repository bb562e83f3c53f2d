"""Import of what the published code prepares: a pickle per labelled window, or recordings in HDF5.

Nothing in a pickle is executed: it may hold NumPy arrays and plain values only. The result is a folder of `.npz` files
with a `dataset.yaml`. The published preparation has filtered the signals and resampled them to 200 Hz, in µV.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from numpy.typing import NDArray

from labram.atomic import atomic_folder
from labram.datasets import subjects
from labram.datasets.stated.dataset_file import DATASET_FILE
from labram.datasets.stated.pickled_window import read_window
from labram.datasets.walk import is_own_file, walk
from labram.errors import CorpusError
from labram.events import Monitor, NullMonitor
from labram.input_spec import SAMPLE_RATE_HZ
from labram.signals.readers.errors import too_large
from labram.signals.readers.hdf5_links import require_self_contained
from labram.signals.readers.limits import unpacked_limit

_NAMES = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ T1 T2"
TUH_CHANNELS = tuple(_NAMES.split())
"""Channels of the pickles of TUAB and TUEV, in order."""
_WINDOW = re.compile(r"(?P<recording>.+)-(?P<number>\d+)\.pkl", re.IGNORECASE)
_SPLITS = {
    "train": "train", "processed_train": "train", "val": "validation", "processed_eval": "validation",
    "test": "test", "processed_test": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """What was imported.

    Attributes:
        recordings: Number of recordings.
        windows: Number of labelled windows; 0: continuous recordings.
        doubts: What the dataset file leaves open.
    """

    recordings: int
    windows: int
    doubts: tuple[str, ...]


def import_published(
    folder: Path, out: Path, name: str, channels: Sequence[str] = (), monitor: Monitor | None = None
) -> Imported:
    """Write the windows or recordings of a folder of the published code as `.npz` files with a `dataset.yaml`.

    Args:
        folder: Folder with `.pkl` windows, or with `.hdf5` or `.h5` recordings.
        out: The new folder.
        name: Name of the dataset.
        channels: Channels of the windows; empty: the 23 of the Temple corpora.
        monitor: Receives progress.

    Raises:
        CorpusError: If there is nothing to import, or a file is damaged, holds anything else, or has other channels.
    """
    if out.exists() and any(out.iterdir()):
        raise CorpusError("the folder is not empty", file=out, field="--out", remedy="Choose another folder")
    windows = _by_recording(folder)
    files = sorted(path for path in _files(folder) if path.suffix.lower() in (".hdf5", ".h5"))
    if not windows and not files:
        raise CorpusError(
            "no pickled windows and no HDF5 file",
            file=folder,
            remedy="Choose the folder that the published preparation wrote, such as processed",
        )
    monitor = monitor or NullMonitor()
    with atomic_folder(out) as made:
        if windows:
            return _import_windows(windows, made, name, tuple(channels) or TUH_CHANNELS, monitor)
        return _import_recordings(files, made, name, monitor)


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in walk(folder):
        for path in (parent / name for name in names if not name.startswith(".")):
            if is_own_file(path, folder):
                yield path


def _by_recording(folder: Path) -> dict[str, list[Path]]:
    """Return the windows of each recording in order, by the recording's relative path."""
    found: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    for path in _files(folder):
        if match := _WINDOW.fullmatch(path.name):
            place = (path.parent.relative_to(folder) / match["recording"]).as_posix()
            found[place].append((int(match["number"]), path))
    return {place: [path for _, path in sorted(paths)] for place, paths in sorted(found.items())}


def _import_windows(
    windows: Mapping[str, Sequence[Path]], out: Path, name: str, channels: tuple[str, ...], monitor: Monitor
) -> Imported:
    labels: set[float] = set()
    for number, (place, paths) in enumerate(windows.items(), start=1):
        read = [read_window(path) for path in paths]
        for path, (signals, _) in zip(paths, read, strict=True):
            if signals.shape != read[0][0].shape or len(signals) != len(channels):
                raise CorpusError(
                    f"signals with the shape {signals.shape}; {len(channels)} channels are expected",
                    file=path.name,
                    field="--channels",
                    remedy="State the channels in the order of the windows",
                )
        _save(out / f"{place}.npz", X=np.stack([x for x, _ in read]), y=np.array([label for _, label in read]))
        labels |= {label for _, label in read}
        monitor.progress(number, len(windows))
    trials = {"files": "**/*.npz", "variable": "X", "axes": ["trials", "channels", "samples"]}
    classes = {f"{label:g}": f"class {label:g}" for label in sorted(labels)}
    tasks = {"label": {"classes": list(classes.values()), "labels": {"trials": "y", "values": classes}}}
    splits, doubts = _splits(windows)
    if splits:
        lines = ["file,split", *(f"{place}.npz,{split}" for place, split in splits.items())]
        _write(out / "splits.csv", "\n".join(lines) + "\n")
    stated = {
        **_head(name, r"(?:^|/)(?P<subject>[^/_]+)_(?P<session>[^/]*)\.npz$"),
        **({"split": {"table": "splits.csv", "file": "file", "split": "split"}} if splits else {}),
        "trials": _array(trials, channels, SAMPLE_RATE_HZ),
        **({"tasks": tasks} if len(classes) > 1 else {}),
    }
    doubts = ["name the classes of label", *doubts] if len(classes) > 1 else doubts
    _write(out / DATASET_FILE, _document(stated, doubts))
    return Imported(len(windows), sum(map(len, windows.values())), tuple(doubts))


def _splits(windows: Mapping[str, object]) -> tuple[dict[str, str], list[str]]:
    """Return the split of each recording by its folder; none if a subject has recordings in two, as in TUAB."""
    splits = {place: _SPLITS[part] for place in windows for part in place.split("/") if part in _SPLITS}
    if len(splits) < len(windows):
        return {}, []
    of_subject: dict[str, set[str]] = defaultdict(set)
    for place, split in splits.items():
        of_subject[place.rsplit("/", 1)[-1].partition("_")[0]].add(split)
    torn = sum(len(several) > 1 for several in of_subject.values())
    if torn:
        return {}, [f"{torn} subjects have recordings in two splits: the splits are drawn anew, by subject"]
    return splits, []


def _import_recordings(files: Sequence[Path], out: Path, name: str, monitor: Monitor) -> Imported:
    layouts: dict[tuple[tuple[str, ...], float], str] = {}
    places = []
    for number, path in enumerate(files, start=1):
        for group, signals, layout in _groups(path):
            layouts.setdefault(layout, f"{path.name}/{group}")
            if len(layouts) > 1:
                raise CorpusError(
                    f"{group} has other channels or another sampling rate than {next(iter(layouts.values()))}",
                    file=path.name,
                    remedy="Import recordings of one montage at a time, each into its own folder",
                )
            places.append(f"{path.stem}/{re.sub(r'[^A-Za-z0-9._-]', '_', group)}.npz")
            _save(out / places[-1], X=signals)
        monitor.progress(number, len(files))
    if not places:
        raise CorpusError("no recording `eeg` in the HDF5 files", file=files[0].name, remedy="Choose another folder")
    ((channels, rate),) = layouts
    trials = {"files": "**/*.npz", "variable": "X", "axes": ["channels", "samples"]}
    pattern = subjects.propose(places).pattern
    doubts = ["check the pattern of subjects: it is a guess from the names of the recordings"]
    _write(out / DATASET_FILE, _document({**_head(name, pattern), "trials": _array(trials, channels, rate)}, doubts))
    return Imported(len(places), 0, tuple(doubts))


def _groups(path: Path) -> Iterator[tuple[str, NDArray[np.float32], tuple[tuple[str, ...], float]]]:
    """Yield name, signals [channels, samples], channels and sampling rate of the recordings of a file."""
    try:
        require_self_contained(path)
        with h5py.File(path, "r") as file:
            for group in file:
                data = file[group]["eeg"]
                names = tuple(_text(each) for each in np.ravel(data.attrs["chOrder"]))
                _require_rows(data.shape, len(names))
                if data.nbytes > unpacked_limit(path):
                    raise too_large(path, "it unpacks to far more than its size")
                yield group, np.asarray(data[()], np.float32), (names, float(data.attrs["rsFreq"]))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CorpusError(
            f"not HDF5 of the published code ({type(error).__name__}: {error})",
            file=path.name,
            remedy="Each group needs a dataset `eeg` [channels, samples] with the attributes chOrder and rsFreq",
        ) from None


def _require_rows(shape: Sequence[int], channels: int) -> None:
    if len(shape) != 2 or shape[0] != channels:
        raise ValueError(f"{channels} channels for the shape {tuple(shape)}")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _head(name: str, pattern: str) -> dict[str, object]:
    return {"name": name, "title": name, "line_freq_hz": 50, "subject": pattern}


def _array(trials: Mapping[str, object], channels: Sequence[str], rate: float) -> dict[str, object]:
    stated = {"sampling_rate_hz": rate, "unit": "µV", "channels": list(channels), "filtered": True}
    return {**trials, **stated}


def _document(stated: Mapping[str, object], doubts: Sequence[str]) -> str:
    head = "# Imported by `labram corpus import-labram`; docs/your-own-data.md explains all keys.\n"
    lines = "".join(f"# ? {doubt}\n" for doubt in doubts)
    return head + lines + yaml.safe_dump(dict(stated), sort_keys=False, allow_unicode=True, width=100)


def _save(path: Path, **arrays: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, allow_pickle=False, **arrays)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
