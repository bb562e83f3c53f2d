"""Commands that read recordings: tables, reasons and exit codes."""

import pandas as pd
import pytest

from tests.inference.conftest import write_edf, write_task_model


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
