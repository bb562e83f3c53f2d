"""Small EDF files, and the pieces of an ingest with settings that no test cares about."""

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import edfio
import numpy as np
import pytest

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import Ingested, ingest
from labram.corpus.store import Store
from labram.events import Silent
from labram.recipe import PreprocessingRecipe

CHANNELS = ("Fp1", "Fp2", "C3", "C4", "O1", "O2")
KEY = b"a key for tests"


def pink(rng: np.random.Generator, channels: int, samples: int, sd_uv: float) -> np.ndarray:
    """Noise whose power falls with frequency as that of EEG does, [channels, samples] in µV."""
    spectrum = np.fft.rfft(rng.standard_normal((channels, samples)))
    spectrum[:, 1:] /= np.sqrt(np.arange(1, spectrum.shape[1]))
    spectrum[:, 0] = 0.0
    noise = np.fft.irfft(spectrum, samples)
    return noise / noise.std(axis=1, keepdims=True) * sd_uv


@pytest.fixture
def write_edf() -> Callable[..., Path]:
    def write(
        path: Path,
        *,
        seed: int = 0,
        seconds: int = 10,
        rate: int = 100,
        sd_uv: float = 20.0,
        channels: Sequence[str] = CHANNELS,
        patient: str = "X",
        signals: np.ndarray | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if signals is None:
            signals = pink(np.random.default_rng(seed), len(channels), seconds * rate, sd_uv)
        edf = edfio.Edf(
            [
                edfio.EdfSignal(signal, rate, label=name, physical_dimension="uV")
                for name, signal in zip(channels, signals, strict=True)
            ],
            patient=edfio.Patient(name=patient),
        )
        edf.write(path)
        return path

    return write


@pytest.fixture(scope="session")
def write_gdf() -> Callable[..., Path]:
    """GDF 1.25: 256 bytes of header and as many a channel, then records of one second, then the table of events."""

    def write(
        path: Path,
        signals: np.ndarray,
        channels: Sequence[str],
        rate: int,
        *,
        text: str = "",
        begun: str = "20010101000000",
    ) -> Path:
        n, seconds = len(channels), signals.shape[1] // rate
        fixed = b"GDF 1.25" + f"{text} {text} X".ljust(80).encode() + text.ljust(80).encode()
        fixed += f"{begun}00".encode() + struct.pack("<q", 256 * (n + 1))
        fixed += (text[:8].ljust(8) * 3).encode() + bytes(20) + struct.pack("<q3I", seconds, 1, 1, n)
        fields = [label.ljust(16).encode() for label in channels] + [text.ljust(80).encode()] * n + [b"uV      "] * n
        limits = (("<d", -3276.8), ("<d", 3276.7), ("<q", -32768), ("<q", 32767))
        fields += [struct.pack(kind, limit) for kind, limit in limits for _ in range(n)]
        fields += [text.ljust(80).encode()] * n + [struct.pack("<i", rate)] * n + [struct.pack("<i", 3)] * n
        digital = np.rint(signals * 10).astype("<i2").reshape(n, seconds, rate).transpose(1, 0, 2)
        event = b"\1" + rate.to_bytes(3, "little") + struct.pack("<IIH", 1, 150, 769)
        path.write_bytes(fixed + b"".join(fields) + bytes(32 * n) + digital.tobytes() + event)
        return path

    return write


@pytest.fixture
def take_in(tmp_path: Path) -> Callable[..., tuple[Ingested, Corpus]]:
    """Ingest a folder as one shard, by default in this process, into a store that lives as long as the test."""

    def run(
        data: Path,
        datasets: Sequence[str] = (),
        *,
        shard: int = 0,
        shards: int = 1,
        workers: int = 0,
        preprocessing: PreprocessingRecipe = PreprocessingRecipe(),  # noqa: B008 - frozen
    ) -> tuple[Ingested, Corpus]:
        out = tmp_path / "shards" / f"{shard}-{shards}"
        done = ingest(
            data,
            datasets,
            out,
            store=Store(tmp_path / "store"),
            preprocessing=preprocessing,
            shard=shard,
            shards=shards,
            subject_key=KEY,
            monitor=Silent(),
            workers=workers,
        )
        return done, Corpus.load(out)

    return run
