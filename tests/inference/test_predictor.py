"""Any model answers signals by channel name, whatever their spelling and rate."""

import numpy as np
import pytest
import torch

from labram import checksums
from labram.errors import RecipeError, WindowError
from labram.inference.predictor import Predictor, resample
from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.downstream import DownstreamModel
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import AlignmentRecipe, TaskRecipe
from labram.signals.alignment import fit
from labram.training.task_metadata import TaskMetadata

SMALL = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 1, "codes": 16}
KINDS = {
    "binary": (("rest", "task"), "auroc", 1),
    "multiclass": (("a", "b", "c"), "cohen_kappa", 3),
    "regression": (("hip", "knee"), "r2", 2),
}


def task_model(folder, kind, *, alignment=None, **scale):
    classes, metric, outputs = KINDS[kind]
    torch.manual_seed(0)
    model = DownstreamModel(BackboneConfig(**SMALL), outputs)
    torch.nn.init.normal_(model.head.weight, std=0.3)
    weights.save(model, folder)
    alignment = alignment or AlignmentRecipe()
    recipe = TaskRecipe(
        name="t", title="T", dataset="d", kind=kind, classes=classes, metric=metric, alignment=alignment
    )
    TaskMetadata(recipe=recipe, **scale).write(folder)
    return Predictor(folder)


def signals(windows=3, channels=2, samples=400, seed=0):
    return np.random.default_rng(seed).normal(scale=20, size=(windows, channels, samples)).astype(np.float32)


@pytest.mark.parametrize(("kind", "shape"), [("binary", (3,)), ("multiclass", (3, 3)), ("regression", (3, 2))])
def test_every_kind_of_task_has_its_kind_of_answer(tmp_path, kind, shape):
    scale = {"target_mean": (1.0, 2.0), "target_sd": (0.1, 0.2)} if kind == "regression" else {}
    answer = task_model(tmp_path, kind, **scale).predict(signals(), ["CZ", "PZ"], 200.0)
    assert answer.shape == shape
    if kind == "multiclass":
        assert answer.sum(axis=1) == pytest.approx(np.ones(3))
    if kind == "binary":
        assert ((answer > 0) & (answer < 1)).all()


