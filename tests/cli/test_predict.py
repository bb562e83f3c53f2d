"""Commands that read recordings: tables, reasons and exit codes."""

import numpy as np
import pandas as pd
import pytest

from labram.errors import PlatformError
from labram.evaluation.operating_point import OperatingPoint
from labram.inference import predict_recordings as prepared
from tests.fixtures.small_models import write_edf, write_task_model


@pytest.fixture
def files(tmp_path):
    write_edf(tmp_path / "data" / "a.edf", 1)
    write_edf(tmp_path / "data" / "b.edf", 2, seconds=2)
    return tmp_path / "data"


def test_a_folder_is_predicted_and_what_is_left_out_has_exit_code_6(labram, files, tmp_path):
    model = write_task_model(tmp_path / "model")
    out = tmp_path / "p.parquet"
    common = ("predict", model, files, "--out", out, "--by", "recording", "--workers", 1, "--device", "cpu")
    code, printed, _ = labram(*common)
    assert code == 6
    assert "1 of 2 recordings" in printed
    assert "1 not used, too_short" in printed
    assert "channels dropped in 1 recordings: ECG ECG" in printed
    table = pd.read_parquet(out)
    assert table["reason"].fillna("").tolist() == ["", "too_short"]
    assert table["model"].tolist() == ["model", "model"]
    assert "ECG" not in table.to_csv(), "labels of a file's header stay on the terminal"
    assert labram(*common[:2], files / "a.edf", *common[3:])[0] == 0
    assert not (tmp_path / ".labram").exists()


def test_subjects_must_be_stated_to_predict_by_subject(labram, files, tmp_path):
    model = write_task_model(tmp_path / "model")
    code, _, error = labram("predict", model, files, "--by", "subject", "--out", tmp_path / "p.csv")
    assert code == 1
    assert "nothing states the subjects of 2 of 2 recordings" in error
    assert not (tmp_path / "p.csv").exists()


def test_embeddings_and_codes_are_written_by_command(labram, files, tmp_path):
    model = write_task_model(tmp_path / "model")
    out = tmp_path / "e.npz"
    common = ("--workers", 1, "--device", "cpu")
    assert labram("embed", model, files / "a.edf", "--out", out, "--layers", "all", *common)[0] == 0
    with np.load(out) as arrays:
        assert arrays["layer_1"].shape == arrays["layer_2"].shape == (4, 100)
    code, _, error = labram("tokens", model, files / "a.edf", "--out", tmp_path / "t.csv", *common)
    assert (code, "only a tokenizer has codes" in error) == (1, True)


def test_a_reconstruction_is_drawn_by_command(labram, files, tokenizer, tmp_path):
    out = tmp_path / "r.png"
    code, printed, _ = labram("reconstruct", tokenizer, files / "a.edf", "--out", out, "--seconds", 4)
    assert code == 0
    assert "4 windows" in printed
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.with_suffix(".csv").is_file()


def test_decisions_follow_an_operating_point_of_validation_recordings(labram, eegmat, tmp_path):
    model, point, out = write_task_model(tmp_path / "model"), tmp_path / "point.json", tmp_path / "p.parquet"
    common = ("--device", "cpu", "--workspace", tmp_path / "ws")
    chosen = ("operating-point", model, "--validation", eegmat, "--test", eegmat, "--out", point, "--abstain", 0.25)
    code, printed, _ = labram(*chosen, "--rule", "specificity", "--at", 0.75, *common)
    assert code == 0
    assert "2 subjects are also in the validation recordings" in printed.replace("\n", " ")
    found = OperatingPoint.read(point)
    assert found.validation.specificity.value >= 0.75
    assert found.validation.coverage == 0.75
    assert found.test == found.validation
    predict = ("predict", model, eegmat, "--out", out, "--operating-point", point, *common)
    assert labram(*predict)[0] == 0
    table = pd.read_parquet(out)
    sure = table[table["abstain"] == ""]
    assert (sure["decision"] == "arithmetic").tolist() == (sure["p_arithmetic"] >= found.threshold).tolist()
    assert set(table["decision"][table["abstain"] != ""]) == {""}
    assert (table["abstain"] == "low_confidence").sum() == 4
    code, _, error = labram(*predict, "--by", "recording")
    assert (code, "decides by window, not by recording" in error) == (1, True)
    other = write_task_model(tmp_path / "other", seconds=2)
    assert "chosen for other weights" in labram("predict", other, *predict[2:])[2]


def test_a_prediction_is_explained_by_command_and_a_model_that_learnt_nothing_is_not(labram, tmp_path):
    model, out = write_task_model(tmp_path / "model", seconds=2), tmp_path / "e.png"
    recording = write_edf(tmp_path / "a.edf", 1, seconds=24)
    code, printed, _ = labram("explain", model, recording, "--out", out, "--device", "cpu")
    assert code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "12 windows" in printed
    assert printed.count("sanity check") == 2
    table = pd.read_csv(out.with_suffix(".csv"))
    assert table["kind"].value_counts().to_dict() == {"electrode": 6, "band": 5, "second": 2}
    assert ((table["low"] <= table["effect"]) & (table["effect"] <= table["high"])).all()
    code, _, error = labram("explain", model, recording, "--class", "sleep", "--out", out)
    assert (code, "Choose from rest, arithmetic" in error) == (1, True)
    write_edf(tmp_path / "short.edf", 1, seconds=1)
    code, _, error = labram("explain", model, tmp_path / "short.edf", "--out", out)
    assert (code, "short.edf" in error) == (1, True)


def test_an_interrupted_prediction_resumes(labram, eegmat, tmp_path, monkeypatch):
    model, out = write_task_model(tmp_path / "model"), tmp_path / "p.parquet"
    command = ("predict", model, eegmat, "--out", out, "--device", "cpu", "--by", "recording", "--workers", 1)
    assert labram(*command)[0] == 0
    whole = pd.read_parquet(out)
    out.unlink()
    prepare, seen = prepared.prepare_groups, []

    def interrupted(sources, *rest, **options):
        seen.append(len(sources))
        for number, group in prepare(sources, *rest, **options):
            if len(seen) == 1 and number == 2:
                raise PlatformError("stopped", remedy="Run it again")
            yield number, group

    monkeypatch.setattr(prepared, "prepare_groups", interrupted)
    assert labram(*command)[0] == 1
    assert not out.exists()
    code, printed, _ = labram(*command)
    assert (code, seen) == (0, [4, 2])
    assert "2 recordings were predicted before the interruption" in printed
    assert "4 of 4 recordings" in printed
    pd.testing.assert_frame_equal(pd.read_parquet(out), whole)
    assert not list(tmp_path.glob(".*.partial"))
