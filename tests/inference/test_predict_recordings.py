"""Recordings are predicted as evaluation predicts them; what cannot be predicted has a reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labram.corpus.rules import broken_rules, check_rules, recording_rules
from labram.errors import CorpusError, MisfitWeightsError, PlatformError
from labram.evaluation.external_evaluation import score_folder
from labram.evaluation.predictions import PREDICTIONS_FILE
from labram.events import NullMonitor
from labram.inference import reasons
from labram.inference.find_recordings import find_recordings
from labram.inference.predict_recordings import IDENTITY, REMARKS, TaskModel, in_order, predict_recordings
from labram.inference.predictor import Predictor
from labram.inference.served import Served
from labram.inference.table_file import table_file
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel
from labram.recipe import QualityRecipe
from labram.store.store import Store
from tests.fixtures.small_models import SMALL, write_edf, write_task_model

SERVED = Served("labram-workload", "3", "abc")


def predicted(model, paths, tmp_path, **options):
    store = Store(tmp_path / "scratch")
    find = {key: options.pop(key) for key in ("subject", "dataset") if key in options}
    groups = []
    task_model = TaskModel.of(Predictor(model, device="cpu"), SERVED)
    sources = find_recordings(paths, **find)
    for group in predict_recordings(task_model, sources, store=store, workers=0, monitor=NullMonitor(), **options):
        assert len([name for name in store.names() if name.endswith(".arrow")]) <= len(group.recordings)
        groups.append(group)
    assert [name for name in store.names() if name.endswith(".arrow")] == []
    return [row for group in groups for row in group.rows]


def test_windows_are_predicted_as_evaluation_predicts_them(eegmat, tmp_path):
    model = write_task_model(tmp_path / "model", alignment="euclidean")
    rows = predicted(model, [eegmat], tmp_path)
    score_folder(
        model, eegmat, "workload", store=Store(tmp_path / "store"), subject_key=b"key", out=tmp_path / "evaluation"
    )
    evaluated = pd.read_parquet(tmp_path / "evaluation" / PREDICTIONS_FILE)
    assert len(rows) == len(evaluated) == 16
    mine = sorted(row["p_arithmetic"] for row in rows)
    assert mine == pytest.approx(sorted(np.concatenate(evaluated["prediction"].tolist())), abs=1e-6)
    first = rows[0]
    assert first["file"] == str(eegmat / "Subject01_1.edf")
    assert (first["subject"], first["start_s"], first["duration_s"], first["windows"]) == ("Subject01", 0.0, 4.0, 1)
    assert (first["channels"], first["electrodes"], first["dropped"]) == (6, "FP1 FP2 C3 C4 O1 O2", 1)
    assert (first["model"], first["version"]) == ("labram-workload", "3")
    assert first["p_rest"] + first["p_arithmetic"] == pytest.approx(1)
    assert first["prediction"] == ("arithmetic" if first["p_arithmetic"] > 0.5 else "rest")
    assert (first["alignment"], first["alignment_s"]) == ("euclidean", 32.0)


def test_recordings_and_subjects_have_the_mean_over_their_windows(eegmat, tmp_path):
    model = write_task_model(tmp_path / "model")
    windows = pd.DataFrame(predicted(model, [eegmat], tmp_path))
    for by, keys in (("recording", ["file"]), ("subject", ["subject"])):
        rows = pd.DataFrame(predicted(model, [eegmat], tmp_path, by=by))
        expected = windows.groupby(keys)["p_rest"].mean()
        assert rows.set_index(keys)["p_rest"].sort_index().tolist() == pytest.approx(expected.tolist())
        assert rows["duration_s"].sum() == 64
        assert set(rows["alignment"]) == {"none"}
    assert rows["file"].tolist() == ["2 recordings", "2 recordings"]


def test_files_that_cannot_be_predicted_have_a_reason_and_the_others_a_prediction(tmp_path):
    folder = tmp_path / "data"
    write_edf(folder / "good.edf", 1)
    write_edf(folder / "short.edf", 2, seconds=3)
    write_edf(folder / "unknown.edf", 3, names=tuple(f"AUX{number}" for number in range(7)))
    broken = write_edf(folder / "truncated.edf", 4)
    broken.write_bytes(broken.read_bytes()[:4000])
    (folder / "empty.edf").touch()
    rows = predicted(write_task_model(tmp_path / "model"), [folder], tmp_path, by="recording")
    assert [(row["file"].rpartition("/")[2], row.get("reason", "")) for row in rows] == [
        ("empty.edf", "damaged"),
        ("good.edf", ""),
        ("short.edf", "too_short"),
        ("truncated.edf", "truncated"),
        ("unknown.edf", "no_canonical_channels"),
    ]
    assert [row.get("p_rest") is None for row in rows] == [True, False, True, True, True]


def test_a_montage_with_too_many_patches_for_the_models_windows_is_named(tmp_path, eegmat):
    model = write_task_model(tmp_path / "model", seconds=16)
    names = ["FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8", "T3", "T4", "T5", "T6", "FZ"]
    write_edf(tmp_path / "wide.edf", 1, seconds=20, names=tuple(names))
    (row,) = predicted(model, [tmp_path / "wide.edf"], tmp_path)
    assert row["reason"] == "too_many_channels"


def test_short_subjects_are_aligned_in_amplitude_alone_as_in_evaluation(tmp_path):
    model = write_task_model(tmp_path / "model", alignment="euclidean")
    write_edf(tmp_path / "brief.edf", 1, seconds=5)
    (row,) = predicted(model, [tmp_path / "brief.edf"], tmp_path)
    assert (row["alignment"], row["alignment_s"]) == ("amplitude", 4.0)


def test_a_model_without_a_task_names_the_command_that_fits(tmp_path):
    weights.save(MaskedModel(BackboneConfig(**SMALL)), tmp_path / "backbone")
    with pytest.raises(MisfitWeightsError, match="labram embed"):
        TaskModel.of(Predictor(tmp_path / "backbone"), SERVED)


def test_the_folders_above_a_file_name_its_adapter_and_a_pattern_its_subject(eegmat, tmp_path):
    (source,) = find_recordings([eegmat / "Subject01_1.edf"])
    assert (source.item.dataset.name, source.subject) == ("eegmat", "Subject01")
    plain = write_edf(tmp_path / "P07" / "rest.edf", 1)
    (guessed,) = find_recordings([plain])
    assert (guessed.item.dataset.name, guessed.subject, guessed.item.file.line_freq_hz) == ("folder", "", None)
    (stated,) = find_recordings([plain], subject=r"(?P<subject>P\d+)", line_freq_hz=60.0)
    assert (stated.subject, stated.item.file.line_freq_hz) == ("P07", 60.0)
    both = find_recordings([eegmat, eegmat / "Subject01_1.edf"], line_freq_hz=60.0)
    assert len(both) == 4
    assert {source.item.file.line_freq_hz for source in both} == {None}, "the dataset states its line frequency"
    with pytest.raises(CorpusError, match="no such file"):
        find_recordings([tmp_path / "absent.edf"])
    with pytest.raises(CorpusError, match="not in the layout of eegmat"):
        find_recordings([plain], dataset="eegmat")


def test_rules_for_one_recording_decide_as_those_for_a_corpus():
    random = np.random.default_rng(0)
    suite = recording_rules(QualityRecipe())
    bounds = {rule.column: [bound for bound in (rule.least, rule.most) if bound is not None] for rule in suite}
    rows = []
    for number in range(40):
        row = {"recording_id": f"r{number}", "gaps_unknown": bool(number % 2)}
        for column, limits in bounds.items():
            row[column] = random.choice(
                [*limits, *(limit * factor + 0.01 for limit in limits for factor in (0.5, 1.5))]
            )
        rows.append(row | {random.choice(list(bounds)): np.nan})
    checked = check_rules(pd.DataFrame(rows), suite)
    for row in rows:
        expected = [outcome.rule.name for outcome in checked.outcomes if row["recording_id"] in outcome.recordings]
        assert [rule.name for rule in broken_rules(row, suite)] == expected


def test_rows_come_in_the_order_of_their_files():
    assert list(in_order([(2, "c"), (0, "a"), (3, "d"), (1, "b")])) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_appears_when_it_is_complete(tmp_path, suffix):
    path = tmp_path / "out" / f"table{suffix}"
    kinds = {"file": str, "p_rest": float, "windows": int}
    with table_file(path, kinds) as table:
        table.write([{"file": "a,b", "p_rest": 0.123456789012, "windows": 2}, {"file": "c"}])
        assert not path.exists()
    read = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert read["file"].tolist() == ["a,b", "c"]
    assert read["p_rest"][0] == pytest.approx(0.123456789012, rel=1e-8)
    assert read.isna().sum().sum() == 2
    with pytest.raises(ZeroDivisionError):
        _write_half(path, kinds)
    assert len(pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)) == 2
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def _write_half(path, kinds):
    with table_file(path, kinds) as table:
        table.write([{"file": "z"} for _ in range(5000)])
        raise ZeroDivisionError


def test_another_suffix_is_named_before_anything_is_computed(tmp_path):
    with pytest.raises(PlatformError, match=r"\.csv or \.parquet"), table_file(tmp_path / "a.xls", {}):
        pass


def test_every_reason_of_a_model_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "predictions.md").read_text(encoding="utf-8")
    assert reasons.describe() in page
    assert [name for name in (*IDENTITY, *REMARKS) if f"| `{name}` |" not in page] == []
