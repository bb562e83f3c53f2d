import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from labram.cli import app
from labram.errors import NonFinitePatchesError, StoreError
from labram.input_spec import SAMPLE_RATE_HZ
from labram.store.patch_file import open_mapped
from labram.store.store import _VERIFIED, LIMIT_UV, Store, to_patches

MONTAGE = ("FP1", "CZ", "O2")


def signal(seconds: int = 7, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 30, (channels, seconds * SAMPLE_RATE_HZ)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def key(store: Store) -> str:
    key = store.key("content")
    store.write(key, to_patches(signal()), MONTAGE)
    return key


@settings(max_examples=60, deadline=None)
@given(data=st.data(), channels=st.integers(1, 5), seconds=st.integers(1, 9), seed=st.integers(0, 99))
def test_any_window_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, channels: int, seconds: int, seed: int
) -> None:
    written = signal(seconds, channels, seed)
    store = Store(tmp_path_factory.mktemp("store"))
    store.write("k" * 32, to_patches(written), tuple(f"E{n}" for n in range(channels)))
    length = data.draw(st.integers(1, seconds))
    start = data.draw(st.integers(0, (seconds - length) * SAMPLE_RATE_HZ))
    window = store.read("k" * 32, start, length)
    expected = written.astype(np.float16).astype(np.float32)[:, start : start + length * SAMPLE_RATE_HZ]
    assert window.dtype == np.float32
    assert window.shape == (channels, length, SAMPLE_RATE_HZ)
    assert np.array_equal(window.reshape(channels, -1), expected)


def test_patches_are_a_read_only_view_of_the_file(store: Store, key: str) -> None:
    patches = store.patches(key)
    assert patches.shape == (7, 3, SAMPLE_RATE_HZ)
    assert patches.dtype == np.float16
    assert not patches.flags.owndata
    assert not patches.flags.writeable
    assert store.seconds(key) == 7
    assert store.montage(key) == MONTAGE


@pytest.mark.parametrize(("start", "seconds"), [(-1, 1), (0, 8), (1, 7), (1400, 1), (0, 0)])
def test_a_window_outside_the_recording_is_the_callers_mistake(
    store: Store, key: str, start: int, seconds: int
) -> None:
    with pytest.raises(IndexError):
        store.read(key, start, seconds)


def test_values_beyond_float16_are_clipped() -> None:
    loud = signal()
    loud[0, :5], loud[1, 3] = 1e9, -40_000.0
    patches = to_patches(loud)
    assert np.count_nonzero(np.abs(patches) == np.float16(LIMIT_UV)) == 6
    assert np.isfinite(patches).all()
    assert patches.max() == np.float16(LIMIT_UV)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_store_takes_finite_patches_only(store: Store, value: float) -> None:
    patches = to_patches(signal())
    patches[6, 2, 199] = value
    with pytest.raises(NonFinitePatchesError, match="NaN or infinite"):
        store.write("k" * 32, patches, MONTAGE)
    assert "k" * 32 not in store


def test_an_absent_entry_says_what_to_do(store: Store) -> None:
    assert "nothing" not in store
    with pytest.raises(StoreError, match="ingest again"):
        store.read("nothing", 0, 1)
    assert not store.verify("nothing")


@pytest.mark.parametrize("left", [0, 1, 100, -1, -300])
def test_a_truncated_entry_is_a_store_error(store: Store, key: str, left: int) -> None:
    whole = store.path(key).read_bytes()
    store.path(key).write_bytes(whole[:left])
    fresh = Store(store.root)
    with pytest.raises(StoreError, match="damaged"):
        fresh.read(key, 0, 1)
    assert not fresh.verify(key)


