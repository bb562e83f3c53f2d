"""Corpus versions: DVC where the corpus is under it, a fingerprint of the files elsewhere.

The corpus version of a DVC corpus is the ``.dir`` md5 in its `.dvc` file: a content address of the whole tree.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from labram.corpus.scan import fingerprint
from labram.corpus.store import Store
from labram.errors import CorpusError, PlatformError
from labram.events import Monitor


def corpus_version(data: Path, datasets: Sequence[str], store: Store | None = None) -> str:
    """The version of a corpus folder as it is now.

    Args:
        data: The corpus folder.
        datasets: Adapters that take part; empty: all that recognise something.
        store: Remembers hashes of files that have not changed.

    Raises:
        CorpusError: If there is nothing to read in `data`.
    """
    pointer = dvc_file(data)
    if pointer is not None and is_clean(pointer):
        return recorded_version(pointer)
    return f"sha256-{fingerprint(data, datasets, store)}"


def dvc_file(data: Path) -> Path | None:
    """The `.dvc` file that vouches for `data`, if there is one."""
    pointer = data.absolute().parent / f"{data.absolute().name}.dvc"
    return pointer if pointer.is_file() else None


def recorded_version(pointer: Path) -> str:
    """The content address that a `.dvc` file records."""
    return str(yaml.safe_load(pointer.read_text())["outs"][0]["md5"])


def is_clean(pointer: Path) -> bool:
    """Whether the data are what the `.dvc` file says, by DVC's own judgement."""
    return bool(json.loads(_dvc(pointer.parent, "status", "--json", pointer.name) or "{}") == {})


def obtain(pointer: Path, monitor: Monitor) -> None:
    """Make the data of `pointer` be there: from DVC's cache, from its remote, or by simulating them again.

    Raises:
        CorpusError: If simulated data are not those that the `.dvc` file records.
    """
    data = pointer.with_suffix("")
    for way in ("checkout", "pull") if _has_remote(pointer.parent) else ("checkout",):
        if _dvc(pointer.parent, way, pointer.name, check=False) is not None and data.exists():
            return
    from labram.corpus.simulate import simulate

    simulate(data, monitor=monitor)
    recorded = pointer.read_text()
    _dvc(pointer.parent, "commit", "--force", pointer.name)  # hashes the data and puts them into the cache
    if pointer.read_text() != recorded:
        pointer.write_text(recorded)
        raise CorpusError(
            f"the simulated corpus is not the one that {pointer.name} records",
            file=data.name,
            remedy=f"If the simulation was changed on purpose, run `dvc add {data.name}` and commit {pointer.name}",
        )


def _has_remote(folder: Path) -> bool:
    return bool((_dvc(folder, "remote", "list", check=False) or "").strip())


def _dvc(folder: Path, *arguments: str, check: bool = True) -> str | None:
    """Standard output of a DVC command; None if it failed and `check` is off. Exit codes decide, never texts."""
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    if not check:
        return None
    raise PlatformError(
        f"dvc {arguments[0]} failed with exit code {done.returncode}",
        file=arguments[-1],
        remedy="Run the same dvc command by hand to see what it says",
    )
