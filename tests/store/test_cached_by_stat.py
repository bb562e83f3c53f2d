"""Files that have not changed are not read again, and nothing that is kept for that tells their names."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labram.corpus import scan
from labram.store.store import Store

LONG_AGO = 1_600_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def corpus(tmp_path: Path, write_edf: Callable[..., Path]) -> Path:
    for name in ("Ada_Lovelace.edf", "Bea_Smith.edf", "Cyd_Jones.edf"):
        settled(write_edf(tmp_path / "data" / name, seed=len(name)))
    return tmp_path / "data"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recordings that are read to be hashed, as they are."""
    names: list[str] = []
    sound = scan._hash

    def spy(files: Sequence[Path]) -> dict[str, Any]:
        names.extend(path.name for path in files)
        return sound(files)

    monkeypatch.setattr(scan, "_hash", spy)
    return names


def settled(path: Path) -> Path:
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def test_an_unchanged_corpus_is_hashed_once(corpus: Path, store: Store, read: list[str]) -> None:
    version = scan.fingerprint(corpus, store=store)
    assert len(read) == 3
    assert scan.fingerprint(corpus, store=store) == version
    ids = {
        scan.recording_id(item, scan.hash_content(item.file.path, store).digest, b"key") for item in scan.scan(corpus)
    }
    assert len(scan.locate_recordings(corpus, (), ids, b"key", store)) == 3
    assert len(read) == 3
    assert scan.fingerprint(corpus) == version, "what is remembered is what the files hold"


def test_only_what_changed_is_hashed_again(
    corpus: Path, store: Store, read: list[str], write_edf: Callable[..., Path]
) -> None:
    version = scan.fingerprint(corpus, store=store)
    read.clear()
    settled(write_edf(corpus / "Bea_Smith.edf", seed=1234))
    os.utime(corpus / "Bea_Smith.edf", (LONG_AGO, LONG_AGO + 1))
    assert scan.fingerprint(corpus, store=store) != version
    assert read == ["Bea_Smith.edf"]


def test_a_file_that_changed_a_moment_ago_is_not_trusted(corpus: Path, store: Store, read: list[str]) -> None:
    (corpus / "Cyd_Jones.edf").touch()
    scan.fingerprint(corpus, store=store)
    read.clear()
    scan.fingerprint(corpus, store=store)
    assert read == ["Cyd_Jones.edf"]


def test_a_file_that_could_not_be_read_is_asked_again(
    corpus: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(files: Sequence[Path]) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(scan, "_hash", refuse)
        assert scan.hash_content(corpus / "Bea_Smith.edf", store).quarantined
    assert scan.hash_content(corpus / "Bea_Smith.edf", store).quarantined is None


def test_an_empty_file_stays_refused(corpus: Path, store: Store) -> None:
    (corpus / "Bea_Smith.edf").write_bytes(b"")
    settled(corpus / "Bea_Smith.edf")
    first, second = (scan.hash_content(corpus / "Bea_Smith.edf", store) for _ in range(2))
    assert first == second
    assert first.quarantined == ("damaged", "the file is empty")


def test_no_name_is_kept(corpus: Path, store: Store) -> None:
    scan.fingerprint(corpus, store=store)
    kept = [path for path in store.root.rglob("*") if path.is_file()]
    assert len(kept) == 3
    for path in kept:
        text = str(path.relative_to(store.root)) + path.read_text()
        assert not any(name in text for name in ("Ada", "Smith", "Jones", "data", ".edf"))


def test_an_entry_is_compared_with_its_checksum_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("key", np.ones((3, 2, 200), np.float16), ("FP1", "CZ"))
    settled(store.path("key"))
    assert store.verify("key")
    monkeypatch.setattr("labram.store.patch_file.compute_crc32", lambda *_: 1 / 0)
    assert store.verify("key")
    store.path("key").write_bytes(store.path("key").read_bytes())
    with pytest.raises(ZeroDivisionError):
        store.verify("key")
