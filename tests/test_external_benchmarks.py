"""Other people's benchmarks get a model that computes what ours computes."""

from importlib import import_module

import mne
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from torch import nn

from labram.embedding import Labram
from labram.errors import WindowError
from labram.estimators import LabramClassifier
from labram.external_benchmarks import PEFT_TARGETS, OpenEegBenchModel, moabb_pipelines, open_eeg_bench
from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from tests.fixtures.small_models import SMALL

NAMES = ("EEG Fp1-Ref", "Cz", "STATUS", "O2")
KNOWN = ("FP1", "CZ", "O2")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    return Labram(DownstreamModel(BackboneConfig(**SMALL), 1))


def built(arguments, *, seconds=4, sfreq=200, outputs=3, loaded=True, **settings):
    """As `open_eeg_bench.backbone.PretrainedBackbone` builds a model and loads its weights, by name and shape."""
    module, name = arguments["model_cls"].rsplit(".", 1)
    own = getattr(import_module(module), name)(
        n_chans=len(NAMES), n_times=seconds * sfreq, n_outputs=outputs, sfreq=sfreq,
        chs_info=[{"ch_name": label} for label in NAMES], **{**arguments["model_kwargs"], **settings},
    )  # fmt: skip
    if loaded:
        state = torch.load(arguments["checkpoint_path"], weights_only=True)["state_dict"]
        shapes = {key: tensor.shape for key, tensor in own.state_dict().items()}
        assert all(shapes.get(key) == tensor.shape for key, tensor in state.items()), "nothing would be skipped"
        missing, unexpected = own.load_state_dict(state, strict=False)
        assert set(missing) == {"final_layer.weight", "final_layer.bias"}
        assert unexpected == []
    return own.eval()


def windows(seconds=4, sfreq=200, count=2):
    return np.random.default_rng(0).normal(scale=20, size=(count, len(NAMES), seconds * sfreq)).astype(np.float32)


@pytest.mark.parametrize("sfreq", [100, 200, 256])
def test_features_are_those_of_our_own_embedding(model, tmp_path, sfreq):
    own = built(open_eeg_bench(model, tmp_path / "w.pth"), sfreq=sfreq)
    x = windows(sfreq=sfreq)
    with torch.no_grad():
        features = own.features(torch.from_numpy(x * 1e-6)).numpy()
    expected = model.embed(x, NAMES, sfreq=sfreq, on_unknown="drop")
    assert expected.channels == KNOWN
    np.testing.assert_allclose(features, expected.windows, atol=2e-3)


def test_a_module_takes_windows_and_trains_with_another_head(model, tmp_path):
    arguments = open_eeg_bench(model, tmp_path / "w.pth", pooling="mean+std")
    own = built(arguments, outputs=5)
    assert own(torch.from_numpy(windows())).shape == (2, 5)
    assert own.final_layer.in_features == 2 * SMALL["width"]
    own.final_layer = nn.Sequential(nn.Flatten(), nn.Linear(own.final_layer.in_features, 2))
    own.train()
    own(torch.from_numpy(windows() * 1e-6)).sum().backward()
    assert all(parameter.grad is not None for name, parameter in own.named_parameters() if "pos_embed" not in name)
    wrapped = {name.rpartition(".")[2] for name, part in own.named_modules() if isinstance(part, nn.Linear)}
    assert set(arguments["peft_target_modules"]) == set(PEFT_TARGETS) <= wrapped


def test_long_windows_are_embedded_in_parts_of_whole_seconds(model, tmp_path):
    arguments = open_eeg_bench(model, tmp_path / "w.pth")
    own, x = built(arguments, seconds=20), windows(seconds=20)
    with torch.no_grad():
        features = own.features(torch.from_numpy(x * 1e-6)).numpy()
    first, second = (
        model.embed(part, NAMES, sfreq=200, on_unknown="drop").windows for part in (x[..., :3200], x[..., 3200:])
    )
    np.testing.assert_allclose(features, 0.8 * first + 0.2 * second, atol=2e-3)
    with pytest.raises(WindowError, match="pooling tokens has another width"):
        built(arguments, seconds=20, loaded=False, pooling="tokens")


