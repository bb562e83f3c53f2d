"""Dataset adapters, and how the datasets of a corpus folder are found."""

from collections.abc import Sequence
from pathlib import Path

from labram.datasets.base import Dataset
from labram.datasets.bci_iv_1 import BciIv1
from labram.datasets.bci_iv_2a import BciIv2a
from labram.datasets.bi2015a import Bi2015a
from labram.datasets.bids import Bids
from labram.datasets.chb_mit import ChbMit
from labram.datasets.eegmat import Eegmat
from labram.datasets.eegmmidb import Eegmmidb
from labram.datasets.emobrain import Emobrain
from labram.datasets.folder import Folder
from labram.datasets.grasp_lift import GraspLift
from labram.datasets.inria_bci import InriaBci
from labram.datasets.mobi import Mobi
from labram.datasets.muse import Muse
from labram.datasets.seed import Seed, SeedV
from labram.datasets.siena import Siena
from labram.datasets.simulated import SimGait, SimHospital, SimLab
from labram.datasets.sleep_edf import SleepEdf
from labram.datasets.spis_rest import SpisRest
from labram.datasets.ssvep_exo import SsvepExo
from labram.datasets.trujillo import Trujillo2017, Trujillo2020
from labram.datasets.tuab import Tuab
from labram.datasets.tuar import Tuar
from labram.datasets.tuep import Tuep
from labram.datasets.tuev import Tuev
from labram.datasets.tusl import Tusl
from labram.datasets.tusz import Tusz
from labram.datasets.uci_smni import UciSmni
from labram.errors import CorpusError

FOLDER = Folder()
ADAPTERS: dict[str, Dataset] = {
    adapter.name: adapter
    for adapter in (
        Tuab(),
        Tuev(),
        SeedV(),
        Mobi(),
        Tuep(),
        Tusz(),
        Tuar(),
        Tusl(),
        Siena(),
        BciIv1(),
        GraspLift(),
        InriaBci(),
        SpisRest(),
        Trujillo2020(),
        Trujillo2017(),
        Bi2015a(),
        Emobrain(),
        Seed(),
        Eegmmidb(),
        SleepEdf(),
        ChbMit(),
        BciIv2a(),
        Eegmat(),
        SsvepExo(),
        UciSmni(),
        Muse(),
        SimHospital(),
        SimLab(),
        SimGait(),
        Bids(),
        FOLDER,
    )
}
"""By name: what the paper fine-tunes on, what it pre-trains on, others. `folder` recognises any EEG, so it is last."""


def find(data: Path, names: Sequence[str]) -> list[tuple[Dataset, Path]]:
    """The datasets of a corpus folder, each with its own folder.

    Args:
        data: A folder in the layout of a dataset, or one that holds such folders.
        names: Adapters to use, in this order. Empty: every adapter that recognises `data` or a folder directly
            below it, and `folder` for what is left.

    Raises:
        CorpusError: If there is no such folder, it is empty or without EEG, or a named dataset is not in it.
    """
    _check(data)
    if names:
        return [_named(data, name) for name in names]
    known = [adapter for adapter in ADAPTERS.values() if adapter is not FOLDER]
    # A folder in the layout of a dataset is that dataset; its sub-folders may look like datasets of their own.
    found = [(adapter, data) for adapter in known if adapter.recognises(data)]
    if found:
        return found
    found = [(adapter, place) for adapter in known for place in _folders(data) if adapter.recognises(place)]
    rest = Folder(*(place for _, place in found)) if found else FOLDER
    if rest.recognises(data):
        found.append((rest, data))
    if not found:
        raise CorpusError(
            "there is no EEG file in this folder",
            file=data,
            remedy=f"Give a folder with recordings ({', '.join(sorted(FOLDER.suffixes))})",
        )
    return found


def unused(data: Path, found: Sequence[tuple[Dataset, Path]]) -> list[str]:
    """Names of folders and files directly below `data` that are or hold EEG and belong to no dataset in `found`."""
    places = [place.resolve() for _, place in found]
    if data.resolve() in places:
        return []
    folders = [place for place in _folders(data) if place.resolve() not in places and FOLDER.recognises(place)]
    files = [path for path in data.iterdir() if path.is_file() and path.suffix.lower() in FOLDER.suffixes]
    return sorted(place.name for place in (*folders, *files))


def _check(data: Path) -> None:
    if not data.is_dir():
        raise CorpusError("there is no such folder", file=data, remedy="Give the folder that holds the recordings")
    if not any(data.iterdir()):
        raise CorpusError("this folder is empty", file=data, remedy="Put recordings into it or give another folder")


def adapter_named(name: str) -> Dataset:
    """The adapter of that name.

    Raises:
        CorpusError: If there is none.
    """
    if name not in ADAPTERS:
        raise CorpusError(
            f"there is no dataset adapter {name!r}",
            field="corpus.datasets",
            remedy=f"Choose from: {', '.join(ADAPTERS)}",
        )
    return ADAPTERS[name]


def describe() -> str:
    """What every adapter states, as a Markdown table for the documentation."""
    rows = "\n".join(_described(adapter) for adapter in ADAPTERS.values() if not adapter.simulated)
    return (
        "| name | dataset | mains | reference | tasks and their classes or targets | obtain | licence |\n"
        f"| --- | --- | --- | --- | --- | --- | --- |\n{rows}"
    )


def _described(adapter: Dataset) -> str:
    tasks = "; ".join(f"`{task}`: {', '.join(classes)}" for task, classes in adapter.tasks.items()) or "none"
    fetched = f"`labram corpus fetch {adapter.name}`, " if adapter.download else ""
    cells = (
        f"`{adapter.name}`{' ●' if adapter.seen else ''}",
        f"{adapter.title} ({adapter.citation})",
        f"{adapter.mains_hz:g} Hz",
        adapter.reference,
        tasks,
        f"{fetched}{adapter.obtain}",
        adapter.licence,
    )
    return f"| {' | '.join(cells)} |"


def _named(data: Path, name: str) -> tuple[Dataset, Path]:
    adapter = adapter_named(name)
    place = data / name
    if place.is_dir() and adapter.recognises(place):
        return adapter, place
    if adapter.recognises(data):
        return adapter, data
    found = f"the folder {name} is not in its layout" if place.is_dir() else f"there is no folder {name}"
    raise CorpusError(
        f"the dataset {name} is not here: {found}",
        file=data,
        field="corpus.datasets",
        remedy=f"Leave it out of the datasets, or get it: {adapter.obtain}",
    )


def _folders(data: Path) -> list[Path]:
    return sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
