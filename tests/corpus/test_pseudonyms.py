import inspect
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labram.corpus.pseudonyms import (
    KEY_VARIABLE,
    WITHHELD,
    allowed_reference,
    load_key,
    subject_key,
    withhold_unknown_events,
)
from labram.corpus.scan import hash_content, recording_id, scan
from labram.datasets import ADAPTERS
from labram.errors import PlatformError
from labram.signals.recording import Event, Recording


def test_a_subject_has_one_name_per_key_and_dataset() -> None:
    names = {
        subject_key(key, dataset, subject)
        for key in (b"one", b"two")
        for dataset in ("eegmat", "muse")
        for subject in ("Anna", "Berta")
    }
    assert len(names) == 8
    assert subject_key(b"one", "eegmat", "Anna") == subject_key(b"one", "eegmat", "Anna")
    assert all("Anna" not in name and len(name.split("-")[1]) == 16 for name in names)


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


def test_what_is_shared_wants_a_key_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlatformError, match=f"{KEY_VARIABLE}: a store in a bucket requires a shared subject key"):
        load_key(tmp_path, shared=True)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv(KEY_VARIABLE, "given")
    assert load_key(tmp_path, shared=True) == b"given"


def test_an_empty_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "subject.key").write_text("\n")
    with pytest.raises(PlatformError, match="empty"):
        load_key(tmp_path)


def test_events_that_an_adapter_does_not_know_keep_their_time_and_lose_their_text() -> None:
    events = (Event(0.5, 0.0, "T1"), Event(1.0, 2.0, "Anna opens her eyes"), Event(3.0, 0.0, "T1 Anna"))
    recording = withhold_unknown_events(Recording(np.zeros((1, 500)), ("Cz",), 100.0, events), {"T1", "T2"})
    assert recording.events == (Event(0.5, 0.0, "T1"), Event(1.0, 2.0, WITHHELD), Event(3.0, 0.0, WITHHELD))


def test_every_adapter_that_reads_events_says_which() -> None:
    for adapter in ADAPTERS.values():
        if "recording.events" in inspect.getsource(inspect.getmodule(type(adapter))):  # type: ignore[arg-type]
            assert adapter.event_codes, adapter.name


@pytest.mark.parametrize(
    "text", ["Cz", "average", "linked ears (A1 and A2)", "right mastoid", "CMS/DRL", "not stated", ""]
)
def test_a_reference_in_common_terms_is_stated(text: str) -> None:
    assert allowed_reference(text) == text


@pytest.mark.parametrize("text", ["nose of Anna Mustermann", "Dr. Mustermann", "A1 1923-04-17", "Ànna"])
def test_a_reference_with_other_words_is_not(text: str) -> None:
    assert allowed_reference(text) == ""


def test_the_id_of_a_recording_tells_copies_apart_and_its_place_to_nobody_without_the_key(
    tmp_path: Path, write_edf: Callable[..., Path]
) -> None:
    for place in ("one", "two"):
        write_edf(tmp_path / "data" / place / "a.edf", seed=1)
    digest = hash_content(tmp_path / "data" / "one" / "a.edf").digest
    ids = {key: [recording_id(item, digest, key) for item in scan(tmp_path / "data")] for key in (b"one", b"two")}
    assert len({*ids[b"one"], *ids[b"two"]}) == 4, "copies differ, and so do keys"
    assert len({name[:-16] for name in (*ids[b"one"], *ids[b"two"])}) == 1, (
        "ids are in the order of contents under every key"
    )
