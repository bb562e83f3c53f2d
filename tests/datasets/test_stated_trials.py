"""Trials and arrays: NumPy, MATLAB, HDF5, epochs of MNE; trials stay apart from file to window."""

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import mne
import numpy as np
import pytest
import scipy.io
import yaml

from labram import recipe as recipes
from labram.corpus.catalogue import Corpus
from labram.corpus.dataset_check import check_dataset
from labram.corpus.ingest import ingest
from labram.datasets import find, unused
from labram.datasets.stated.channel_names import with_names
from labram.datasets.stated.dataset_file import Channels
from labram.datasets.stated.draft import draft
from labram.datasets.stated.file_dataset import FileDataset
from labram.datasets.stated.survey import survey
from labram.errors import CorpusError, LabelError, ReadError, RecipeError
from labram.signals.nearest_electrodes import nearest_electrodes, sphere_positions
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording
from labram.store.store import Store
from labram.training.data.windows import WindowSampler
from tests.fixtures.recordings import CHANNELS, pink

RATE, SECONDS, TRIALS = 100, 2, 8
SHAPE = (TRIALS, len(CHANNELS), RATE * SECONDS)
ARRAY = {"axes": ["trials", "channels", "samples"], "sampling_rate_hz": RATE, "unit": "µV", "channels": list(CHANNELS)}
SIDES = {"classes": ["left", "right"], "labels": {"trials": "y.npy", "values": {0: "left", 1: "right"}}}
Y = np.arange(TRIALS) % 2


@pytest.fixture(scope="session")
def data() -> np.ndarray:
    """Trials [8, 6, 200] in µV."""
    return np.stack([pink(np.random.default_rng(seed), *SHAPE[1:], 20.0) for seed in range(TRIALS)]).astype(np.float32)


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., FileDataset]:
    def write(trials: dict[str, object], **keys: object) -> FileDataset:
        stated = {"name": "mine", "line_freq_hz": 50, "trials": trials, "subject": r"(?P<subject>\w+)\.", **keys}
        path = tmp_path / "dataset.yaml"
        path.write_text(yaml.safe_dump({key: value for key, value in stated.items() if value is not None}))
        return FileDataset.load(tmp_path)

    return write


def only(dataset: FileDataset) -> Recording:
    (file,) = dataset.recordings(dataset.folder)
    return dataset.read(file)


def as_trials(recording: Recording) -> np.ndarray:
    return recording.read(range(len(recording.channels))).reshape(len(recording.channels), -1, recording.trial_samples)


