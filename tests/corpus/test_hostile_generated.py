"""Damage that nobody thought of: generated headers, flipped bytes and cuts of small EDF and BDF files.

Whatever is done to a file, its ingest ends with one row, accepted or refused with a reason that is not a defect of
labram; and what is accepted has the samples that edfio or MNE find in it. `LABRAM_HOSTILE_CASES` sets how many
files are tried, at random; without it they are 150, the same ones every time.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import edfio
import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labram.corpus.catalogue import Corpus
from labram.corpus.ingest import ingest
from labram.errors import ReadError
from labram.events import NullMonitor
from labram.recipe import PreprocessingRecipe
from labram.signals.readers import read
from labram.signals.readers.edf_header import read_header
from labram.store.store import Store

CASES = int(os.environ.get("LABRAM_HOSTILE_CASES", "0"))
RATE, SECONDS, LABELS = 64, 24, ("Fp1", "Cz", "EKG")
SIGNALS = len(LABELS) + 1
"""An annotation signal is added by edfio."""
MICROVOLTS = {"nV": 1e-3, "uV": 1.0, "mV": 1e3, "V": 1e6}
WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
FIELDS = {
    0: 8,
    184: 8,
    192: 5,
    236: 8,
    244: 8,
    252: 4,
    **{
        256 + SIGNALS * sum(WIDTHS[:kind]) + index * WIDTHS[kind]: WIDTHS[kind]
        for kind in (0, 2, 3, 4, 5, 6, 8)
        for index in range(SIGNALS)
    },
}
"""Place and width of each field of the header that says how the file is to be read."""
NASTY = (
    b"", b"0", b"1", b"-1", b"2", b"24", b"64", b"65535", b"99999999", b"-32768", b"32767", b"1e999", b"nan", b"inf",
    b"1,5", b"0.001", b"1e-9", b"uV", b"mV", b"V", b"%", b"Fp1", b"EDF Annotations", b"Status", b"EDF+D", b"1_0",
    b"\xff\xfe", b"\0\0\0\0",
)  # fmt: skip
DAMAGE = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(("edf", "bdf")),
        "fields": st.dictionaries(
            st.sampled_from(sorted(FIELDS)), st.sampled_from(NASTY) | st.binary(max_size=16), max_size=3
        ),
        "flips": st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(1, 255)), max_size=6),
        "end": st.none() | st.integers(0, 1 << 14),
    }
)


def sound(path: Path, kind: str) -> bytes:
    rng = np.random.default_rng(0)
    file, channel = {"edf": (edfio.Edf, edfio.EdfSignal), "bdf": (edfio.Bdf, edfio.BdfSignal)}[kind]
    signals = [
        channel(np.cumsum(rng.standard_normal(RATE * SECONDS)), RATE, label=label, physical_dimension="uV")
        for label in LABELS
    ]
    marks = [edfio.EdfAnnotation(2.5, 1.0, "T1")]
    file(signals, annotations=marks, data_record_duration=1).write(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    return {kind: sound(folder / f"a.{kind}", kind) for kind in ("edf", "bdf")}


def damaged(content: bytes, damage: dict) -> bytes:
    changed = bytearray(content)
    for place, value in damage["fields"].items():
        changed[place : place + FIELDS[place]] = value[: FIELDS[place]].ljust(FIELDS[place])
    for place, bits in damage["flips"]:
        changed[place % len(changed)] ^= bits
    return bytes(changed[: damage["end"]])


def verdict(folder: Path) -> tuple[str, ...]:
    """Verdict and reasons of the one recording of a folder."""
    done = ingest(
        folder,
        ("folder",),
        folder.parent / "out",
        store=Store(folder.parent / "store"),
        preprocessing=PreprocessingRecipe(),
        shard=0,
        shards=1,
        subject_key=b"a key for tests",
        monitor=NullMonitor(),
        workers=0,
    )
    (row,) = Corpus.load(folder.parent / "out").catalogue.itertuples()
    assert done.recordings == 1 == (row.verdict == "accepted") + done.quarantined
    return row.verdict, *row.reasons


def by_edfio(path: Path) -> dict[int, np.ndarray]:
    """Samples in µV by position in the header, of signals whose unit is a voltage."""
    file = (edfio.read_edf if path.suffix == ".edf" else edfio.read_bdf)(path, lazy_load_data=False)
    labels = [signal.label for signal in file.signals]
    if len(set(labels)) < len(labels):
        raise ValueError("edfio leaves annotation signals out, so only unlike labels tell which is which")
    places = {channel.label: place for place, channel in enumerate(read_header(path).channels)}
    return {
        places[signal.label]: signal.data * MICROVOLTS[signal.physical_dimension]
        for signal in file.signals
        if signal.label in places and signal.physical_dimension in MICROVOLTS and calibrated(signal)
    }


def calibrated(signal: edfio.EdfSignal | edfio.BdfSignal) -> bool:
    """Whether edfio understands the extremes; where not, it hands out digital values."""
    try:
        return signal.physical_min != signal.physical_max and signal.digital_min != signal.digital_max
    except ValueError:
        return False


def by_mne(path: Path) -> dict[int, np.ndarray]:
    raw = (mne.io.read_raw_edf if path.suffix == ".edf" else mne.io.read_raw_bdf)(
        path, preload=True, verbose="CRITICAL", encoding="latin1", stim_channel=False
    )
    channels = read_header(path).channels
    places = [place for place, channel in enumerate(channels) if not channel.annotates]
    assert len(places) == len(raw.ch_names)
    longest = max(channels[place].samples for place in places)
    return {
        place: row * 1e6
        for place, row in zip(places, raw.get_data(), strict=True)
        if channels[place].unit and channels[place].samples == longest
    }


def agreement(path: Path) -> int:
    """How many channels of a file that is read two other programs read the same way; any that differs fails."""
    recording = read(path)
    samples = recording.read(range(len(recording.channels)))
    assert np.isfinite(samples).all()
    header = read_header(path)
    kept = [place for place, channel in enumerate(header.channels) if channel in recording.data.channels]
    compared = 0
    for oracle in (by_edfio, by_mne):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = oracle(path)
        except Exception:  # what they cannot read they cannot vouch for
            continue
        for row, place in enumerate(kept):
            if place in found:
                np.testing.assert_allclose(samples[row], found[place], rtol=1e-4, atol=1e-4 * np.ptp(found[place]))
                compared += 1
    return compared


def test_any_damage_ends_in_one_row_and_never_in_other_samples(
    tmp_path: Path, files: dict[str, bytes], record_property: Callable[[str, object], None]
) -> None:
    seen: Counter[str] = Counter()
    record_property("inputs", CASES or 150)

    @settings(
        max_examples=CASES or 150,
        derandomize=not CASES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damage=DAMAGE)
    def one(damage: dict) -> None:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        path = folder / f"a.{damage['kind']}"
        path.write_bytes(damaged(files[damage["kind"]], damage))
        outcome = verdict(folder)
        seen[outcome[-1]] += 1
        assert outcome[-1] != "unprocessable"
        try:
            seen["compared"] += agreement(path)
        except ReadError as error:
            refusal = error.reason.value
        else:
            return
        assert outcome == ("quarantined", refusal if path.stat().st_size else "damaged")

    one()
    assert seen["accepted"] > 20, "the damage is so heavy that nothing is tested but refusals"
    assert seen["compared"] > seen["accepted"], "the oracles read next to nothing"
    assert seen["unreadable"] + seen["truncated"] > 20
