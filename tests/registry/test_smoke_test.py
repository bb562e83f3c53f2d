"""Every kind of registered model is tried out through its pyfunc, and a damaged one is found."""

import re
import shutil

import pytest

from labram.errors import DamagedWeightsError
from labram.models import weights
from labram.models.config import BackboneConfig, TokenizerConfig
from labram.models.masked import MaskedModel
from labram.models.tokenizer import Tokenizer
from labram.recipe import load
from labram.registry import model_registry
from labram.registry.smoke_test import smoke_test

SMALL = {"width": 100, "conv_channels": 4, "heads": 5, "depth": 1, "codes": 16}


def put(name, folder, run_id):
    version = model_registry.register(name, folder, run_id=run_id, recipe=load("demo"), lineage={}, card="# Card")
    return smoke_test(name, version.version)


@pytest.mark.parametrize("kind", ["tokenizer", "backbone", "task"])
def test_each_kind_of_model_loads_and_answers(kind, run_id, task_folder, tmp_path):
    if kind == "tokenizer":
        weights.save(Tokenizer(TokenizerConfig(**SMALL, decoder_depth=1, code_width=8)), tmp_path)
    elif kind == "backbone":
        weights.save(MaskedModel(BackboneConfig(**SMALL)), tmp_path)
    else:
        shutil.copytree(task_folder, tmp_path, dirs_exist_ok=True)
    verdicts = put(f"labram-smoke-{kind}", tmp_path, run_id)
    assert [gate.name for gate in verdicts] == ["weights", "inference", "server"]
    assert all(gate.passed for gate in verdicts), verdicts


def test_damaged_weights_are_found(run_id, task_folder, tmp_path):
    shutil.copytree(task_folder, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"damaged!")
    (gate,) = put("labram-smoke-damaged", tmp_path, run_id)
    assert not gate.passed
    assert gate.name == "weights"
    assert "checksum mismatch" in gate.detail


@pytest.mark.parametrize(
    ("file", "change", "problem"),
    [
        ("artifacts/model/config.json", "altered", "artifacts/model/config.json: .*it was altered"),
        ("artifacts/model/task.json", "deleted", "artifacts/model/task.json: .*it is missing"),
        ("artifacts/model/probe.json", "added", "artifacts/model/probe.json: .*it was added"),
        ("code/labram/errors.py", "altered", r"code/labram/errors\.py: .*it was altered"),
        ("code/labram/sitecustomize.py", "added", r"code/labram/sitecustomize\.py: .*it was added"),
        ("code/yaml.py", "added", r"code/yaml\.py: .*it was added"),
        ("loader.py", "added", r"loader\.py: .*it was added"),
        ("MLmodel", "loader_module: mlflow.pyfunc.loaders.code_model→loader_module: antigravity", "MLmodel: .*altered"),
        ("MLmodel", "cloudpickle_version→python_model: evil.pkl\n    cloudpickle_version", "MLmodel: .*altered"),
        ("MLmodel", "deleted", "MLmodel: .*missing"),
        ("pyfunc_model.py", "altered", r"pyfunc_model\.py: .*it was altered"),
        ("artifacts/model/files.json", "altered", r"files\.json: .*it was altered"),
    ],
)
def test_a_version_that_was_tampered_with_is_named_and_its_code_never_runs(
    file, change, problem, run_id, registered_task, tmp_path
):
    version, original = registered_task
    saved = shutil.copytree(original, tmp_path / "saved")
    path, ran = original / file, tmp_path / "ran"
    try:
        if change == "deleted":
            path.unlink()
        elif "→" in change:
            path.write_text(path.read_text().replace(*change.split("→")))
        else:
            path.write_text(f"open({str(ran)!r}, 'w').close()\n" + (path.read_text() if path.exists() else ""))
        gates = smoke_test(version.name, version.version)
        assert [gate.passed for gate in gates] == [False]
        assert re.search(problem, gates[0].detail)
        assert not ran.exists()
        if file.startswith("artifacts/"):
            with pytest.raises(DamagedWeightsError, match=problem):
                model_registry.local_folder(version.uri)
    finally:
        shutil.rmtree(original)
        shutil.copytree(saved, original)


@pytest.fixture(scope="module")
def registered_task(tracking_database, new_run, task_folder):
    """A registered version and its folder in the artifact store."""
    import mlflow

    mlflow.set_tracking_uri(tracking_database)
    version = model_registry.register(
        "labram-tampered", task_folder, run_id=new_run(), recipe=load("demo"), lineage={}, card="# Card"
    )
    return version, model_registry.local_version(version)