def test_what_cannot_be_used_is_named(model, tmp_path):
    arguments = open_eeg_bench(model, tmp_path / "w.pth")
    with pytest.raises(WindowError, match=r"windows of 0\.5 s are too short"):
        OpenEegBenchModel(1, 50, 2, 100, [{"ch_name": "Cz"}], **arguments["model_kwargs"])
    with pytest.raises(WindowError, match="expected 2 channels in chs_info, got 1"):
        OpenEegBenchModel(2, 200, 2, 100, [{"ch_name": "Cz"}], **arguments["model_kwargs"])


@pytest.fixture(scope="module")
def states():
    """Windows of 2 s of two classes, told apart by a rhythm, in µV at 128 Hz."""
    y = np.array(["left", "right"] * 12)
    times = np.arange(256) / 128
    random = np.random.default_rng(1)
    waves = np.stack(
        [25 * np.sin(2 * np.pi * ((8, 30)[label == "right"] * times + random.random((4, 1)))) for label in y]
    )
    return (waves + random.normal(scale=5, size=waves.shape)).astype(np.float32), y


def test_a_moabb_pipeline_is_cloned_fitted_and_scored_on_arrays_and_on_epochs(model, states):
    x, y = states
    by_array = moabb_pipelines(model, NAMES, sfreq=128, poolings=("mean", "channels"))
    assert list(by_array) == ["LaBraM probe (mean)", "LaBraM probe (channels)"]
    scores = {name: cross_val_score(clone(each), x, y, cv=3, scoring="roc_auc") for name, each in by_array.items()}
    ours = LabramClassifier(model, NAMES, sfreq=128, pooling="channels", on_unknown="drop")
    np.testing.assert_allclose(scores["LaBraM probe (channels)"], cross_val_score(ours, x, y, cv=3, scoring="roc_auc"))
    assert scores["LaBraM probe (mean)"].mean() > 0.8
    info = mne.create_info(list(NAMES), 128.0, ["eeg", "eeg", "stim", "eeg"])
    epochs = mne.EpochsArray(x.astype(float) * 1e-6, info, verbose="error")
    (pipeline,) = moabb_pipelines(model, poolings=("mean",)).values()
    fitted = clone(pipeline).fit(epochs[:16], y[:16])
    expected = clone(by_array["LaBraM probe (mean)"]).fit(x[:16], y[:16])
    np.testing.assert_allclose(fitted.predict_proba(epochs[16:]), expected.predict_proba(x[16:]), atol=2e-2)


def test_open_eeg_bench_itself_builds_and_loads_it(model, tmp_path):
    backbone = pytest.importorskip("open_eeg_bench.backbone")
    arguments = open_eeg_bench(model, tmp_path / "w.pth")
    config = backbone.PretrainedBackbone(**arguments)
    own = config.build(
        n_chans=len(NAMES), n_times=400, n_outputs=2, sfreq=100, chs_info=[{"ch_name": name} for name in NAMES]
    )
    config.load_pretrained(own)
    ours = built(arguments, seconds=4, sfreq=100, outputs=2)
    x = torch.from_numpy(windows(sfreq=100) * 1e-6)
    torch.testing.assert_close(own.eval().features(x), ours.features(x))


def test_moabb_itself_evaluates_it(model, tmp_path):
    fake = pytest.importorskip("moabb.datasets.fake")
    from moabb.evaluations import WithinSessionEvaluation
    from moabb.paradigms import LeftRightImagery

    dataset = fake.FakeDataset(["left_hand", "right_hand"], n_subjects=1, n_sessions=1, paradigm="imagery")
    evaluation = WithinSessionEvaluation(
        paradigm=LeftRightImagery(), datasets=[dataset], hdf5_path=str(tmp_path), return_epochs=True, overwrite=True
    )
    scores = evaluation.process(moabb_pipelines(model, poolings=("mean",)))
    assert scores["score"].between(0, 1).all()
