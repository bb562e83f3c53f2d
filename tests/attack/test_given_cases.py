"""Generators of failing inputs, if a folder of them is here: what the commands make of each.

`LABRAM_ATTACK_CASES` names the folder, else ``../shared/cases``. ``python NAME.py OUT`` writes recordings below OUT,
with pink noise by a seed, which `common.pink` gives again; the ``.sh`` and `torch_default_dtype.py` run commands.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from labram.cli import app
from labram.corpus import pseudonyms
from labram.corpus.catalogue import Corpus
from labram.corpus.scan import hash_content, recording_id, scan
from labram.models import weights
from labram.models.config import BackboneConfig
from labram.models.masked import MaskedModel
from labram.signals.readers import read
from labram.store.store import CORPORA, Store
from labram.tracking import lineage
from tests.fixtures.tiny_run import LABRAM, environment

pytestmark = pytest.mark.attack

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


def ingested(data: Path, store: Path, *more: str) -> tuple[pd.DataFrame, str]:
    """Return the catalogue of a folder that the ingest command took in, and what it printed."""
    done = CliRunner().invoke(app, ["corpus", "ingest", str(data), "--store", str(store), "--workers", "1", *more])
    assert done.exit_code == 0, done.output
    (folder,) = [path.parent for path in (store / CORPORA).rglob("catalogue.parquet")]
    return Corpus.load(folder).catalogue, " ".join(done.output.split())


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


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_recording_becomes_what_is_right(
    generate: Callable[[str], Path], common: ModuleType, name: str, tmp_path: Path
) -> None:
    data, store = generate(name), tmp_path / "store"
    ingested(data, store)
    assert outcomes(data, Store(store)) == OUTCOMES[name]
    for path in data.rglob("*"):
        if seed := SEEDS.get(name, {}).get(path.name):
            found = read(path)
            expected = common.pink(seed)
            values = found.read(range(len(expected)))
            np.testing.assert_allclose(values, expected[:, : values.shape[1]], atol=0.6, err_msg=path.name)


def test_every_generator_is_run(cases: Path) -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    names = [path.name for path in cases.iterdir() if path.suffix in (".py", ".sh") and path.name != "common.py"]
    assert [name for name in names if Path(name).stem not in OUTCOMES and name not in here] == []


REPAIRED, EXCLUDED, NOT_STATED = "sidecar_repaired", "channels_excluded", "line_freq_not_stated"


def test_what_bids_sidecars_state_is_used_or_named(generate: Callable[[str], Path], tmp_path: Path) -> None:
    """bids_channels.py"""
    data = generate("bids_channels")
    rows, _ = ingested(data, tmp_path / "store")
    key = pseudonyms.load_key(tmp_path / "store")
    subjects = {pseudonyms.subject_key(key, "bids", f"sub-{number:02d}"): number for number in range(1, 9)}
    found = {
        subjects[row.subject_key]: (row.mains_hz, len(row.montage), sorted(set(row.warnings) - {"line_noise"}))
        for row in rows.itertuples()
    }
    assert set(rows["verdict"]) == {ACCEPTED}
    assert found == {
        1: (60.0, 7, [EXCLUDED]), 2: (60.0, 10, [REPAIRED]), 3: (60.0, 10, []), 4: (60.0, 10, [REPAIRED]),
        5: (60.0, 10, [REPAIRED]), 6: (50.0, 10, [NOT_STATED]), 7: (60.0, 10, [REPAIRED]), 8: (60.0, 10, []),
    }  # fmt: skip
    (excluding,) = (row.montage for row in rows.itertuples() if subjects[row.subject_key] == 1)
    assert not {"FP1", "FP2", "C3"} & set(excluding)


def test_bids_is_found_at_any_depth(generate: Callable[[str], Path], tmp_path: Path) -> None:
    """nested_bids.py"""
    rows, _ = ingested(generate("nested_bids"), tmp_path / "store")
    assert len(rows) == 16
    assert sorted(rows.groupby("subject_key").size()) == [2] * 8
    stated = rows[["dataset", "subject_source", "mains_hz", "reference"]].drop_duplicates().to_numpy().tolist()
    assert stated == [["bids", "bids", 60.0, "Cz"]]
    assert set(rows.groupby("subject_key")["split"].nunique()) == {1}


def test_sessions_are_no_subjects(generate: Callable[[str], Path], tmp_path: Path) -> None:
    """plain_sessions.py"""
    data = generate("plain_sessions")
    rows, printed = ingested(data, tmp_path / "store")
    assert "subjects: guessed from names: 6 subjects x 2 recordings" in printed
    (pattern,) = re.findall(r"corpus: \{subject: '([^']+)'\}", printed)
    recipe = tmp_path / "stated.yaml"
    recipe.write_text(f"extends: demo\nname: stated\ncorpus: {{datasets: [], subject: '{pattern}'}}\ntasks: []\n")
    stated, printed = ingested(data, tmp_path / "stated", "--recipe", str(recipe))
    assert "guessed" not in printed
    for found, source in ((rows, "guessed"), (stated, "pattern")):
        assert set(found["subject_source"]) == {source}
        assert sorted(found.groupby("subject_key").size()) == [2] * 6
        assert set(found.groupby("subject_key")["split"].nunique()) == {1}


def script(path: Path, *arguments: object) -> str:
    """Run a shell script as its usage line says; return what it printed."""
    if not path.is_file():
        pytest.skip(f"{path.name} is not among the generators")
    done = subprocess.run(
        ["bash", str(path), *map(str, arguments)], capture_output=True, text=True, timeout=1200, env=environment()
    )
    printed = done.stdout + done.stderr
    assert "Traceback" not in printed
    return printed


def test_the_commit_is_that_of_the_code_that_runs(cases: Path) -> None:
    """git_dir.sh"""
    other, in_hook, of_another_user = script(cases / "git_dir.sh", sys.executable).splitlines()
    commit, dirty = in_hook.split()
    assert commit == lineage.commit() != other
    assert dirty == str(lineage.dirty())
    assert of_another_user.split()[0].strip("'") in (lineage.commit(), "unknown")
    assert of_another_user.split()[1] == "True" or of_another_user.split()[0].strip("'") == lineage.commit()


def test_a_locale_that_lacks_characters_is_no_fault_of_recordings(
    cases: Path, generate: Callable[[str], Path], tmp_path: Path
) -> None:
    """latin1_locale.sh"""
    if not shutil.which("localedef") or not Path("/usr/share/i18n/locales/en_US").is_file():
        pytest.skip("no locales can be compiled here (Debian: locales)")
    data = generate("bv_utf8_names")
    printed = script(cases / "latin1_locale.sh", LABRAM, data, tmp_path / "store")
    assert '"accepted": 4' in printed
    assert outcomes(data, Store(tmp_path / "store")) == OUTCOMES["bv_utf8_names"]


def test_defaults_of_torch_do_not_reach_a_model(cases: Path, tmp_path: Path) -> None:
    """torch_default_dtype.py"""
    torch.manual_seed(0)
    weights.save(MaskedModel(BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16)), tmp_path / "m")
    done = subprocess.run(
        [sys.executable, "-B", cases / "torch_default_dtype.py", tmp_path / "m"], capture_output=True, text=True
    )
    assert done.stdout.strip() == "(1, 100)", done.stderr


@pytest.mark.timeout(1800)
def test_a_workspace_that_was_moved(cases: Path, tiny_recipe: Path, tiny_corpus: Path) -> None:
    """moved_workspace.sh: the models are there, nothing has to be done, and the old place stays away."""
    printed = script(cases / "moved_workspace.sh", LABRAM, tiny_recipe, tiny_corpus)
    assert "champion" in printed
    assert "Error" not in printed
    assert "unchanged: corpus" in printed
    assert re.search(r"ls: cannot access '.*/old/mlflow/artifacts': No such file", printed)


@pytest.mark.timeout(1800)
def test_environments_that_lack_something(cases: Path, tiny_recipe: Path, tiny_corpus: Path) -> None:
    """environment.sh: no home, a folder as tracking server, a relative database."""
    printed = script(cases / "environment.sh", LABRAM, tiny_recipe, tiny_corpus)
    assert re.findall(r"rc=(\d+)", printed) == ["0", "1"]
    assert re.search(r"error: MLFLOW_TRACKING_URI: .*sqlite:///FILE", " ".join(printed.split()))
    (named,) = re.findall(r"mlflow ui --backend-store-uri sqlite:///(\S+)", printed.partition("rc=1")[2])
    assert Path(named).is_file()
