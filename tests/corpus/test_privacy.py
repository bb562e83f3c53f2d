import stat
from pathlib import Path

import pytest

from labram.corpus.privacy import KEY_VARIABLE, load_key, subject_key
from labram.errors import PlatformError


def test_a_subject_has_one_name_per_key_and_dataset() -> None:
    names = {
        subject_key(key, dataset, subject)
        for key in (b"one", b"two")
        for dataset in ("eegmat", "muse")
        for subject in ("Anna", "Berta")
    }
    assert len(names) == 8
    assert subject_key(b"one", "eegmat", "Anna") == subject_key(b"one", "eegmat", "Anna")
    assert all("Anna" not in name and len(name.split("-")[1]) == 10 for name in names)


def test_the_workspace_makes_its_key_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first = load_key(tmp_path / "workspace")
    assert load_key(tmp_path / "workspace") == first
    assert len(first) >= 32
    assert load_key(tmp_path / "other") != first
    path = tmp_path / "workspace" / "subject.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["subject.key"]


def test_the_environment_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "given")
    assert load_key(tmp_path) == b"given"
    assert not (tmp_path / "subject.key").exists()


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "subject.key").write_text("\n")
    with pytest.raises(PlatformError, match="empty"):
        load_key(tmp_path)
