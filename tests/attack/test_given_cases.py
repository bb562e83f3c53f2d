"""Generators of failing inputs, if a folder of them is here: what the ingest command makes of each recording.

`LABRAM_ATTACK_CASES` names the folder, else ``../shared/cases``. ``python NAME.py OUT`` writes recordings below OUT,
with pink noise by a seed, which `common.pink` gives again.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

from labram.cli import app
from labram.corpus import pseudonyms
from labram.corpus.catalogue import Corpus
from labram.corpus.scan import hash_content, recording_id, scan
from labram.signals.readers import read
from labram.store.store import CORPORA, Store

ROOT = Path(__file__).parents[2]
UNITS = ("dot", "cp437", "greek_utf8", "upper", "word", "microvolt", "nul", "quote")
ODD = ("mv_true", "v_true", "date", "early", "subsecond", "late", "polarity", "comma", "count_text")
SPELLINGS = (
    "slash", "colon", "underscore", "cpz", "avg", "aa", "paren", "space", "le", "pol",
    "quoted", "eeg_tail", "lower", "cle", "ref0", "org", "g1", "vs", "ear", "nose",
)  # fmt: skip
ACCEPTED = "accepted"
OUTCOMES: dict[str, dict[str, str]] = {
    "edf_odd": dict.fromkeys((f"unit_{unit}.edf" for unit in UNITS), ACCEPTED)
    | dict.fromkeys(
        [*(f"{name}.edf" for name in ODD), "CAPITALS.EDF"],
        ACCEPTED,
    )
    | {"mv_wrong.edf": "implausible_unit excessive_amplitude", "bom.edf": "damaged"},
    "annotations_only": {"night-PSG.edf": ACCEPTED, "night-Hypnogram.edf": "annotations_only"},
    "not_listed": {
        "ok.edf": ACCEPTED, "ucddb002.rec": ACCEPTED, "rec.edf.gz": ACCEPTED, "r.lay": ACCEPTED, "r.ahdr": ACCEPTED,
        "ft.mat": "unsupported_format", "r.cdt": "unreadable", "r.easy": "unsupported_format",
        "r.hea": "unsupported_format",
    },
    "annex_pointers": {
        **{f"sub-{number:02d}_task-rest_eeg.edf": "not_downloaded" for number in (1, 3, 4)},
        **{f"sub-{number:02d}_task-rest_eeg.set": "not_downloaded" for number in (2, 5)},
        "sub-06_task-rest_eeg.bdf": "not_downloaded", "sub-07_task-rest_eeg.vhdr": "not_downloaded",
        "sub-08_task-rest_eeg.edf": ACCEPTED,
    },
    "bv_renamed": {f"sub-{number:02d}_task-rest_eeg.vhdr": ACCEPTED for number in range(1, 5)},
    "bv_empty_samples": {
        "sub-01_task-rest_eeg.vhdr": "damaged", "sub-02_task-rest_eeg.edf": "damaged",
        "sub-03_task-rest_eeg.edf": ACCEPTED,
    },
    "gdf_overflow": {"whole.gdf": ACCEPTED, "lost.gdf": ACCEPTED, "millivolt.gdf": ACCEPTED},
    "bv_utf8_names": dict.fromkeys(("VP01_Köln.vhdr", "脑电_02.vhdr", "ascii_03.vhdr", "Größe_04.vhdr"), ACCEPTED),
    "capital_suffixes": dict.fromkeys(
        ("A.EDF", "B.BDF", "C.VHDR", "D.vhdr", "E.SET", "F.set", "G.XDF", "H_RAW.FIF"), ACCEPTED
    ),
    "xdf_units": {
        f"{name}.xdf": ACCEPTED
        for name in (
            "volts_all", "volts_trigger_none", "millivolts_acc_g", "microvolts_acc_g", "nanovolts_trigger_empty",
        )
    },
    "channel_spellings": {f"{name}.edf": ACCEPTED for name in SPELLINGS},
}  # fmt: skip
"""By generator and file name: `accepted`, or the reason."""
SEEDS = {
    "edf_odd": {f"unit_{unit}.edf": 500 + index for index, unit in enumerate(UNITS)}
    | {
        "mv_true.edf": 520,
        "v_true.edf": 522,
        "date.edf": 523,
        "early.edf": 524,
        "comma.edf": 529,
        "count_text.edf": 530,
    },
    "not_listed": {"ucddb002.rec": 72, "rec.edf.gz": 73, "r.lay": 74, "r.ahdr": 78},
    "bv_renamed": {f"sub-{number:02d}_task-rest_eeg.vhdr": 20 + number for number in range(1, 5)},
    "gdf_overflow": {"whole.gdf": 820, "millivolt.gdf": 822},
    "bv_utf8_names": {"VP01_Köln.vhdr": 1, "脑电_02.vhdr": 2, "ascii_03.vhdr": 3, "Größe_04.vhdr": 4},
    "capital_suffixes": {"A.EDF": 801, "B.BDF": 802, "C.VHDR": 803, "D.vhdr": 804, "E.SET": 805, "F.set": 806},
    "xdf_units": {"volts_trigger_none.xdf": 62, "millivolts_acc_g.xdf": 63, "nanovolts_trigger_empty.xdf": 65},
}
"""By generator and file name: the seed of its noise."""


@pytest.fixture(scope="module")
def cases() -> Path:
    folder = Path(os.environ.get("LABRAM_ATTACK_CASES", ROOT.parent / "shared" / "cases"))
    if not (folder / "common.py").is_file():
        pytest.skip("no generators here: set LABRAM_ATTACK_CASES to a folder of them")
    return folder


@pytest.fixture(scope="module")
def common(cases: Path) -> ModuleType:
    described = importlib.util.spec_from_file_location("cases_common", cases / "common.py")
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


@pytest.fixture
def generate(cases: Path, tmp_path: Path) -> Callable[[str], Path]:
    def run(name: str) -> Path:
        if not (cases / f"{name}.py").is_file():
            pytest.skip(f"{name}.py is not among the generators")
        subprocess.run(
            [sys.executable, "-B", cases / f"{name}.py", tmp_path / "data"],
            check=True,
            capture_output=True,
            timeout=300,
        )
        return tmp_path / "data"

    return run


def outcomes(data: Path, store: Store) -> dict[str, str]:
    """Return what became of each file, by its name."""
    (folder,) = [path.parent for path in (store.root / CORPORA).rglob("catalogue.parquet")]
    rows = Corpus.load(folder).catalogue.set_index("recording_id")
    key = pseudonyms.load_key(store.root)
    found = {}
    for item in scan(data):
        row = rows.loc[recording_id(item, hash_content(item.file.path).digest, key)]
        found[item.file.path.name] = row["verdict"] if row["verdict"] == ACCEPTED else " ".join(row["reasons"])
    assert len(found) == len(rows), "in = accepted + quarantined, by name"
    return found


@pytest.mark.attack
@pytest.mark.parametrize("name", OUTCOMES)
def test_each_recording_becomes_what_is_right(
    generate: Callable[[str], Path], common: ModuleType, name: str, tmp_path: Path
) -> None:
    data, store = generate(name), tmp_path / "store"
    done = CliRunner().invoke(app, ["corpus", "ingest", str(data), "--store", str(store), "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert outcomes(data, Store(store)) == OUTCOMES[name]
    for path in data.rglob("*"):
        if seed := SEEDS.get(name, {}).get(path.name):
            found = read(path)
            expected = common.pink(seed)
            values = found.read(range(len(expected)))
            np.testing.assert_allclose(values, expected[:, : values.shape[1]], atol=0.6, err_msg=path.name)
