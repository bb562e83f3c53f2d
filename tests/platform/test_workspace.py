"""Where a workspace keeps what."""

from pathlib import Path

import pytest

from labram.platform.workspace import Workspace


@pytest.mark.parametrize("given", ["s3://bucket/patches", "/mnt/patches"])
def test_the_store_may_be_elsewhere(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Workspace.at(tmp_path).store == tmp_path / "store"
    monkeypatch.setenv("LABRAM_STORE", given)
    assert str(Workspace.at(tmp_path).store) == given


def test_a_relative_store_is_the_same_for_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABRAM_STORE", "patches")
    monkeypatch.chdir(tmp_path)
    assert Workspace.at(tmp_path).store == tmp_path / "patches"
