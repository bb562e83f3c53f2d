"""Adapters of the simulated datasets: subjects and labels, and that the signals carry them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import cohen_kappa_score, r2_score, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labram.datasets.base import Dataset
from labram.datasets.simulated import SimGait, SimHospital, SimLab
from labram.errors import LabelError, ReadError
from labram.signals.readers import read
from labram.signals.recording import Recording
from labram.simulation.simulate import Size, simulate

BANDS = ((0.5, 4), (4, 8), (8, 13), (13, 30), (30, 45))
WINDOW = {"abnormal": 4, "events": 5, "emotion": 2, "gait": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "data"
    simulate(folder)
    return folder


def empty(seconds: float = 30.0) -> Recording:
    return Recording(np.zeros((1, round(seconds * 100))), ("CZ",), 100.0)


def labelled(dataset: Dataset, folder: Path, task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log band powers, labels and subjects of all windows of a task."""
    features, labels, subjects = [], [], []
    for source in dataset.recordings(folder / dataset.name):
        try:
            recording = read(source.path)
        except ReadError:
            continue
        for interval in dataset.labels(source, recording) if recording.read([0]).std() > 1 else ():
            for start in np.arange(0, interval.duration - WINDOW[task] + 1e-9, WINDOW[task]):
                if interval.task == task:
                    features.append(band_power(recording, interval.onset + start, WINDOW[task]))
                    labels.append(interval.label)
                    subjects.append(source.subject)
    return np.array(features), np.array(labels), np.array(subjects)


def band_power(recording: Recording, start: float, seconds: float) -> np.ndarray:
    first, count = round(start * recording.sfreq), round(seconds * recording.sfreq)
    signal = recording.read(range(len(recording.channels)), first, first + count)
    assert signal.shape[1] == count
    power = np.abs(np.fft.rfft(signal * np.hanning(count), axis=1)) ** 2
    hertz = np.fft.rfftfreq(count, 1 / recording.sfreq)
    return np.concatenate([np.log(power[:, (hertz >= low) & (hertz < high)].mean(axis=1)) for low, high in BANDS])


def on_other_subjects(model: object, data: tuple[np.ndarray, np.ndarray, np.ndarray], method: str) -> np.ndarray:
    features, labels, subjects = data
    labels = labels[:, 0] if method != "predict" or labels.shape[1] == 1 else labels
    folds = GroupKFold(4)
    return cross_val_predict(
        make_pipeline(StandardScaler(), model), features, labels, groups=subjects, cv=folds, method=method
    )


def test_a_linear_baseline_tells_abnormal_eeg_of_other_patients_but_not_perfectly(corpus: Path):
    data = labelled(SimHospital(), corpus, "abnormal")
    scores = on_other_subjects(LogisticRegression(C=0.01, max_iter=500), data, "predict_proba")[:, 1]
    assert 0.8 < roc_auc_score(data[1][:, 0], scores) < 0.99


def test_a_linear_baseline_tells_events_of_other_patients_but_not_perfectly(corpus: Path):
    data = labelled(SimHospital(), corpus, "events")
    classes = on_other_subjects(LogisticRegression(C=0.01, max_iter=500, class_weight="balanced"), data, "predict")
    assert 0.4 < cohen_kappa_score(data[1][:, 0], classes) < 0.9
    assert set(data[1][:, 0]) == {0, 1, 2, 3, 4, 5}


def test_a_linear_baseline_tells_emotions_of_other_participants_but_not_perfectly(corpus: Path):
    data = labelled(SimLab(), corpus, "emotion")
    classes = on_other_subjects(LogisticRegression(C=0.01, max_iter=500), data, "predict")
    assert 0.3 < cohen_kappa_score(data[1][:, 0], classes) < 0.9
    assert set(data[1][:, 0]) == {0, 1, 2, 3, 4}


def test_a_linear_baseline_follows_joints_of_other_walkers_but_not_perfectly(corpus: Path):
    data = labelled(SimGait(), corpus, "gait")
    angles = on_other_subjects(Ridge(100.0), data, "predict")
    assert angles.shape[1] == 6
    for joint in range(6):
        assert 0.3 < r2_score(data[1][:, joint], angles[:, joint]) < 0.9


@pytest.mark.parametrize("dataset", [SimHospital(), SimLab(), SimGait()])
def test_there_are_twelve_subjects_in_each(corpus: Path, dataset: Dataset):
    assert len({source.subject for source in dataset.recordings(corpus / dataset.name)}) == 12


def test_half_of_the_patients_are_abnormal_and_none_is_both(corpus: Path):
    sources = [source for source in SimHospital().recordings(corpus / "sim_hospital") if "normal" in source.session]
    normal = {source.subject for source in sources if source.session.startswith("normal")}
    abnormal = {source.subject for source in sources if source.session.startswith("abnormal")}
    assert (len(normal), len(abnormal), len(normal & abnormal)) == (6, 6, 0)


def test_a_session_has_its_verdict_over_its_whole_length(corpus: Path):
    sources = list(SimHospital().recordings(corpus / "sim_hospital"))
    (normal,) = SimHospital().labels(next(s for s in sources if s.session.startswith("normal")), empty())
    (abnormal,) = SimHospital().labels(next(s for s in sources if s.session.startswith("abnormal")), empty())
    assert (normal.label, abnormal.label) == ((0.0,), (1.0,))
    assert (abnormal.onset, abnormal.duration) == (0.0, 30.0)


@pytest.mark.parametrize(
    ("dataset", "pattern"),
    [(SimHospital(), "events/*/*.rec"), (SimLab(), "*/*_events.tsv"), (SimGait(), "*/*T01-joints.csv")],
)
@pytest.mark.parametrize("content", [None, "a,b\nc,d\n", b"\xff\xfe\x00"])
def test_labels_that_are_missing_or_nonsense_are_an_error_that_names_their_file(
    tmp_path: Path, dataset: Dataset, pattern: str, content: str | bytes | None
):
    simulate(tmp_path / "data", size=Size(1, 1, 1, 1, 6, 1, 10))
    folder = tmp_path / "data" / dataset.name
    path = sorted(folder.glob(pattern))[0]
    source = next(s for s in dataset.recordings(folder) if path in dataset.sidecars(s))
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LabelError, match=path.name):
        dataset.labels(source, empty())


@pytest.mark.parametrize("dataset", [SimHospital(), SimLab(), SimGait()])
def test_other_folders_are_not_taken_for_simulated(tmp_path: Path, dataset: Dataset):
    assert not dataset.recognises(tmp_path)
    (tmp_path / "simulated.json").write_text("[]")
    assert not dataset.recognises(tmp_path)
    (tmp_path / "simulated.json").write_text('{"dataset": "another"}')
    assert not dataset.recognises(tmp_path)
