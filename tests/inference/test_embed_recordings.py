"""Embeddings and codes of recordings are those of their windows."""

import numpy as np
import pandas as pd
import pytest
import torch

from labram import Labram
from labram.errors import MisfitWeightsError, RecipeError, WindowError
from labram.events import NullMonitor
from labram.inference.embed_recordings import VECTOR, code_reader, embedding_reader, read_recordings
from labram.inference.embedder import LayerEmbedder, parse_layers
from labram.inference.find_recordings import find_recordings
from labram.inference.predictor import Predictor
from labram.inference.served import Served
from labram.inference.table_file import table_file
from labram.models.config import BackboneConfig
from labram.models.downstream import DownstreamModel
from labram.signals.readers import read
from labram.store.store import Store
from tests.fixtures.small_models import SMALL, write_edf

SERVED = Served("m", "1", "c")
CHANNELS = ("FP1", "FP2", "C3", "C4", "O1", "O2")


def rows_of(reader, paths, tmp_path):
    groups = read_recordings(
        reader, find_recordings(paths), store=Store(tmp_path / "s"), workers=0, monitor=NullMonitor()
    )
    return [row for group in groups for row in group.rows]


def filtered(path, backbone):
    """The windows of a file by the Python API: [n, C, samples] and their embeddings."""
    recording = read(path)
    return Labram.from_pretrained(backbone, device="cpu").embed(
        recording.read(range(6)),
        recording.channels[:6],
        sfreq=recording.sfreq,
        preprocess=True,
        line_freq_hz=50,
        seconds=4,
    )


def test_a_recordings_embeddings_are_those_of_the_python_api(eegmat, backbone, tmp_path):
    path = eegmat / "Subject01_1.edf"
    rows = rows_of(embedding_reader(Predictor(backbone, device="cpu"), SERVED, seconds=4), [path], tmp_path)
    expected = filtered(path, backbone)
    assert [row["start_s"] for row in rows] == [0.0, 4.0, 8.0, 12.0]
    assert np.array([row["embedding"] for row in rows]) == pytest.approx(expected.windows, abs=0.02)
    reader = embedding_reader(Predictor(backbone, device="cpu"), SERVED, seconds=4, by="recording")
    (mean,) = rows_of(reader, [path], tmp_path)
    assert mean["embedding"] == pytest.approx(np.mean([row["embedding"] for row in rows], axis=0), abs=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "channels", "mean+std", "moments", "tokens"])
def test_the_last_layer_is_the_models_own_and_every_layer_has_its_own_vector(pooling):
    torch.manual_seed(0)
    model = DownstreamModel(BackboneConfig(**SMALL), 1).eval()
    signals = np.random.default_rng(0).normal(scale=20, size=(3, 6, 400)).astype(np.float32)
    both = LayerEmbedder(model, pooling, (1, 2))(signals, CHANNELS)
    last = LayerEmbedder(model, pooling)(signals, CHANNELS)
    x_BNAT = torch.from_numpy(signals.reshape(3, 6, 2, 200) / 100)
    from labram.signals.electrodes import rows

    own = model.embed(x_BNAT, torch.tensor(rows(CHANNELS)), pooling).detach().numpy()
    assert both[:, 1] == pytest.approx(last[:, 0])
    assert last[:, 0] == pytest.approx(own, abs=1e-5)
    assert both.shape == (3, 2, own.shape[1])
    assert both[:, 0] != pytest.approx(both[:, 1], abs=1e-3)
    # A model cut after its first block embeds as the first layer of the whole model.
    short = DownstreamModel(BackboneConfig(**{**SMALL, "depth": 1}), 1).eval()
    short.load_state_dict({name: value for name, value in model.state_dict().items() if ".blocks.1." not in name})
    cut = short.embed(x_BNAT, torch.tensor(rows(CHANNELS)), pooling).detach().numpy()
    assert both[:, 0] == pytest.approx(cut, abs=1e-5)


def test_layers_are_named():
    assert [parse_layers(text, 3) for text in ("last", "all", "1, 3")] == [(), (1, 2, 3), (1, 3)]
    with pytest.raises(RecipeError, match="numbers from 1 to 3"):
        parse_layers("first", 3)
    with pytest.raises(RecipeError, match="no layer 7"):
        LayerEmbedder(DownstreamModel(BackboneConfig(**SMALL), 1), "mean", (7,))


def test_codes_have_a_row_per_window_and_electrode(eegmat, tokenizer, tmp_path):
    predictor = Predictor(tokenizer, device="cpu")
    rows = rows_of(code_reader(predictor, SERVED, seconds=4), [eegmat / "Subject01_1.edf"], tmp_path)
    assert [(row["start_s"], row["electrode"]) for row in rows[:7]] == [
        *((0.0, name) for name in CHANNELS),
        (4.0, "FP1"),
    ]
    assert len(rows) == 24
    assert {len(row["codes"]) for row in rows} == {4}
    with pytest.raises(MisfitWeightsError, match="no embeddings"):
        embedding_reader(predictor, SERVED)


def test_windows_are_the_longest_that_fit_unless_their_length_is_named(tokenizer, tmp_path):
    write_edf(tmp_path / "a.edf", 1, seconds=35)
    rows = rows_of(code_reader(Predictor(tokenizer, device="cpu"), SERVED), [tmp_path / "a.edf"], tmp_path)
    assert sorted({(row["start_s"], row["duration_s"]) for row in rows}) == [(0.0, 16.0), (16.0, 16.0)]


def test_arrays_hold_a_column_each_and_need_vectors_of_one_length(tmp_path):
    columns = {"file": str, "windows": int, "embedding": VECTOR, "reason": str}
    rows = [{"file": "a", "windows": 2, "embedding": [1.0, 2.0]}, {"file": "b", "reason": "damaged"}]
    with table_file(tmp_path / "e.npz", columns) as table:
        table.write(rows)
    with np.load(tmp_path / "e.npz", allow_pickle=False) as arrays:
        assert arrays["file"].tolist() == ["a", "b"]
        assert arrays["windows"].tolist() == [2, -1]
        assert arrays["embedding"].dtype == np.float32
        assert np.array_equal(arrays["embedding"], [[1, 2], [np.nan, np.nan]], equal_nan=True)
        assert arrays["reason"].tolist() == ["", "damaged"]
    with table_file(tmp_path / "e.parquet", columns) as table:
        table.write(rows)
    assert pd.read_parquet(tmp_path / "e.parquet")["embedding"][0].tolist() == [1.0, 2.0]
    with pytest.raises(WindowError, match="different lengths: 1, 2"), table_file(tmp_path / "f.npz", columns) as table:
        table.write([rows[0], {"file": "c", "embedding": [1.0]}])
    assert not (tmp_path / "f.npz").exists()