def test_regression_answers_in_the_unit_of_the_targets(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    plain = task_model(tmp_path / "one", "regression", target_mean=(0.0, 0.0), target_sd=(1.0, 1.0))
    scaled = task_model(tmp_path / "two", "regression", target_mean=(5.0, 6.0), target_sd=(2.0, 3.0))
    before, after = (model.predict(signals(), ["CZ", "PZ"], 200.0) for model in (plain, scaled))
    assert after == pytest.approx(before * [2.0, 3.0] + [5.0, 6.0], rel=1e-5)


def test_a_backbone_gives_an_embedding_a_window_and_a_tokenizer_a_code_a_patch(tmp_path):
    weights.save(MaskedModel(BackboneConfig(**SMALL)), tmp_path / "backbone")
    weights.save(Tokenizer(TokenizerConfig(**SMALL, decoder_depth=1, code_width=8)), tmp_path / "tokenizer")
    assert Predictor(tmp_path / "backbone").predict(signals(), ["CZ", "PZ"], 200.0).shape == (3, 100)
    codes = Predictor(tmp_path / "tokenizer").predict(signals(), ["CZ", "PZ"], 200.0)
    assert codes.shape == (3, 4)
    assert codes.dtype == np.int64


def test_spelling_does_not_matter_and_the_order_of_channels_goes_with_the_signals(tmp_path):
    model = task_model(tmp_path, "binary")
    x = signals()
    plain = model.predict(x, ["FP1", "O2"], 200.0)
    assert model.predict(x, ["EEG Fp1-REF", "o2."], 200.0) == pytest.approx(plain)
    assert model.predict(x[:, ::-1], ["O2", "FP1"], 200.0) == pytest.approx(plain, abs=1e-5)
    assert model.predict(x, ["O2", "FP1"], 200.0) != pytest.approx(plain, abs=1e-7)


def test_many_windows_are_answered_as_each_alone(tmp_path):
    model = task_model(tmp_path, "binary")
    x = signals(windows=7)
    alone = np.concatenate([model.predict(x[row : row + 1], ["CZ", "PZ"], 200.0) for row in range(7)])
    assert model.predict(x, ["CZ", "PZ"], 200.0) == pytest.approx(alone, abs=1e-6)


def test_another_rate_shows_the_model_the_same_signal(tmp_path):
    seconds = np.arange(1024) / 256
    wave = np.sin(2 * np.pi * 10 * seconds, dtype=np.float32)[None, None]
    expected = np.sin(2 * np.pi * 10 * np.arange(800) / 200)
    assert resample(wave, 256.0)[0, 0, 50:-50] == pytest.approx(expected[50:-50], abs=0.01)
    assert resample(wave, 200.0) is wave


def test_a_rest_shorter_than_a_second_is_cut_off(tmp_path):
    model = task_model(tmp_path, "binary")
    x = signals(samples=599)
    assert model.predict(x, ["CZ", "PZ"], 200.0) == pytest.approx(model.predict(x[..., :400], ["CZ", "PZ"], 200.0))


@pytest.mark.parametrize(
    ("bad", "channels", "sfreq", "says"),
    [
        (signals()[0], ["CZ", "PZ"], 200.0, "got 2"),
        (signals(), ["CZ"], 200.0, "2 channels, but 1 names"),
        (signals(), [], 200.0, "Name every channel"),
        (signals(), ["CZ", "cz"], 200.0, "duplicate channels"),
        (signals(samples=150), ["CZ", "PZ"], 200.0, "shorter than a second"),
        (signals(), ["CZ", "PZ"], 0.0, "invalid sampling rate 0"),
        (signals(samples=200 * 17), ["CZ", "PZ"], 200.0, "at most 16 s"),
        (signals() * np.nan, ["CZ", "PZ"], 200.0, "NaN"),
        (signals()[:0], ["CZ", "PZ"], 200.0, "no windows"),
        (signals() + 1j, ["CZ", "PZ"], 200.0, "got complex"),
        ([[[1.0, 2.0]], [[1.0]]], ["CZ", "PZ"], 200.0, "not an array"),
        (signals(), ["CZ", None], 200.0, "got None in it"),
        (signals(), "CZ", 200.0, "got 'CZ'"),
        (signals(), ["CZ", "PZ"], "200", "invalid sampling rate '200'"),
        (signals(samples=500_000), ["CZ", "PZ"], 500_000, "invalid sampling rate 500000"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(tmp_path, bad, channels, sfreq, says):
    with pytest.raises(WindowError, match=says):
        task_model(tmp_path, "binary").predict(bad, channels, sfreq)


def test_an_unknown_electrode_is_refused_with_the_closest_one(tmp_path):
    with pytest.raises(RecipeError, match="Use 'FP1', the closest name"):
        task_model(tmp_path, "binary").predict(signals(), ["FP1X", "PZ"], 200.0)


def test_a_model_trained_with_an_alignment_aligns_the_windows_of_a_request_on_all_of_them(tmp_path):
    model = task_model(tmp_path, "binary", alignment=AlignmentRecipe(kind="euclidean"))
    x = signals(windows=5)
    answer = model.predict(x, ["CZ", "PZ"], 200.0)
    assert model.predict(9 * x, ["CZ", "PZ"], 200.0) == pytest.approx(answer, abs=1e-5), "the gain is aligned away"
    prepared = fit([x], model.alignment).apply(x)
    assert model.predict_prepared(prepared, ["CZ", "PZ"]) == pytest.approx(answer, abs=1e-6)
    assert model.predict(x[:2], ["CZ", "PZ"], 200.0) != pytest.approx(answer[:2], abs=1e-9)


def test_a_request_too_short_for_the_alignment_is_an_error(tmp_path):
    model = task_model(tmp_path, "binary", alignment=AlignmentRecipe(kind="euclidean"))
    with pytest.raises(WindowError, match="3 channels need 3 s, got 2 s"):
        model.predict(signals(windows=1, channels=3), ["CZ", "PZ", "FZ"], 200.0)


def test_a_task_model_of_before_alignment_has_none(tmp_path):
    task_model(tmp_path, "binary")
    metadata = checksums.loads(checksums.read_checked(tmp_path / TaskMetadata.NAME))
    del metadata["recipe"]["alignment"], metadata["recipe"]["frequencies"]
    checksums.write_json(tmp_path / TaskMetadata.NAME, metadata, sort_keys=True)
    assert Predictor(tmp_path).alignment == AlignmentRecipe()
