"""Writers of the files that datasets come in, where no library writes them."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from labram.corpus.catalogue import Corpus

Rows = list[tuple[float, float, tuple[float, ...]]]


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Something like EEG [channels, samples] in µV: each sample is near the one before."""

    def walk(channels: int, samples: int, seed: int = 0) -> np.ndarray:
        steps = np.cumsum(np.random.default_rng(seed).standard_normal((channels, samples)), axis=1)
        return 20 * (steps - steps.mean(axis=1, keepdims=True)) / steps.std(axis=1, keepdims=True)

    return walk


@pytest.fixture
def write_cnt(noise: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """Neuroscan CNT 3.0, 32 bit; a unit is 0.01 µV."""

    def write(path: Path, labels: Sequence[str], *, seconds: int, rate: int = 1000, seed: int = 0) -> Path:
        data = np.round(noise(len(labels), seconds * rate, seed) * 100).T.astype("<i4").tobytes()
        header = bytearray(900)
        header[:11] = b"Version 3.0"
        end = 900 + 75 * len(labels) + len(data)
        for place, kind, value in (
            (370, "<H", len(labels)),
            (376, "<H", rate),
            (864, "<i", seconds * rate),
            (886, "<i", end),
        ):
            struct.pack_into(kind, header, place, value)
        for label in labels:
            channel = bytearray(75)
            channel[: len(label)] = label.encode()
            struct.pack_into("<f", channel, 59, 2.048)
            struct.pack_into("<f", channel, 71, 1.0)
            header += channel
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(header) + data + struct.pack("<bii", 1, 0, 0))
        return path

    return write


@pytest.fixture
def write_gdf(noise: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """GDF 1.25, 16 bit, one record a second; a unit is 0.01 µV. Events are (sample, code)."""

    def write(
        path: Path, labels: Sequence[str], *, seconds: int, rate: int, events: Sequence[tuple[int, int]], seed: int = 0
    ) -> Path:
        count = len(labels)
        data = np.round(noise(count, seconds * rate, seed) * 100).astype("<i2")
        text = b"".join
        header = b"GDF 1.25" + b" " * 160 + b"2005011712000000" + struct.pack("<q", 256 * (count + 1)) + bytes(24 + 20)
        header += struct.pack("<qIII", seconds, 1, 1, count)
        header += text(label.encode().ljust(16) for label in labels) + b" " * 80 * count + b"uV      " * count
        header += struct.pack(f"<{count}d", *[-327.68] * count) + struct.pack(f"<{count}d", *[327.67] * count)
        header += struct.pack(f"<{count}q", *[-32768] * count) + struct.pack(f"<{count}q", *[32767] * count)
        header += (
            b" " * 80 * count + struct.pack(f"<{count}i", *[rate] * count) + struct.pack(f"<{count}i", *[3] * count)
        )
        header += bytes(32 * count)
        records = data.reshape(count, seconds, rate).transpose(1, 0, 2).tobytes()
        table = struct.pack("<B3BI", 1, rate % 256, rate // 256, 0, len(events))
        table += struct.pack(f"<{len(events)}I", *(sample + 1 for sample, _ in events))
        table += struct.pack(f"<{len(events)}H", *(code for _, code in events))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(header + records + table)
        return path

    return write


@pytest.fixture
def labels_of() -> Callable[[Corpus, str], Rows]:
    """Start, seconds and label of a task's intervals, in order, of all recordings together."""

    def rows(corpus: Corpus, task: str) -> Rows:
        chosen = corpus.labels[corpus.labels["task"] == task].sort_values(["start", "recording_id"])
        return [
            (round(start, 3), round(seconds, 3), tuple(label))
            for start, seconds, label in zip(chosen["start"], chosen["seconds"], chosen["label"], strict=True)
        ]

    return rows


@pytest.fixture
def warnings_of() -> Callable[[Corpus], list[list[str]]]:
    """Return the warnings of each accepted recording, without those about channels and gaps."""

    def warnings(corpus: Corpus) -> list[list[str]]:
        listed = corpus.accepted()["warnings"]
        return sorted(
            [code for code in codes if not code.startswith(("lost_", "repeated_", "gaps_"))] for codes in listed
        )

    return warnings
