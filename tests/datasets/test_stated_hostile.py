"""Pipes, links out and bombs in the place of trials and arrays."""

import io
import os
import re
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from labram import recipe as recipes
from labram.corpus.dataset_check import check_dataset
from labram.datasets.stated.draft import draft
from labram.datasets.stated.survey import survey
from labram.errors import CorpusError, LabelError, ReadError
from tests.datasets.test_stated_trials import (
    ARRAY,
    SHAPE,
    SIDES,
    TRIALS,
    Y,
    data,
    only,
    study,
)
from tests.fixtures.recordings import CHANNELS

__all__ = ["data", "study"]  # fixtures


class TestHostileFiles:
    @pytest.mark.parametrize("kind", ["pipe", "link out"])
    @pytest.mark.parametrize("name", ["anna.npy", "y.npy", "names.txt"])
    def test_a_check_neither_waits_nor_leaves_the_folder(self, study, tmp_path_factory, tmp_path, data, name, kind):
        outside = tmp_path_factory.mktemp("outside")
        np.save(tmp_path / "anna.npy", data)
        np.save(tmp_path / "y.npy", Y)
        (tmp_path / "names.txt").write_text("\n".join(CHANNELS))
        (tmp_path / name).rename(outside / name)
        if kind == "pipe":
            os.mkfifo(tmp_path / name)
        else:
            (tmp_path / name).symlink_to(outside / name)
        dataset = study({"files": "anna.npy", **ARRAY, "channels": "names.txt"}, tasks={"side": SIDES})
        if name == "y.npy":
            draft(survey(tmp_path))
        if name == "names.txt":
            with pytest.raises(LabelError, match=r"names.txt.*(lies outside|is missing)"):
                check_dataset(dataset, recipes.load("demo"), sample=False)
            return
        (checked,) = check_dataset(dataset, recipes.load("demo"), sample=False).files
        assert not checked.spans
        assert re.search("a pipe|are no file" if kind == "pipe" else "out of the corpus|outside", checked.problem)

    def test_arrays_that_unpack_to_more_than_their_size_are_refused(self, study, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "anna.h5", "w") as file:
            file.create_dataset("X", shape=(10**6, *SHAPE[1:]), dtype="f4", chunks=(1000, *SHAPE[1:]))
        buffer = io.BytesIO()
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, *SHAPE[1:])}
        np.lib.format.write_array_header_1_0(buffer, header)
        with zipfile.ZipFile(tmp_path / "anna.npz", "w") as archive:
            archive.writestr("X.npy", buffer.getvalue())
        for suffix in ("h5", "npz"):
            with pytest.raises(ReadError, match=r"far more (than|memory than) its size"):
                only(study({"files": f"anna.{suffix}", "variable": "X", **ARRAY}))

    def test_targets_that_are_no_numbers_are_errors(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data)
        rows = [f"{number},5" for number in range(TRIALS)]

        def spans(*lines: str, **labels: object) -> list[tuple[float, ...]]:
            (tmp_path / "y.csv").write_text("\n".join(["score;other", *lines]))
            task = {"targets": ["score"], "labels": {"trials": "y.csv", "label": "score", **labels}}
            dataset = study({"files": "anna.npy", **ARRAY}, tasks={"side": task})
            (file,) = dataset.recordings(dataset.folder)
            return [span.label for span in dataset.labels(file, dataset.read(file))]

        assert spans(*(f"{row};x" for row in rows)) == [(n + 0.5,) for n in range(TRIALS)]
        with pytest.raises(LabelError, match=r"row 3: expected a number in column 'score', got 'high'"):
            spans("1;x", "high;x", *(f"{row};x" for row in rows[2:]))
        lines = [f"{row};x" for row in rows]
        assert len(spans(*lines, missing=[0.5, 1.5])) == TRIALS - 2
        with pytest.raises(LabelError, match="a target is outside 1 to 9"):
            spans(*lines, valid=[1, 9])
        np.save(tmp_path / "y.npy", np.zeros((TRIALS, 2)))
        task = {"targets": ["score"], "labels": {"trials": "y.npy"}}
        dataset = study({"files": "anna.npy", **ARRAY}, tasks={"side": task})
        (file,) = dataset.recordings(dataset.folder)
        with pytest.raises(LabelError, match="expected 1 numbers per trial"):
            dataset.labels(file, dataset.read(file))

    def test_a_class_of_trials_may_be_called_none(self, study, tmp_path: Path, data) -> None:
        np.save(tmp_path / "anna.npy", data)
        (tmp_path / "y.csv").write_text("\n".join(["y,n", *(f"{y},1" for y in ["none", "left", "nan", ""] * 2)]))
        sides = {"classes": ["none", "left"], "labels": {"trials": "y.csv", "label": "y"}}
        dataset = study({"files": "anna.npy", **ARRAY}, tasks={"side": sides})
        (file,) = dataset.recordings(dataset.folder)
        assert [span.label for span in dataset.labels(file, dataset.read(file))] == [(0.0,), (1.0,)] * 2

    def test_a_unit_of_zero_and_a_stray_recording_are_errors(self, study, tmp_path: Path, data, write_edf) -> None:
        with pytest.raises(CorpusError, match="every value would be zero"):
            study({"files": "anna.npy", **ARRAY, "unit": "0 V"})
        np.save(tmp_path / "anna.npy", data)
        (tmp_path / "who.csv").write_text("\n".join(["who,n", *["a,1"] * TRIALS]))
        write_edf(tmp_path / "stray.edf", seconds=2)
        dataset = study({"files": "anna.npy", **ARRAY, "table": "who.csv", "subject": "who"}, subject=None)
        with pytest.raises(CorpusError, match="nothing states the subject of this recording"):
            list(dataset.recordings(dataset.folder))