def test_changed_values_are_noticed(store: Store, key: str) -> None:
    assert store.verify(key)
    content = bytearray(store.path(key).read_bytes())
    content[len(content) // 2] ^= 0xFF
    store.path(key).write_bytes(content)
    assert not Store(store.root).verify(key)


def altered(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes wherever they are, and keep the modification time, as decay of a disk does."""
    stat, content = path.stat(), path.read_bytes()
    assert len(old) == len(new)
    assert old in content
    path.write_bytes(content.replace(old, new))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def read_in_another_process(store: Store, key: str) -> subprocess.CompletedProcess[str]:
    code = f"from labram.store.store import Store; print(Store({str(store.root)!r}).read({key!r}, 0, 2).sum())"
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)


def test_damaged_patches_are_noticed_on_first_use_of_another_process(store: Store, key: str) -> None:
    expected = store.read(key, 0, 2).sum()
    sound = read_in_another_process(store, key)
    assert float(sound.stdout) == pytest.approx(float(expected), rel=1e-5)
    last = store.patches(key)[6, 2, 192:].tobytes()
    altered(store.path(key), last, bytes(len(last)))  # in a second that is not read
    damaged = read_in_another_process(store, key)
    assert damaged.returncode != 0
    assert "this entry of the patch store is damaged" in damaged.stderr


def test_swapped_channel_names_are_noticed(store: Store, key: str) -> None:
    names, swapped = b'["FP1", "CZ", "O2"]', b'["FP1", "O2", "CZ"]'
    altered(store.path(key), names, swapped)
    fresh = Store(store.root)
    with pytest.raises(StoreError, match="damaged"):
        fresh.montage(key)
    assert not fresh.verify(key)


def test_an_entry_is_compared_once_per_process(store: Store, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store.read(key, 0, 1)
    monkeypatch.setattr("labram.store.patch_file.compute_crc32", lambda *_: 1 / 0)
    assert Store(store.root).seconds(key) == 7


def test_an_entry_without_a_checksum_of_its_header_still_loads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As earlier versions wrote it; damaged patches are noticed there, too."""
    schema = pa.schema

    def without(fields: list[pa.Field], metadata: dict[str, str]) -> pa.Schema:
        return schema(fields, metadata={name: text for name, text in metadata.items() if name != "header_crc32"})

    monkeypatch.setattr(pa, "schema", without)
    store.write("k" * 32, to_patches(signal()), MONTAGE)
    monkeypatch.undo()
    mapped = open_mapped(store.path("k" * 32))
    assert not mapped.header_checked
    assert store.montage("k" * 32) == MONTAGE
    assert np.array_equal(store.patches("k" * 32), to_patches(signal()))
    assert store.verify("k" * 32)
    altered(store.path("k" * 32), mapped.patches[6, 2, 192:].tobytes(), bytes(16))
    os.utime(store.path("k" * 32))
    with pytest.raises(StoreError, match="damaged"):
        Store(store.root).patches("k" * 32)


def test_damaged_codes_and_metadata_are_absent(store: Store, key: str) -> None:
    codes = np.arange(3000, dtype=np.uint16)
    store.put_array(key, "codes", codes)
    store.put_metadata(key, {"seconds": 7})
    read = store.get_array(key, "codes")
    assert read is not None
    assert np.array_equal(read, codes)
    assert isinstance(read, np.memmap)
    assert store.get_metadata(key) == {"seconds": 7}
    altered(store._array_path(key, "codes"), codes[7:9].tobytes(), codes[8:10].tobytes())
    altered(store._metadata_path(key), b"7", b"8")
    _VERIFIED.clear()  # as in another process
    assert store.get_array(key, "codes") is None
    assert store.get_metadata(key) is None


def test_codes_and_metadata_of_earlier_versions_are_read(store: Store, key: str) -> None:
    np.save(store._array_path(key, "codes"), np.arange(3, dtype=np.uint16))
    store._metadata_path(key).write_text('{"seconds": 7}')
    read = store.get_array(key, "codes")
    assert read is not None
    assert read.tolist() == [0, 1, 2]
    assert store.get_metadata(key) == {"seconds": 7}


def test_damage_is_found_in_all_files_whatever_their_times_and_can_be_removed(store: Store, key: str) -> None:
    store.put_array(key, "codes", np.arange(3000, dtype=np.uint16))
    store.put_metadata(key, {"seconds": 7})
    assert store.verify(key)  # and cached
    names = store.names()
    assert [Path(name).suffix for name in names] == [".arrow", ".npy", ".json"]
    assert all(map(store.is_intact, names))
    altered(store.path(key), store.patches(key)[3, 1, :8].tobytes(), bytes(16))
    altered(store._array_path(key, "codes"), b"\x07\x00\x08", b"\x07\x00\x09")
    altered(store._metadata_path(key), b"7", b"8")
    assert not any(map(store.is_intact, names))
    arguments = ["store", "verify", "--store", str(store.root)]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 1
    assert all(name in found.output for name in names)
    assert "--remove" in str(found.exception)
    removed = CliRunner().invoke(app, [*arguments, "--remove", "--json"])
    assert removed.exit_code == 0
    assert '"removed": true' in removed.output
    assert store.names() == []


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to nothing"])
def test_what_is_no_file_is_damage_and_nothing_waits_for_it(store: Store, key: str, kind: str) -> None:
    store.put_array(key, "codes", np.arange(3, dtype=np.uint16))
    store.put_metadata(key, {"seconds": 7})
    names = store.names()
    for name in names:
        path = store.root / name
        path.unlink()
        {"pipe": os.mkfifo, "folder": Path.mkdir, "link to nothing": lambda p: p.symlink_to("nothing")}[kind](path)
    fresh = Store(store.root)
    assert fresh.names() == names
    assert not any(map(fresh.is_intact, names))
    assert not fresh.verify(key)
    assert fresh.get_metadata(key) is None
    assert fresh.get_array(key, "codes") is None
    for name in names:
        fresh.remove(name)
    assert fresh.names() == []


def test_the_key_depends_on_all_that_the_patches_depend_on() -> None:
    base = Store.key("content", mains_hz=50.0, version="1")
    others = {
        Store.key("content 2", mains_hz=50.0, version="1"),
        Store.key("content", mains_hz=60.0, version="1"),
        Store.key("content", mains_hz=50.0, version="2"),
    }
    assert len({base, *others}) == 4
    assert base == Store.key("content", version="1", mains_hz=50.0)


def test_a_full_disk_leaves_nothing_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="Free some space"):
        store.write("k" * 32, to_patches(signal()), MONTAGE)
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any), seed=st.integers(0, 99))
def test_blocks_make_the_same_file_as_one_piece(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int
) -> None:
    patches = to_patches(signal(sum(lengths), seed=seed))
    store = Store(tmp_path_factory.mktemp("store"))
    store.write("whole", patches, MONTAGE)
    with store.writer("blocks", MONTAGE) as entry:
        for block in np.split(patches, np.cumsum(lengths)[:-1]):
            entry.append(block)
    assert store.path("blocks").read_bytes() == store.path("whole").read_bytes()
    assert np.array_equal(store.patches("blocks"), patches)
    assert store.verify("blocks")


