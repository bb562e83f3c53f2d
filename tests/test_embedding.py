"""Arrays with channel names go in, vectors come out; what was left out is said."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import labram
from labram import Labram, LabramEmbedder
from labram.errors import MisfitWeightsError, RecipeError, WeightsError, WindowError
from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import AlignmentRecipe
from labram.signals.electrodes import rows
from labram.signals.preprocessing import preprocess
from labram.signals.recording import Recording

SMALL = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 1, "codes": 16}
NAMES = ("FP1", "CZ", "O2")


def signals(windows=4, channels=3, samples=400, seed=0):
    return np.random.default_rng(seed).normal(scale=20, size=(windows, channels, samples)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("backbone")
    weights.save(MaskedModel(BackboneConfig(**SMALL)), place)
    return place


@pytest.fixture(scope="module")
def model(folder):
    return Labram.from_pretrained(folder)


@pytest.mark.parametrize(
    "set_defaults",
    [
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.bfloat16),
        lambda: torch.set_default_device("meta"),
    ],
    ids=["float64", "bfloat16", "meta"],
)
def test_defaults_of_the_process_change_neither_weights_nor_embeddings(folder, model, set_defaults):
    expected = model.embed(signals(), NAMES, sfreq=200)
    try:
        set_defaults()
        before = torch.get_default_dtype()
        loaded = Labram.from_pretrained(folder)
        found = loaded.embed(signals(), NAMES, sfreq=200)
        assert torch.get_default_dtype() == before, "the caller keeps its defaults"
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert {(value.dtype, value.device.type) for value in loaded.model.state_dict().values()} == {
        (torch.float32, "cpu")
    }
    assert found.windows.dtype == np.float32
    np.testing.assert_array_equal(found.windows, expected.windows)
    np.testing.assert_array_equal(found.patches, expected.patches)


def test_windows_and_patches_are_the_models_features_in_its_unit(model):
    x = signals()
    found = model.embed(x, NAMES, sfreq=200)
    given = torch.from_numpy(x).reshape(4, 3, 2, 200) / 100
    with torch.no_grad():
        expected = model.model.features(given, torch.tensor(rows(NAMES)))
        patches = model.model.patch_features(given, torch.tensor(rows(NAMES)))
    assert found.windows.shape == (4, 100)
    assert found.patches.shape == (4, 3, 2, 100)
    assert found.windows == pytest.approx(expected.numpy(), abs=1e-6)
    assert found.patches.reshape(4, 6, 100) == pytest.approx(patches.numpy(), abs=1e-6)
    assert (found.channels, found.dropped) == (NAMES, ())


def test_the_same_voltages_in_any_unit_spelling_and_rate_are_the_same(model):
    x = signals()
    plain = model.embed(x, NAMES, sfreq=200).windows
    assert model.embed(x * 1e-6, NAMES, sfreq=200, unit="V").windows == pytest.approx(plain, abs=1e-4)
    assert model.embed(x, ["EEG FP1-REF", "Cz.", "o2"], sfreq=200).windows == pytest.approx(plain)
    times = np.arange(1024) / 256
    slow = 30 * np.sin(2 * np.pi * np.array([[6.0], [10.0], [11.0]]) * times)[np.newaxis]
    same = 30 * np.sin(2 * np.pi * np.array([[6.0], [10.0], [11.0]]) * np.arange(800) / 200)[np.newaxis]
    one, other = (model.embed(x, NAMES, sfreq=rate).windows for x, rate in ((slow, 256), (same, 200)))
    assert np.corrcoef(one[0], other[0])[0, 1] > 0.99


def test_old_and_new_names_of_a_place_are_different_rows_as_in_the_released_weights(model):
    x = signals()
    old, new = (model.embed(x, ["FP1", "CZ", name], sfreq=200) for name in ("t3", "t7"))
    assert (old.channels[2], new.channels[2]) == ("T3", "T7")
    assert old.windows != pytest.approx(new.windows, abs=1e-6)


def test_unknown_channels_are_refused_with_the_closest_name(model):
    with pytest.raises(RecipeError, match=r"2 of 3 .*'FP1X': Use 'FP1', the closest name; 'EKG'"):
        model.embed(signals(), ["FP1X", "CZ", "EKG"], sfreq=200)


def test_unknown_channels_are_dropped_on_demand_and_named(model):
    x = signals()
    found = model.embed(x, ["FP1", "EKG 1", "O2"], sfreq=200, on_unknown="drop")
    assert (found.channels, found.dropped) == (("FP1", "O2"), ("EKG 1",))
    assert found.windows == pytest.approx(model.embed(x[:, [0, 2]], ["FP1", "O2"], sfreq=200).windows)
    with pytest.raises(WindowError, match="no channel remains"):
        model.embed(x, ["X", "Y", "Z"], sfreq=200, on_unknown="drop")


def test_contacts_of_a_grid_are_not_taken_for_ears(model):
    with pytest.raises(RecipeError, match="'A1': part of a contact grid"):
        model.embed(signals(), ["A1", "A2", "A17"], sfreq=200)


def test_a_recording_is_cut_into_windows(model):
    x = signals(windows=1, samples=200 * 33 + 70)[0]
    found = model.embed(x, NAMES, sfreq=200)
    assert found.patches.shape == (2, 3, 16, 100)
    second = model.embed(x[np.newaxis, :, 3200:6400], NAMES, sfreq=200)
    assert found.windows[1] == pytest.approx(second.windows[0], abs=1e-5)
    assert model.embed(x, NAMES, sfreq=200, seconds=4).windows.shape == (8, 100)
    with pytest.raises(WindowError, match="33 whole seconds"):
        model.embed(x, NAMES, sfreq=200, seconds=34)


def test_many_channels_mean_short_windows(model):
    names = [f"{row}{number}" for row in ("F", "C", "P") for number in (1, 2, 3, 4, 5, 6)]
    x = signals(windows=1, channels=18, samples=200 * 30)[0]
    assert model.embed(x, names, sfreq=200).patches.shape == (2, 18, 14, 100)


def test_a_recording_is_filtered_on_demand_as_in_training(model):
    rate = 250.0
    x = np.cumsum(signals(windows=1, samples=int(40 * rate))[0], axis=1) + 300
    labels = ("EKG", "FP1", "O2")
    found = model.embed(x, labels, sfreq=rate, on_unknown="drop", preprocess=True, line_freq_hz=60, seconds=10)
    (clean,) = preprocess(Recording(x, labels, rate), [1, 2], line_freq_hz=60)
    expected = model.embed(clean, ["FP1", "O2"], sfreq=200, seconds=10)
    assert found.windows == pytest.approx(expected.windows, abs=1e-6)
    with pytest.raises(WindowError, match="line frequency is missing"):
        model.embed(x, labels, sfreq=rate, on_unknown="drop", preprocess=True)
    with pytest.raises(WindowError, match="expected a continuous recording"):
        model.embed(signals(), NAMES, sfreq=200, preprocess=True, line_freq_hz=50)


@pytest.mark.parametrize(
    ("x", "settings", "says"),
    [
        (signals() * 1e-6, {}, "implausible standard deviation"),
        (signals() * 1e6, {}, "implausible values up to"),
        (signals(), {"unit": "volts"}, "unknown unit"),
        (signals(samples=100), {}, "shorter than a second"),
        (signals(channels=2), {}, "2 channels, but 3 names"),
        (signals() * np.nan, {}, "NaN"),
        (signals()[0, 0], {}, "got 1"),
    ],
)
def test_what_cannot_be_eeg_windows_is_refused_in_words(model, x, settings, says):
    with pytest.raises(WindowError, match=says):
        model.embed(x, NAMES, sfreq=200, **settings)


@pytest.mark.parametrize("factor", [1e5, 1e12, 1e18, 1e30])
def test_one_channel_that_no_amplifier_gives_is_refused_by_name_with_the_unit_as_remedy(model, factor):
    x = signals()
    x[1, 2] *= factor
    with pytest.raises(WindowError, match=r"O2: implausible values up to .*unit=") as caught:
        model.embed(x, NAMES, sfreq=200)
    assert caught.value.field == "unit"
    assert "FP1" not in str(caught.value)
    with pytest.raises(WindowError, match="O2: implausible values up to"):
        model.embed(x[1], NAMES, sfreq=200)
    assert model.embed(x, ["FP1", "CZ", "EKG"], sfreq=200, on_unknown="drop").channels == ("FP1", "CZ")


def test_an_offset_counts_only_after_the_filter_that_takes_it_out(model):
    x = signals(windows=1, samples=200 * 50)[0] + np.array([[0.0], [0.0], [2e5]], dtype=np.float32)
    with pytest.raises(WindowError, match="O2: implausible values up to 2e"):
        model.embed(x, NAMES, sfreq=200)
    assert len(model.embed(x, NAMES, sfreq=200, preprocess=True, line_freq_hz=50).windows) == 3


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"x": signals()[:0]}, "signals"),
        ({"x": [[[1.0, 2.0]], [[1.0]]]}, "signals"),
        ({"x": signals().astype(str)}, "signals"),
        ({"x": signals() + 1j}, "signals"),
        ({"x": signals().astype(np.float64) * 1e40}, "signals"),
        ({"sfreq": 500_000, "x": signals(windows=1, samples=500_000)}, "sfreq"),
        ({"sfreq": "200"}, "sfreq"),
        ({"sfreq": None}, "sfreq"),
        ({"sfreq": True}, "sfreq"),
        ({"sfreq": float("nan")}, "sfreq"),
        ({"seconds": 1.5, "x": signals()[0]}, "seconds"),
        ({"seconds": "2", "x": signals()[0]}, "seconds"),
        ({"channels": ["FP1", None, "O2"]}, "channels"),
        ({"channels": ["FP1", 3, "O2"]}, "channels"),
        ({"channels": None}, "channels"),
        ({"channels": "CZ"}, "channels"),
    ],
)
def test_what_is_of_the_wrong_kind_is_an_error_of_ours_with_field_and_remedy(model, given, field):
    arguments = {"x": signals(), "channels": NAMES, "sfreq": 200} | given
    with pytest.raises(WindowError) as caught:
        model.embed(**arguments)
    assert caught.value.field == field
    assert caught.value.remedy


def test_numbers_of_numpy_are_rates_and_seconds_too(model):
    x = signals()[0]
    found = model.embed(x, np.array(NAMES), sfreq=np.float32(200), seconds=np.int64(1))
    assert np.array_equal(found.windows, model.embed(x, NAMES, sfreq=200, seconds=1).windows)
    assert len(model.embed(x, NAMES, sfreq=np.float32(256), seconds=1).windows) == 1


def test_what_a_dropped_channel_holds_does_not_matter(model):
    x = signals(samples=400 * 50)
    expected = model.embed(x[:, [0, 2], :400], ["FP1", "O2"], sfreq=200).windows
    x[:, 1] = np.nan
    labels = ("FP1", "EKG", "O2")
    assert np.array_equal(model.embed(x[..., :400], labels, sfreq=200, on_unknown="drop").windows, expected)
    assert len(model.embed(x[0], labels, sfreq=200, on_unknown="drop", seconds=10).windows) == 10
    filtering = {"on_unknown": "drop", "preprocess": True, "line_freq_hz": 50}
    assert np.isfinite(model.embed(x[0], labels, sfreq=200, **filtering).windows).all()
    with pytest.raises(WindowError, match="1 channels, but 3 names"):
        model.embed(x[:, :1], labels, sfreq=200, on_unknown="drop")
    x[0, 2, 7] = np.nan
    with pytest.raises(WindowError, match="NaN"):
        model.embed(x[..., :400], labels, sfreq=200, on_unknown="drop")


def test_a_channel_that_occurs_twice_is_named_with_both_spellings(model):
    with pytest.raises(WindowError, match=r"duplicate channels: CZ as 'Cz\.' and 'EEG CZ-REF'"):
        model.embed(signals(), ["Cz.", "FP1", "EEG CZ-REF"], sfreq=200)


def test_a_finetuned_model_embeds_with_its_own_pooling(tmp_path):
    torch.manual_seed(0)
    tuned = DownstreamModel(BackboneConfig(**SMALL), 3, pooling="cls")
    weights.save(tuned, tmp_path)
    found = Labram.from_pretrained(tmp_path).embed(signals(), NAMES, sfreq=200).windows
    x = torch.from_numpy(signals()).reshape(4, 3, 2, 200) / 100
    assert found == pytest.approx(tuned.eval().features(x, torch.tensor(rows(NAMES))).detach().numpy(), abs=1e-6)


def test_an_aligned_model_embeds_the_windows_of_a_call_aligned_on_all_of_them(model):
    aligned = Labram(model.model, AlignmentRecipe(kind="euclidean"))
    x = signals(windows=5)
    once, louder = (aligned.embed(gain * x, NAMES, sfreq=200).windows for gain in (1, 3))
    assert louder == pytest.approx(once, abs=1e-4)
    assert model.embed(3 * x, NAMES, sfreq=200).windows != pytest.approx(once, abs=1e-3)


def test_a_folder_without_a_model_and_a_tokenizer_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="Name a model folder of labram"):
        Labram.from_pretrained(tmp_path / "nowhere")
    weights.save(Tokenizer(TokenizerConfig(**SMALL, decoder_depth=1, code_width=8)), tmp_path)
    with pytest.raises(MisfitWeightsError, match="no embeddings"):
        Labram.from_pretrained(tmp_path)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A registry of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    return tmp_path


def test_the_uri_of_a_registered_model_is_found_in_its_workspace(folder, workspace):
    from mlflow.tracking import MlflowClient

    from labram.recipe import load
    from labram.registry import model_registry
    from labram.tracking import mlflow_runs

    mlflow_runs.configure(workspace)
    client = MlflowClient()
    run = client.create_run(mlflow_runs.experiment_id(client)).info.run_id
    model_registry.register(model_registry.BACKBONE, folder, run_id=run, recipe=load("demo"), lineage={}, card="")
    found = Labram.from_pretrained("models:/labram-backbone@challenger", workspace=workspace)
    expected = Labram.from_pretrained(folder).embed(signals(), NAMES, sfreq=200)
    assert np.array_equal(found.embed(signals(), NAMES, sfreq=200).windows, expected.windows)


def test_the_embedder_is_a_step_of_a_pipeline(folder):
    x, y = signals(windows=12), np.arange(12) % 2
    x[y == 1, 0] += 40 * np.sin(2 * np.pi * 10 * np.arange(400) / 200).astype(np.float32)
    pipeline = make_pipeline(LabramEmbedder(str(folder), NAMES), StandardScaler(), LogisticRegression())
    assert clone(pipeline).fit(x, y).score(x, y) > 0.8


def test_the_embedder_keeps_to_scikit_learns_contract(folder, model):
    embedder = LabramEmbedder(folder, [*NAMES, "EKG"], sfreq=250.0, on_unknown="drop")
    assert clone(embedder).get_params() == embedder.get_params()
    x = signals(channels=4, samples=500)
    fitted = embedder.fit(x)
    assert fitted is embedder
    assert embedder.dropped_ == ("EKG",)
    found = embedder.transform(x)
    assert found == pytest.approx(model.embed(x[:, :3], NAMES, sfreq=250.0).windows)
    names = embedder.get_feature_names_out()
    assert list(names[:2]) == ["labram0", "labram1"]
    assert len(names) == found.shape[1]
    assert list(embedder.set_output(transform="pandas").transform(x).columns) == list(names)


def test_a_loaded_model_serves_many_embedders(model):
    assert LabramEmbedder(model, NAMES).fit_transform(signals()).shape == (4, 100)


@pytest.mark.parametrize("x", [signals()[0], signals()[0].tolist(), signals()[np.newaxis]])
def test_the_embedder_takes_no_recording_for_windows(model, x):
    with pytest.raises(WindowError, match=r"expected windows with 3 dimensions.*x\[None\]"):
        LabramEmbedder(model, NAMES).fit(x).transform(x)


def test_the_embedder_keeps_to_what_it_was_fitted_with_until_it_is_fitted_again(model):
    channels = list(NAMES)
    embedder = LabramEmbedder(model, channels).fit(None)
    x = signals()
    before = embedder.transform(x)
    embedder.set_params(channels=["FP2", "PZ", "O1"], sfreq=100, unit="nV")
    channels.reverse()
    assert np.array_equal(embedder.transform(x), before)
    embedder.set_params(sfreq=200, unit="uV").fit(None)
    assert not np.array_equal(embedder.transform(x), before)


def test_the_embedder_refuses_unknown_channels_before_any_window(folder):
    with pytest.raises(RecipeError, match="the closest name"):
        LabramEmbedder(folder, ["FP1X"]).fit(None)


def test_the_package_has_no_other_names_up_its_sleeve():
    with pytest.raises(AttributeError, match="no attribute 'Labrum'"):
        _ = labram.Labrum


def test_mne_objects_bring_names_rate_and_unit(model):
    import mne

    x = signals(windows=1, samples=2000)[0]
    info = mne.create_info([*NAMES, "EOG"], 200.0, ["eeg"] * 3 + ["eog"])
    raw = mne.io.RawArray(np.vstack([x, x[:1]]).astype(float) * 1e-6, info, verbose="error")
    found = model.embed(raw, seconds=4)
    expected = model.embed(x, NAMES, sfreq=200, seconds=4)
    assert found.windows == pytest.approx(expected.windows, abs=1e-4)
    assert (found.channels, found.unused_seconds) == (NAMES, 2.0)
    raw.info["bads"] = ["CZ"]
    assert model.embed(raw, seconds=4).channels == ("FP1", "O2")
    epochs = mne.EpochsArray(
        signals().astype(float) * 1e-6, mne.create_info(list(NAMES), 200.0, "eeg"), verbose="error"
    )
    assert model.embed(epochs).windows == pytest.approx(model.embed(signals(), NAMES, sfreq=200).windows, abs=1e-4)
    with pytest.raises(WindowError, match="are its own"):
        model.embed(raw, NAMES)
    with pytest.raises(WindowError, match="no channel names"):
        model.embed(x)
    raw.set_channel_types(dict.fromkeys(NAMES, "misc"), verbose="error")
    with pytest.raises(WindowError, match="no good EEG channel"):
        model.embed(raw)


def test_a_recording_of_mne_is_filtered_with_its_own_line_frequency(model):
    import mne

    x = signals(windows=1, samples=9000)[0]
    raw = mne.io.RawArray(x.astype(float) * 1e-6, mne.create_info(list(NAMES), 200.0, "eeg"), verbose="error")
    with pytest.raises(WindowError, match="line frequency is missing"):
        model.embed(raw, preprocess=True)
    raw.info["line_freq"] = 60.0
    expected = model.embed(x, NAMES, sfreq=200, preprocess=True, line_freq_hz=60)
    assert model.embed(raw, preprocess=True).windows == pytest.approx(expected.windows, abs=1e-3)


def test_an_unknown_channel_can_be_dropped_or_renamed_as_its_error_says(model):
    labels = ("FP1", "E7", "O2")
    with pytest.raises(RecipeError, match=r"on_unknown='drop', or the electrodes as rename="):
        model.embed(signals(), labels, sfreq=200)
    renamed = model.embed(signals(), labels, sfreq=200, rename={"E7": "CZ"})
    assert renamed.channels == NAMES
    assert renamed.windows == pytest.approx(model.embed(signals(), NAMES, sfreq=200).windows)
