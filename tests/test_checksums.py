import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labram import checksums
from labram.errors import DamagedFileError
from labram.evaluation.leakage import Ledger, Seen
from labram.evaluation.predictions import Predictions
from labram.registry.gates import Gate, Verdict
from labram.registry.promotion import Move
from labram.steps import artifacts
from labram.training.output_files import HISTORY_FILE


def verdicts(folder: Path) -> Path:
    gate = Gate(name="metric", passed=True, detail="kappa 0.81")
    artifacts.write_verdicts(str(folder), [Verdict(model="m", version="1", champion=None, gates=(gate,))])
    return folder / artifacts.VERDICTS_FILE


def versions(folder: Path) -> Path:
    artifacts.write_versions(str(folder), {"m": "1"})
    return folder / artifacts.VERSIONS_FILE


def promotions(folder: Path) -> Path:
    artifacts.write_promotions(str(folder), [Move(model="m", version="1", previous=None, moved=True, why="x")])
    return folder / artifacts.PROMOTIONS_FILE


def predictions(folder: Path) -> Path:
    values = np.arange(40) / 40
    names = np.array(["r"] * 40, object)
    path = folder / artifacts.PREDICTIONS_FILE
    Predictions(names, names, values, (values > 0.5).astype(float), values).write(path)
    return path


def ledger(folder: Path) -> Path:
    Ledger(stages={"task": Seen.of(["s1"], ["c1", "c2"])}).write(folder)
    return folder / "ledger.json"


def history(folder: Path) -> Path:
    path = folder / HISTORY_FILE
    row = {"step": 1, "phase": "validation", "accuracy": 0.5}
    path.write_text(json.dumps(row) + "\n" + json.dumps({checksums.KEY: checksums.PLACEHOLDER}) + "\n")
    checksums.seal(path)
    return path


READERS: dict[Callable[[Path], Path], Callable[[Path], object]] = {
    verdicts: artifacts.read_verdicts,
    versions: artifacts.read_versions,
    promotions: artifacts.read_promotions,
    predictions: artifacts.read_predictions,
    ledger: artifacts.read_ledger,
    history: artifacts.last_validation,
}


@pytest.mark.parametrize(("write", "read"), READERS.items())
class TestFilesThatGatesRestOn:
    def test_are_read_as_written_with_equal_bytes(
        self, tmp_path: Path, write: Callable[[Path], Path], read: Callable[[Path], object]
    ) -> None:
        before = write(tmp_path).read_bytes()
        assert read(tmp_path)
        assert write(tmp_path).read_bytes() == before

    def test_are_refused_with_any_flipped_bit(
        self, tmp_path: Path, write: Callable[[Path], Path], read: Callable[[Path], object]
    ) -> None:
        path = write(tmp_path)
        content = path.read_bytes()
        for place in np.linspace(0, len(content) - 1, 23).astype(int):
            if checksums.PLACEHOLDER[:14].encode() in content[max(0, place - 14) : place + 14]:
                continue  # a damaged mark is a file without a checksum
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(DamagedFileError, match="checksum mismatch") as caught:
                read(tmp_path)
            assert caught.value.file == path.name

    def test_of_other_programs_or_versions_are_named(
        self, tmp_path: Path, write: Callable[[Path], Path], read: Callable[[Path], object]
    ) -> None:
        path = write(tmp_path)
        path.write_bytes(path.read_bytes().replace(b"labram-sha256:", b"labram-sha255:"))
        with pytest.raises(DamagedFileError, match="no checksum") as caught:
            read(tmp_path)
        assert "--force" in caught.value.remedy
        path.unlink()
        with pytest.raises(DamagedFileError, match="no such file"):
            read(tmp_path)


def test_the_ledger_of_a_model_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text('{"stages": {"t": {"subjects": ["s"], "contents": []}}}')
    assert Ledger.read(tmp_path).stages["t"].subjects == ("s",)


def test_a_hand_written_evaluation_is_not_evaluated(tmp_path: Path) -> None:
    (tmp_path / artifacts.EVALUATION_FILE).write_text("{}")
    with pytest.raises(DamagedFileError, match="no checksum"):
        artifacts.read_evaluation(tmp_path)