def test_arrow_reads_an_entry_like_any_file_of_its(store: Store, key: str) -> None:
    table = pa.ipc.open_file(store.path(key)).read_all()
    assert table.column_names == ["patches"]
    assert np.array_equal(table["patches"][2].values.to_numpy(), store.patches(key)[2].reshape(-1))


def test_an_entry_that_is_not_finished_is_not_there(store: Store) -> None:
    def fails_midway() -> None:
        with store.writer("k" * 32, MONTAGE) as entry:
            entry.append(to_patches(signal()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_midway()
    assert "k" * 32 not in store
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_a_recording_that_cannot_be_read_does_not_blame_the_store(store: Store) -> None:
    with pytest.raises(OSError, match="Input/output") as raised, store.writer("k" * 32, MONTAGE):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert not isinstance(raised.value, StoreError)


def test_a_long_recording_is_written_and_checked_within_little_memory(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
import numpy as np
from labram.store.store import Store
store, block = Store(Path(sys.argv[1])), np.ones((60, 64, 200), np.float16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with store.writer("long", tuple(f"E{n}" for n in range(64))) as entry:
    for _ in range(120):
        entry.append(block)
assert store.verify("long") and store.seconds("long") == 7200
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000, "the entry has 180 000 KiB"


def test_writing_again_replaces_what_was_read(store: Store, key: str) -> None:
    store.read(key, 0, 1)
    store.write(key, to_patches(signal(seed=1)), MONTAGE)
    assert np.array_equal(store.patches(key), to_patches(signal(seed=1)))


def test_damaged_notes_are_as_good_as_none(store: Store) -> None:
    store.put_metadata("key", {"seconds": 3})
    assert store.get_metadata("key") == {"seconds": 3}
    next(store.root.rglob("*.json")).write_text("{")
    assert store.get_metadata("key") is None


def test_what_killed_writers_left_is_removed_and_what_others_are_writing_is_not(store: Store, key: str) -> None:
    dead, alive = (store.path(key).with_name(f".{key}.{name}.tmp") for name in ("dead", "alive"))
    for path in (dead, alive):
        path.write_bytes(b"part")
    os.utime(dead, (1_600_000_000, 1_600_000_000))
    store.gc()
    assert not dead.exists()
    assert alive.exists()
    assert store.verify(key)


def test_a_writer_that_is_killed_leaves_no_entry(store: Store) -> None:
    code = """
import sys, time
from pathlib import Path
import numpy as np
from labram.store.store import Store
with Store(Path(sys.argv[1])).writer("k" * 32, ("FP1",)) as entry:
    entry.append(np.ones((9000, 1, 200), np.float16))
    print("written", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, store.root], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "written\n"
        writer.kill()
    assert "k" * 32 not in store
    (left,) = (path for path in store.root.rglob("*") if path.is_file())
    os.utime(left, (1_600_000_000, 1_600_000_000))
    store.gc()
    assert not left.exists()


@pytest.mark.parametrize("address", ["http://host/store", "gs://bucket/store", "s3://", "s3:///store"])
def test_an_address_of_another_kind_makes_no_folder(address: str) -> None:
    with pytest.raises(StoreError, match="not a patch store location"):
        Store(address)


def test_a_store_that_may_not_be_read_is_a_store_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    assert store.corpora() == []
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StoreError, match=r"cannot be read \(Permission denied\)"):
        store.corpora()