class TestReading:
    @pytest.mark.parametrize("suffix", ["npy", "npz", "mat", "h5"])
    def test_every_format_has_the_same_trials(self, study, tmp_path: Path, data, suffix) -> None:
        path = tmp_path / f"anna.{suffix}"
        if suffix == "npy":
            np.save(path, data)
        elif suffix == "npz":
            np.savez(path, X=data)
        elif suffix == "mat":
            scipy.io.savemat(path, {"X": data})
        else:
            with h5py.File(path, "w") as file:
                file["X"] = data
        recording = only(study({"files": "anna.*", "variable": "X", **ARRAY}))
        np.testing.assert_allclose(as_trials(recording), data.transpose(1, 0, 2), rtol=1e-6)
        assert (recording.channels, recording.sfreq, recording.trial_samples) == (CHANNELS, RATE, RATE * SECONDS)

    def test_axes_unit_and_channel_file_are_as_stated(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data.transpose(2, 1, 0) / 100)
        (tmp_path / "names.txt").write_text("\n".join(CHANNELS))
        stated = {**ARRAY, "axes": ["samples", "channels", "trials"], "unit": "100 uV", "channels": "names.txt"}
        np.testing.assert_allclose(
            as_trials(only(study({"files": "*.npy", **stated}))), data.transpose(1, 0, 2), rtol=1e-5
        )

    def test_an_array_without_trials_is_a_continuous_recording(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data[0])
        recording = only(study({"files": "*.npy", **ARRAY, "axes": ["channels", "samples"]}))
        assert (recording.trial_samples, recording.seconds) == (0, SECONDS)

    def test_epochs_of_mne_need_no_layout_and_their_events_are_labels(self, study, tmp_path: Path, data) -> None:
        info = mne.create_info(list(CHANNELS), RATE, "eeg")
        events = np.stack([np.arange(TRIALS) * 1000, np.zeros(TRIALS, int), Y + 1], axis=1)
        epochs = mne.EpochsArray(data * 1e-6, info, events, event_id={"left": 1, "right": 2}, verbose="ERROR")
        epochs.save(tmp_path / "anna-epo.fif", verbose="ERROR")
        labels = {"events": {"left": "left", "right": "right"}}
        dataset = study(
            {"files": "*-epo.fif"}, subject=r"(?P<subject>\w+)-", tasks={"side": {**SIDES, "labels": labels}}
        )
        (file,) = dataset.recordings(dataset.folder)
        recording = dataset.read(file)
        np.testing.assert_allclose(as_trials(recording), data.transpose(1, 0, 2), rtol=1e-4, atol=1e-3)
        spans = dataset.labels(file, recording)
        assert [(x.onset, x.duration, *x.label) for x in spans] == [(2.0 * n, 2.0, float(Y[n])) for n in range(TRIALS)]

    @pytest.mark.parametrize(
        ("change", "problem", "remedy"),
        [
            (
                {"axes": ["trials", "samples", "channels"]},
                "6 channels are stated, but axis 3",
                "axis 2 has that length",
            ),
            ({"axes": ["channels", "samples"]}, r"expected numbers with 2 axes", "State its axes"),
            ({"channels": ["Cz", "Pz"]}, "2 channels are stated, but axis 2", "State all channels"),
        ],
    )
    def test_an_array_that_contradicts_its_layout_is_an_error(
        self, study, tmp_path, data, change, problem, remedy
    ) -> None:
        np.save(tmp_path / "anna.npy", data)
        with pytest.raises(ReadError) as error:
            only(study({"files": "*.npy", **ARRAY, **change}))
        assert problem in error.value.problem
        assert remedy in error.value.remedy

    def test_a_variable_that_the_file_lacks_is_named(self, study, tmp_path: Path, data) -> None:
        np.savez(tmp_path / "anna.npz", X=data, y=Y)
        scipy.io.savemat(tmp_path / "bert.mat", {"X": data})
        for name in ("anna.npz", "bert.mat"):
            with pytest.raises(ReadError, match=r"cannot be read as \w+ \(no variable 'Z'\)"):
                only(study({"files": name, "variable": "Z", **ARRAY}))
        labels = {**SIDES, "labels": {"trials": "side"}}
        dataset = study({"files": "*.npz", "variable": "X", **ARRAY}, tasks={"side": labels})
        (file,) = dataset.recordings(tmp_path)
        with pytest.raises(LabelError, match=r"labels.trials: cannot be read as NPZ \(no variable 'side'\)"):
            dataset.labels(file, dataset.read(file))

    def test_an_array_of_python_objects_is_not_loaded(self, study, tmp_path: Path) -> None:
        np.save(tmp_path / "anna.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
        with pytest.raises(ReadError):
            only(study({"files": "*.npy", **ARRAY}))

    def test_trials_shorter_than_a_patch_are_an_error_or_padded(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data[:, :, :60])
        with pytest.raises(ReadError, match=r"trials of 0\.60 s are shorter than a patch"):
            only(study({"files": "*.npy", **ARRAY}))
        padded = as_trials(only(study({"files": "*.npy", **ARRAY, "pad": "zeros"})))
        assert padded.shape[2] == RATE
        assert not padded[:, :, 60:].any()

    @pytest.mark.parametrize(
        ("trials", "problem"),
        [
            (
                {"files": "x", "axes": ["channels", "samples"]},
                "an array needs sampling_rate_hz and unit and",
            ),
            ({"files": "x", **ARRAY, "unit": "volts"}, "unknown unit 'volts'"),
            ({"files": "x", **ARRAY, "axes": ["trials", "samples"]}, "axes must have channels and samples"),
            ({"files": "x", **ARRAY, "subject": "who"}, "columns of table"),
        ],
    )
    def test_an_incomplete_layout_is_an_error(self, study, trials, problem) -> None:
        with pytest.raises(CorpusError, match=problem):
            study(trials)


class TestLabels:
    def test_one_label_per_trial_comes_from_an_array_a_variable_or_a_table(self, study, tmp_path: Path, data) -> None:
        scipy.io.savemat(tmp_path / "anna.mat", {"X": data, "y": Y[:, None].astype(float)})
        np.save(tmp_path / "y.npy", Y)
        rows = [["side"], *([name] for name in np.array(["left", "right"])[Y])]
        (tmp_path / "anna.csv").write_text("\n".join(",".join([str(n), *row]) for n, row in enumerate(rows)))
        found = []
        for labels in (SIDES["labels"], {**SIDES["labels"], "trials": "y"}, {"trials": "{stem}.csv", "label": "side"}):
            dataset = study({"files": "*.mat", "variable": "X", **ARRAY}, tasks={"side": {**SIDES, "labels": labels}})
            (file,) = dataset.recordings(dataset.folder)
            found.append([(x.onset, *x.label) for x in dataset.labels(file, dataset.read(file))])
        assert found == [[(2.0 * n, float(Y[n])) for n in range(TRIALS)]] * 3

    def test_labels_that_vary_in_time_are_spans_of_one_label(self, study, tmp_path: Path, data) -> None:
        varying = np.zeros((TRIALS, RATE * SECONDS))
        varying[1, 50:150] = 1
        varying[2, 150:] = np.nan
        np.save(tmp_path / "anna.npy", data[:, :, :])
        np.save(tmp_path / "y.npy", varying)
        dataset = study({"files": "anna.npy", **ARRAY}, tasks={"side": SIDES})
        (file,) = dataset.recordings(tmp_path)
        spans = [(span.onset, span.duration, *span.label) for span in dataset.labels(file, dataset.read(file))]
        assert spans[:5] == [(0, 2, 0), (2, 0.5, 0), (2.5, 1, 1), (3.5, 0.5, 0), (4, 1.5, 0)]
        np.save(tmp_path / "anna.npy", data[0])
        np.save(tmp_path / "y.npy", varying[1])
        dataset = study({"files": "anna.npy", **ARRAY, "axes": ["channels", "samples"]}, tasks={"side": SIDES})
        (file,) = dataset.recordings(tmp_path)
        spans = [(span.onset, span.duration, *span.label) for span in dataset.labels(file, dataset.read(file))]
        assert spans == [(0, 0.5, 0), (0.5, 1, 1), (1.5, 0.5, 0)]

    def test_trials_without_a_label_are_counted_by_the_check(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data)
        np.save(tmp_path / "y.npy", np.where(np.arange(TRIALS) < 3, np.nan, Y))
        dataset = study({"files": "anna.npy", **ARRAY}, tasks={"side": SIDES})
        notes = check_dataset(dataset, recipes.load("demo"), sample=False).notes
        assert notes == ("anna.npy: 3 of 8 trials have no label of task 'side'; not used",)

    def test_another_number_of_labels_than_trials_is_an_error(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data)
        np.save(tmp_path / "y.npy", Y[:-1])
        dataset = study({"files": "anna.npy", **ARRAY}, tasks={"side": SIDES})
        (file,) = dataset.recordings(dataset.folder)
        with pytest.raises(LabelError, match="7 labels for 8 trials"):
            dataset.labels(file, dataset.read(file))

    def test_a_table_assigns_trials_of_one_file_to_subjects(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "X.npy", data)
        np.save(tmp_path / "y.npy", Y)
        who = ["a", "b"] * 4
        (tmp_path / "meta.csv").write_text("\n".join(["n,who,pair", *(f"{n},{name},p1" for n, name in enumerate(who))]))
        dataset = study(
            {"files": "X.npy", **ARRAY, "table": "meta.csv", "subject": "who", "group": "pair"},
            subject=None,
            tasks={"side": SIDES},
        )
        files = list(dataset.recordings(dataset.folder))
        assert [(file.subject, file.group, file.trials) for file in files] == [
            ("a", "p1", (0, 2, 4, 6)), ("b", "p1", (1, 3, 5, 7)),
        ]  # fmt: skip
        np.testing.assert_allclose(as_trials(dataset.read(files[1])), data[1::2].transpose(1, 0, 2))
        assert {x.label for x in dataset.labels(files[1], dataset.read(files[1]))} == {(1.0,)}


class TestPreprocessing:
    def test_each_trial_is_filtered_as_if_it_were_alone(self, data) -> None:
        joined = data.transpose(1, 0, 2).reshape(len(CHANNELS), -1)
        picks = range(len(CHANNELS))
        together = Recording(joined, CHANNELS, RATE, trial_samples=RATE * SECONDS)
        (filtered,) = preprocess(together, picks, line_freq_hz=50)
        for number, trial in enumerate(data):
            (alone,) = preprocess(Recording(trial, CHANNELS, RATE), picks, line_freq_hz=50)
            np.testing.assert_allclose(filtered[:, number * 400 : (number + 1) * 400], alone, atol=1e-3)

    def test_filtered_signals_are_resampled_only(self, data) -> None:
        slow = np.ones((1, 400)) * 30.0
        (out,) = preprocess(Recording(slow, ("Cz",), 200.0, filtered=True), [0], line_freq_hz=50)
        np.testing.assert_array_equal(out, np.float32(slow))

    def test_windows_never_cross_trials(self, study, tmp_path: Path, data) -> None:
        for name in ("anna", "bert", "carl"):
            np.save(
                tmp_path / f"{name}.npy", np.roll(data, len(name) * ord(name[0]), axis=0) * (1 + ord(name[0]) / 999)
            )
        np.save(tmp_path / "y.npy", Y)
        dataset = study({"files": "[a-c]*.npy", **ARRAY}, tasks={"side": SIDES})
        store = Store(tmp_path / "store")
        from labram.events import NullMonitor
        from labram.recipe import PreprocessingRecipe

        ingest(
            tmp_path, ["mine"], tmp_path / "part", store=store, preprocessing=PreprocessingRecipe(), shard=0, shards=1,
            subject_key=b"key", monitor=NullMonitor(), workers=0,
        )  # fmt: skip
        corpus = Corpus.load(tmp_path / "part")
        assert dataset.name == "mine"
        assert list(corpus.catalogue["seconds"]) == [TRIALS * SECONDS] * 3
        assert list(corpus.catalogue["trial_seconds"]) == [SECONDS] * 3
        assert len(corpus.labels) == 3 * TRIALS
        corpus.catalogue["split"] = "train"
        sampler = WindowSampler.of(
            corpus, store, split="train", seed=0, patches=256, micro_batches=1, window_patches=256, window_seconds=16
        )
        (pool,) = sampler.pools
        assert pool.seconds == SECONDS
        assert set(pool.first % SECONDS) == {0}
        assert set(pool.lengths) == {SECONDS}


def test_array_and_epoch_files_are_drafted(study, tmp_path: Path, data) -> None:
    for name in ("anna", "bert"):
        scipy.io.savemat(tmp_path / f"{name}.mat", {"X": data, "y": Y, "fs": 100.0})
    (tmp_path / "channels.txt").write_text("\n".join(CHANNELS))
    stated = yaml.safe_load(draft(survey(tmp_path)))
    assert stated["trials"] == {
        "files": "**/*.mat", "variable": "X", "axes": ["trials", "channels", "samples"], "sampling_rate_hz": 100,
        "unit": "µV", "channels": "channels.txt", "filtered": False,
    }  # fmt: skip
    assert stated["tasks"]["label"]["labels"] == {"trials": "y", "values": {"0": "class 0", "1": "class 1"}}


@pytest.mark.parametrize(("factor", "unit"), [(1.0, "µV"), (1e-2, "100 µV"), (1e-6, "V")])
def test_one_array_of_several_people_is_drafted_with_its_table_and_the_unit_of_its_amplitudes(
    tmp_path: Path, data, factor, unit
) -> None:
    np.save(tmp_path / "X.npy", data * factor)
    rows = [f"P{i % 2},{i // 4},{'rest' if i % 3 else 'task'},30" for i in range(TRIALS)]
    (tmp_path / "meta.csv").write_text("\n".join(["participant,session,state,age", *rows]))
    (tmp_path / "channels.txt").write_text("\n".join(CHANNELS))
    stated = yaml.safe_load(draft(survey(tmp_path)))
    assert "subject" not in stated
    array = stated["trials"]
    assert (array["table"], array["subject"], array["session"]) == ("meta.csv", "participant", "session")
    assert array["unit"] == unit
    assert stated["tasks"] == {
        "state": {"classes": ["task", "rest"], "labels": {"trials": "meta.csv", "label": "state"}}
    }


class TestChannels:
    def test_labels_are_renamed_mapped_to_the_nearest_electrode_and_given_modern_names(self) -> None:
        def names(*labels: str, **stated: object) -> tuple[str, ...]:
            recording = Recording(np.zeros((len(labels), 10)), labels, 100.0)
            return with_names(recording, Channels.model_validate(stated)).channels

        assert names("Ch1", "Cz", rename={"Ch1": "Fp1"}) == ("Fp1", "Cz")
        assert names("T3", "EEG T5-Ref", "Cz", temporal_names="modern") == ("T7", "P7", "Cz")
        assert names("T7", "P8", temporal_names="legacy") == ("T3", "T6")
        net = names("E24", "E124", "E36", "E75", "Z9", nearest={"montage": "GSN-HydroCel-128"})
        assert net == ("F3", "F4", "C3", "OZ", "Z9")

    def test_electrodes_are_interpolated_from_the_positions_of_a_cap(self) -> None:
        cap = [f"E{number}" for number in range(1, 129)]
        heights = np.array([sphere_positions("GSN-HydroCel-128")[label][2] for label in cap])
        data = heights[:, None] * np.ones(10) + np.arange(10)  # a field that only depends on the height, in µV
        recording = Recording(np.r_[data, 7 * np.ones((1, 10))].astype(np.float32), (*cap, "ECG"), 100.0)
        stated = {"interpolate": {"montage": "GSN-HydroCel-128", "electrodes": ["C3", "Cz", "Oz"]}, "drop": ["E1"]}
        found = with_names(recording, Channels.model_validate(stated))
        assert found.channels == ("C3", "Cz", "Oz", "ECG")
        assert found.notes == ("channels_stated",)
        expected = [sphere_positions("colin27_1005")[name][2] for name in found.channels[:3]]
        np.testing.assert_allclose(found.read(range(3))[:, 0], expected, atol=3)
        np.testing.assert_allclose(found.read([3, 1], 2, 4), [[7, 7], found.read([1])[0, 2:4]])
        with pytest.raises(ReadError, match="0 channels of the montage GSN-HydroCel-128, of which 8 are needed"):
            with_names(Recording(np.zeros((1, 10)), ("Cz",), 100.0), Channels.model_validate(stated))
        with pytest.raises(ValueError, match="'F7-T7' is no electrode"):
            Channels.model_validate({"interpolate": {"montage": "x", "electrodes": ["F7-T7"]}})

    def test_two_labels_of_one_electrode_and_an_unknown_cap_are_errors(self) -> None:
        with pytest.raises(ValueError, match="two labels are renamed to Fp1"):
            Channels(rename={"a": "Fp1", "b": "Fp1"})
        with pytest.raises(RecipeError, match="MNE has no montage 'GSN-1'"):
            nearest_electrodes("GSN-1", 10.0)

    def test_other_names_are_other_patches(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data)
        one, other = ({"rename": {"Fp1": name}} for name in ("Fpz", "AFz"))
        versions = set()
        for channels in (one, other):
            dataset = study({"files": "*.npy", **ARRAY}, channels={**channels, "drop": ["O1"]})
            (file,) = dataset.recordings(dataset.folder)
            assert file.excluded_channels == {"O1"}
            versions.add(dataset.read_version(file))
        assert len(versions) == 2


def test_globs_without_a_file_are_an_error_and_damaged_arrays_do_not_stop_a_draft(
    study, tmp_path: Path, write_edf
) -> None:
    write_edf(tmp_path / "P01.edf", seconds=2)
    for name, content in (("a.npy", b"x"), ("b.mat", b"MATLAB 5.0"), ("c.npz", b"PK"), ("d.h5", b"\x89HDF\r\n\x1a\n")):
        (tmp_path / name).write_bytes(content)
    assert "trials:" not in draft(survey(tmp_path))
    dataset = study({"files": "*.fif"})
    with pytest.raises(CorpusError, match=r"no file fits \*\.fif"):
        list(dataset.recordings(tmp_path))


def test_recordings_of_one_file_have_their_own_labels_and_groups(study, tmp_path: Path, data) -> None:
    np.save(tmp_path / "X.npy", data)
    (tmp_path / "meta.csv").write_text("\n".join(["who", *(["a", "b"] * 4)]))
    (tmp_path / "people.csv").write_text("id,sick,site\na,no,1\nb,yes,2")
    dataset = study(
        {"files": "X.npy", **ARRAY, "table": "meta.csv", "subject": "who"},
        subject=None,
        group={"table": "people.csv", "subject": "id", "group": "site"},
        tasks={"dx": {"classes": ["no ", "yes"], "labels": {"table": "people.csv", "subject": "id", "label": "sick",
                                                             "values": {"no": "no "}}}},
    )  # fmt: skip
    files = list(dataset.recordings(dataset.folder))
    assert [(file.name, file.group, [x.label for x in file.labels]) for file in files] == [
        ("X.npy (a//)", "1", [(0.0,)]), ("X.npy (b//)", "2", [(1.0,)]),
    ]  # fmt: skip


def test_files_of_groups_are_drafted_with_subjects_within_groups(tmp_path: Path, write_edf) -> None:
    for name in ("dyad01_p1", "dyad01_p2", "dyad02_p1", "dyad02_p2"):
        write_edf(tmp_path / f"{name}.edf", seconds=2)
    stated = yaml.safe_load(draft(survey(tmp_path)))
    assert re.search(stated["subject"], "dyad01_p2.edf")["subject"] == "dyad01_p2"
    assert re.search(stated["group"], "dyad01_p2.edf")["group"] == "dyad01"


def test_epochs_of_triads_are_drafted_with_one_group_each(tmp_path: Path, data) -> None:
    info = mne.create_info(list(CHANNELS), RATE, "eeg", verbose="error")
    events = np.c_[np.arange(TRIALS) * 200, np.zeros(TRIALS, int), Y]
    for name in (f"triad0{number}_{person}" for number in (1, 2) for person in "ABC"):
        epochs = mne.EpochsArray(data * 1e-6, info, events, event_id={"alone": 0, "together": 1}, verbose="error")
        epochs.save(tmp_path / f"{name}-epo.fif", verbose="error")
    text = draft(survey(tmp_path))
    (tmp_path / "dataset.yaml").write_text(text)
    dataset = FileDataset.load(tmp_path)
    files = list(dataset.recordings(tmp_path))
    assert [(file.subject, file.group) for file in files[2:4]] == [("triad01_C", "triad01"), ("triad02_A", "triad02")]
    assert "word:" not in text  # A, B and C tell people apart
    assert [span.label for span in dataset.labels(files[0], dataset.read(files[0]))] == [(float(y),) for y in Y]


def test_arrays_without_a_dataset_file_are_named(study, tmp_path: Path, data, write_edf) -> None:
    np.save(tmp_path / "X.npy", data)
    with pytest.raises(CorpusError, match=r"1 files of arrays \(.npy\)") as error:
        find(tmp_path, ())
    assert "labram datasets init" in error.value.remedy
    write_edf(tmp_path / "P01.edf", seconds=2)
    assert unused(tmp_path, find(tmp_path, ())) == ["X.npy (an array: needs a dataset.yaml)"]
    study({"files": "X.npy", **ARRAY})
    assert unused(tmp_path, find(tmp_path, ())) == []
