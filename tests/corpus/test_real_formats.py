"""What becomes of each file of a folder of odd formats and bad recordings, and why: accepted, refused, or no recording.

The reasons are told by rules that know nothing of these files, so they would be told of others like them.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import pytest

from labram.corpus.catalogue import ACCEPTED, Corpus
from labram.corpus.ingest import ingest
from labram.corpus.quality import check_quality
from labram.corpus.scan import hash_content, recording_id, scan
from labram.datasets.base import list_files
from labram.errors import Reason
from labram.events import NullMonitor
from labram.recipe import PreprocessingRecipe, QualityRecipe, SplitRecipe
from labram.signals.readers import content_files
from labram.store.store import Store

pytestmark = pytest.mark.real

KEY = b"a key for tests"
PART = "part of another file's recording"
NONE = "no recording"


class Fate(NamedTuple):
    """`outcome` is `ACCEPTED`, a reason code, `PART` or `NONE`."""

    path: str
    outcome: str
    why: str


def no(path: str, reason: Reason, why: str) -> Fate:
    return Fate(path, reason.value, why)


FATES = (
    # Text about the recordings.
    *(
        Fate(path, NONE, "text about the files beside it")
        for path in (
            "bci-essentials/LICENSE",
            "biosppy/LICENSE",
            "eeglab/LICENSE",
            "epilepsy2bids_headers/LICENSE",
            "mffpy/LICENSE",
            "mne-python/LICENSE.txt",
            "phantom_camntech/LICENSE",
            "phantom_camntech/README.md",
            "xdf/LICENSE",
            "yasa/LICENSE",
        )
    ),
    Fate("eeglab/eeglab_chan32.locs", NONE, "electrode positions; names of electrodes, and no samples"),
    # EEGLAB.
    Fate("eeglab/eeglab_data.set", ACCEPTED, "continuous; 30 of its 32 channels are electrodes, the others EOG"),
    Fate("eeglab/eeglab_data.fdt", PART, "the samples of eeglab_data.set"),
    no("eeglab/eeglab_data_epochs_ica.set", Reason.EPOCHED, "80 trials; what was between them is gone"),
    Fate("eeglab/eeglab_data_epochs_ica.fdt", NONE, "the samples of those trials, which nothing takes in"),
    # CNT.
    no("eeglab/test_data/test.cnt", Reason.NO_CANONICAL_CHANNELS, "its two channels are VEOG and HEOG"),
    # XDF.
    Fate("bci-essentials/switch_example.xdf", ACCEPTED, "16 named electrodes; the 6 mV of offset is filtered out"),
    no("eeglab/test_data/test.xdf", Reason.NO_CANONICAL_CHANNELS, "an EEG stream that does not name its channels"),
    no("xdf/clock_resets.xdf", Reason.NO_CANONICAL_CHANNELS, "channels without names; the clock's reset is survived"),
    no("xdf/empty_streams.xdf", Reason.NOT_EEG, "no stream is of type EEG: a counter, and empty ones"),
    no("xdf/minimal.xdf", Reason.NO_CANONICAL_CHANNELS, "9 samples of three channels without names"),
    # EGI.
    no("eeglab/test_data/testmff.mff", Reason.EPOCHED, "two averages over subjects, by its categories"),
    no("mffpy/example_3.mff", Reason.NO_CANONICAL_CHANNELS, "electrodes E1 to E256, which its layout does not name"),
    no("mffpy/example_4.mff", Reason.EPOCHED, "averages, by its categories"),
    no("mffpy/example_5.mff", Reason.EPOCHED, "averages, by its categories"),
    no("mne-python/test_egi.raw", Reason.NO_CANONICAL_CHANNELS, "electrodes E1 to E256; the format has no layout"),
    # EDF and BDF.
    no("damaged/S001R01_crlf_damaged.edf", Reason.DAMAGED, "a carriage return before every line feed of its samples"),
    no("eeglab/test_data/test.bdf", Reason.NO_CANONICAL_CHANNELS, "A1 to A16: a cap's contacts, A1 and A2 no ears"),
    *(
        no(f"epilepsy2bids_headers/{name}", Reason.NOT_EEG, "a true header over white noise")
        for name in ("PN00-1.edf", "PN16-1.edf", "chb01_01_sample.edf", "chb08_02.edf")
    ),
    Fate("mne-python/duplicate_channel_labels.edf", ACCEPTED, "F1 and F2; the second F1 is left out"),
    Fate("mne-python/test.bdf", ACCEPTED, "66 electrodes, one second"),
    no("mne-python/test.edf", Reason.NO_CANONICAL_CHANNELS, "139 contacts within the skull, A1 upward, and no ears"),
    Fate("mne-python/test_bdf_stim_channel.bdf", ACCEPTED, "C3, C4 and Cz; the trigger channel gives its events"),
    Fate("mne-python/test_edf_stim_channel.edf", ACCEPTED, "19 electrodes; the offset of 0.2 V is filtered out"),
    no("mne-python/test_stim_channel.edf", Reason.NO_CANONICAL_CHANNELS, "two trigger channels and a test wave"),
    no("mne-python/test_uneven_samp.edf", Reason.NO_CANONICAL_CHANNELS, "two test waves, of different rates"),
    no("phantom_camntech/MRI-1-20-1-1(3)_3.edf", Reason.NO_CANONICAL_CHANNELS, "one channel, an ECG by its name"),
    # BrainVision.
    no("eeglab/test_data/testbva.vhdr", Reason.NOT_EEG, "white noise, by its spectrum"),
    Fate("eeglab/test_data/testbva.dat", PART, "the samples of testbva.vhdr"),
    Fate("eeglab/test_data/testbva.vmrk", PART, "the markers of testbva.vhdr"),
    no("mne-python/test.vhdr", Reason.NOT_EEG, "one and the same test wave in all its channels"),
    Fate("mne-python/test.eeg", PART, "the samples of test.vhdr"),
    Fate("mne-python/test.vmrk", PART, "the markers of test.vhdr"),
    Fate("mne-python/test_old_layout_latin1_software_filter.vhdr", ACCEPTED, "25 electrodes; its header is latin-1"),
    Fate("mne-python/test_old_layout_latin1_software_filter.eeg", PART, "the samples of the .vhdr"),
    Fate("mne-python/test_old_layout_latin1_software_filter.vmrk", PART, "the markers of the .vhdr"),
    # Others.
    Fate("mne-python/test_nicolet_raw.data", ACCEPTED, "21 electrodes, two seconds"),
    Fate("mne-python/test_nicolet_raw.head", PART, "the header of test_nicolet_raw.data"),
    Fate("yasa/data_resting_EO_200Hz_raw.fif", ACCEPTED, "F4-A1 and CZ-A2: two electrodes against ears"),
    no("eeglab/test_data/testmusemonitor.csv", Reason.NOT_EEG, "a line a second of band powers"),
    no("uci_eye_state/EEG Eye State.arff", Reason.EXCESSIVE_AMPLITUDE, "spikes of up to 0.7 V in an Emotiv recording"),
    *(
        no(f"biosppy/eeg_{state}.txt", Reason.UNSUPPORTED, "converter counts, no unit, one channel called EEG")
        for state in ("ec", "eo")
    ),
    *(
        no(f"yasa/data_{name}.txt", Reason.UNSUPPORTED, "numbers alone: no electrode, rate or unit")
        for name in ("N2_spindles_15sec_200Hz", "N3_no-spindles_30sec_100Hz")
    ),
)


@pytest.fixture(scope="module")
def folder(real_eeg: Path) -> Path:
    return real_eeg / "misc_formats"


@pytest.fixture(scope="module")
def judged(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Reason codes by path; none for what is accepted."""
    out = tmp_path_factory.mktemp("formats")
    done = ingest(
        folder,
        (),
        out / "shard",
        store=Store(out / "store"),
        preprocessing=PreprocessingRecipe(),
        shard=0,
        shards=1,
        subject_key=KEY,
        monitor=NullMonitor(),
        workers=0,
    )
    check_quality([out / "shard"], out / "corpus", QualityRecipe(), SplitRecipe(), store=Store(out / "store"))
    corpus = Corpus.load(out / "corpus")
    assert done.recordings == len(corpus.catalogue) == len(corpus.accepted()) + len(corpus.quarantined())
    places = {recording_id(item, hash_content(item.file.path).digest, KEY): item.relative_path for item in scan(folder)}
    return {
        places[row.recording_id]: [] if row.verdict == ACCEPTED else list(row.reasons)
        for row in corpus.catalogue.itertuples(index=False)
    }


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: f"{fate.path}: {fate.outcome}")
def test_each_file_has_the_fate_that_is_stated(judged: dict[str, list[str]], fate: Fate) -> None:
    if fate.outcome in (PART, NONE):
        assert fate.path not in judged
    else:
        assert judged[fate.path] == ([] if fate.outcome == ACCEPTED else [fate.outcome]), fate.why


def test_no_file_is_forgotten(folder: Path) -> None:
    assert sorted(fate.path for fate in FATES) == [path.relative_to(folder).as_posix() for path in list_files(folder)]


def test_parts_are_those_of_recordings_that_are_there(folder: Path, judged: dict[str, list[str]]) -> None:
    read = [folder / path for path, reasons in judged.items() if not path.endswith(".mff") and reasons != ["epoched"]]
    parts = {part.relative_to(folder).as_posix() for path in read for part in content_files(path) if part != path}
    assert parts == {fate.path for fate in FATES if fate.outcome == PART}


def test_every_signal_of_the_whole_collection_is_taken_in(real_eeg: Path) -> None:
    with (real_eeg / "catalogue.csv").open(newline="") as file:
        signals = {real_eeg / row["path"] for row in csv.DictReader(file) if row["rate_hz"]}
    items = [item.file.path for item in scan(real_eeg)]
    assert len(items) == len(set(items))
    assert not {path for path in signals if not {path, path.parent} & set(items)}
