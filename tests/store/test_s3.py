"""The store in a bucket, against a server that speaks the S3 API."""

import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import boto3
import numpy as np
import pytest

from labram.errors import StoreError
from labram.input_spec import SAMPLE_RATE_HZ
from labram.store.store import Store, to_patches

MONTAGE = ("FP1", "CZ", "O2")
KEY = "k" * 32


def patches(seconds: int = 7, seed: int = 0) -> np.ndarray:
    signal = np.random.default_rng(seed).normal(0, 30, (3, seconds * SAMPLE_RATE_HZ))
    return to_patches(signal.astype(np.float32))


def names(uri: str) -> list[str]:
    name, _, prefix = uri.removeprefix("s3://").partition("/")
    found = boto3.client("s3").list_objects_v2(Bucket=name, Prefix=prefix)
    return sorted(entry["Key"] for entry in found.get("Contents", ()))


def another_machine(store: Store) -> Store:
    """The same bucket, with nothing of it here."""
    shutil.rmtree(store.root, ignore_errors=True)
    return Store(store.location)


@pytest.fixture
def store(bucket: str) -> Store:
    return Store(f"{bucket}/patches/v1/")


def test_what_one_machine_writes_another_reads(store: Store) -> None:
    store.write(KEY, patches(), MONTAGE)
    store.put_metadata("fact", {"seconds": 7})
    other = another_machine(store)
    assert KEY in other
    assert other.get_metadata("fact") == {"seconds": 7}
    assert other.montage(KEY) == MONTAGE
    assert np.array_equal(other.patches(KEY), patches())
    assert not other.patches(KEY).flags.owndata, "it is mapped from the folder before the bucket"
    assert other.verify(KEY)
    assert list(other.root.rglob("*.tmp")) == []


def test_an_entry_is_fetched_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(KEY, patches(), MONTAGE)
    other = another_machine(store)
    other.read(KEY, 0, 1)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert np.array_equal(Store(store.location).patches(KEY), patches())


def test_an_entry_larger_than_a_part_arrives_whole(store: Store) -> None:
    long = np.tile(patches(200), (30, 1, 1))
    assert long.nbytes > 6e6
    store.write(KEY, long, MONTAGE)
    assert np.array_equal(another_machine(store).patches(KEY), long)


def test_what_is_not_there_says_what_to_do(store: Store) -> None:
    assert KEY not in store
    assert not store.verify(KEY)
    assert store.get_metadata(KEY) is None
    with pytest.raises(StoreError, match="ingest again"):
        store.read(KEY, 0, 1)


def test_damaged_objects_are_found_and_removed(store: Store) -> None:
    store.write(KEY, patches(), MONTAGE)
    store.put_metadata(KEY, {"seconds": 7})
    (store.root / "corpora").mkdir(parents=True)
    assert store.names() == [f"kk/{KEY}.arrow", f"kk/{KEY}.json"]
    assert all(map(store.is_intact, store.names()))
    name, _, prefix = str(store.location).removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=name, Key=f"{prefix}kk/{KEY}.arrow", Body=b"ARROW1")
    assert [store.is_intact(entry) for entry in store.names()] == [False, True]
    store.remove(f"kk/{KEY}.arrow")
    assert store.names() == [f"kk/{KEY}.json"]
    assert KEY not in another_machine(store)


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty"])
def test_a_damaged_object_is_found_by_its_checksum(store: Store, damage: str) -> None:
    store.write(KEY, patches(), MONTAGE)
    client, bucket = boto3.client("s3"), store.location.removeprefix("s3://").partition("/")[0]
    (name,) = names(f"s3://{bucket}")
    content = bytearray(client.get_object(Bucket=bucket, Key=name)["Body"].read())
    content[len(content) // 2] ^= 0xFF
    left = {"truncated": len(content) // 3, "altered": len(content), "empty": 0}[damage]
    client.put_object(Bucket=bucket, Key=name, Body=bytes(content[:left]))
    other = another_machine(store)
    with pytest.raises(StoreError, match="damaged"):
        other.read(KEY, 0, 1)
    assert [path for path in other.root.rglob("*") if path.is_file()] == [], "it does not stay here"


def test_an_entry_that_left_the_bucket_is_not_intact(store: Store) -> None:
    store.write(KEY, patches(), MONTAGE)
    bucket = store.location.removeprefix("s3://").partition("/")[0]
    boto3.client("s3").delete_object(Bucket=bucket, Key=names(f"s3://{bucket}")[0])
    assert not store.verify(KEY)


def test_an_unfinished_entry_leaves_no_object(store: Store, bucket: str) -> None:
    def fails_midway() -> None:
        with store.writer(KEY, MONTAGE) as entry:
            entry.append(patches())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails_midway()
    assert names(bucket) == []


def test_a_server_that_is_down_is_a_store_error(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = Store(f"{bucket}/patches")
    for ask in (
        lambda: store.read(KEY, 0, 1),
        lambda: store.write(KEY, patches(), MONTAGE),
        store.corpora,
    ):
        with pytest.raises(StoreError, match="object store"):
            ask()


def test_a_bucket_that_is_not_there_is_a_store_error(bucket: str) -> None:
    with pytest.raises(StoreError, match="object store"):
        Store(f"{bucket}-other/patches").write(KEY, patches(), MONTAGE)


def _write(location: str, cache: Path, seed: int) -> bool:
    store = Store(location)
    store.root = cache
    for _ in range(5):
        store.write(KEY, patches(), MONTAGE)
        store.write(f"{seed}" * 32, patches(seed=seed), MONTAGE)
    return store.verify(KEY)


def test_several_writers_do_each_other_no_harm(store: Store, bucket: str, tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        done = [pool.submit(_write, store.location, tmp_path / f"machine {seed}", seed) for seed in range(3)]
        assert all(future.result() for future in done)
    assert len(names(bucket)) == 4
    reader = another_machine(store)
    assert np.array_equal(reader.patches(KEY), patches())
    for seed in range(3):
        assert np.array_equal(reader.patches(f"{seed}" * 32), patches(seed=seed))


def test_one_new_recording_costs_one_recording(
    store: Store, bucket: str, tmp_path: Path, write_edf: Callable[..., Path]
) -> None:
    from labram.corpus.ingest import ingest  # here, so that the writers of the test above need not import it
    from labram.events import NullMonitor
    from labram.recipe import PreprocessingRecipe

    def take_in(place: Store) -> tuple[int, int]:
        done = ingest(
            tmp_path / "data",
            (),
            tmp_path / "out",
            store=place,
            preprocessing=PreprocessingRecipe(),
            shard=0,
            shards=1,
            subject_key=b"key",
            monitor=NullMonitor(),
        )
        return done.recordings, done.reused

    for number in range(3):
        write_edf(tmp_path / "data" / f"{number}.edf", seed=number)
    assert take_in(store) == (3, 0)
    write_edf(tmp_path / "data" / "3.edf", seed=3)
    assert take_in(another_machine(store)) == (4, 3)
    assert len([name for name in names(bucket) if name.endswith(".arrow")]) == 4
    assert not any(name.startswith("patches/v1/files/") for name in names(bucket)), "of this machine's files only"


def test_judged_corpora_are_published_and_replaced(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "judged"
    folder.mkdir()
    for text in ("first", "second"):
        (folder / "summary.json").write_text(text)
        store.publish(folder, "abc")
        (found,) = another_machine(store).corpora()
        assert found.name == "abc"
        assert (found / "summary.json").read_text() == text
