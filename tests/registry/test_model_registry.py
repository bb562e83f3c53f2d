"""A registered version can be found by name, served without labram's help, and traced."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from labram.errors import RegistryError
from labram.linear.probe import Probe
from labram.recipe import MODEL_FILE, load
from labram.registry import model_registry
from labram.tracking import mlflow_runs

RECIPE = load("demo")


def register(name, folder, run_id, **settings):
    given = {"lineage": {"git_commit": "abc", "corpus_version": "v1"}, "card": "# Card\n", **settings}
    return model_registry.register(name, folder, run_id=run_id, recipe=RECIPE, **given)


@pytest.fixture(scope="session")
def registered(tracking_database, new_run, task_folder, tmp_path_factory):
    mlflow.set_tracking_uri(tracking_database)
    evaluation = tmp_path_factory.mktemp("evaluation") / "evaluation.json"
    evaluation.write_text("{}")
    return register("labram-once", task_folder, new_run(), extra_files=[evaluation])


@pytest.fixture
def once(registered, tracking_uri):
    """One version that tests only read."""
    return registered


def test_a_new_version_is_the_challenger_and_carries_its_lineage(once):
    assert once.version == "1"
    assert once.aliases == (model_registry.CHALLENGER,)
    assert once.tags["git_commit"] == "abc"
    assert once.tags["corpus_version"] == "v1"
    assert once.run_id


def test_a_uri_resolves_to_a_folder_with_weights_recipe_and_card(once):
    for uri in ("models:/labram-once@challenger", "models:/labram-once/1"):
        folder = model_registry.local_folder(uri)
        assert {"model.safetensors", "config.json", "task.json", "evaluation.json"} <= {
            path.name for path in folder.iterdir()
        }
        assert (folder / model_registry.CARD).read_text() == "# Card\n"
        assert RECIPE.from_json((folder / MODEL_FILE).read_text()) == RECIPE


def test_a_folder_resolves_to_itself_and_one_without_weights_is_refused(task_folder, tmp_path):
    assert model_registry.local_folder(task_folder) == task_folder
    with pytest.raises(RegistryError, match=r"has no model\.safetensors"):
        model_registry.local_folder(tmp_path)


def test_an_unknown_model_alias_or_version_is_answered_with_those_that_exist(once):
    with pytest.raises(RegistryError, match=r"registered models: .*labram-once"):
        model_registry.local_folder("models:/labram-nothing@champion")
    with pytest.raises(RegistryError, match=r"no alias 'champion'.*versions: 1 \(challenger\)"):
        model_registry.local_folder("models:/labram-once@champion")
    with pytest.raises(RegistryError, match="no version 9"):
        model_registry.local_folder("models:/labram-once/9")
    with pytest.raises(RegistryError, match="neither a folder nor a registered model"):
        model_registry.local_folder("labram-once")


def test_the_same_weights_and_lineage_are_not_registered_twice(run_id, task_folder):
    first = register("labram-twice", task_folder, run_id)
    assert register("labram-twice", task_folder, run_id).version == first.version
    other = register("labram-twice", task_folder, run_id, lineage={"git_commit": "def"})
    assert other.version == "2"
    assert model_registry.get_version("labram-twice", "1").aliases == ()
    model_registry.client().set_registered_model_alias("labram-twice", model_registry.CHAMPION, "1")
    assert register("labram-twice", task_folder, run_id).aliases == (model_registry.CHAMPION,)


def test_a_folder_without_weights_cannot_be_registered(run_id, tmp_path):
    with pytest.raises(RegistryError, match="no weights"):
        register("labram-empty", tmp_path, run_id)


def test_nothing_that_is_registered_is_a_pickle_and_requirements_are_pinned(once):
    model = model_registry.local_folder(once.uri).parent.parent
    assert not [path for path in model.rglob("*") if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin"}]
    pins = (model / "requirements.txt").read_text().split()
    assert all("==" in pin and "+" not in pin for pin in pins)
    assert any(pin.startswith("torch==") for pin in pins)
    assert not list(model.rglob("__pycache__"))
    assert str(Path(model_registry.__file__).parent) not in (model / "MLmodel").read_text()


def test_the_pyfunc_answers_any_spelling_and_rate(once):
    import mlflow

    model = mlflow.pyfunc.load_model(once.uri)
    signals = np.random.default_rng(0).normal(scale=20, size=(3, 2, 1024)).astype(np.float32)
    answer = model.predict(signals, params={"channels": ["EEG FP1-REF", "fp2"], "sfreq": 256.0})
    assert answer.shape == (3,)
    assert ((answer > 0) & (answer < 1)).all()
    with pytest.raises(Exception, match="Name every channel"):
        model.predict(signals)
    with pytest.raises(Exception, match="the closest name"):
        model.predict(signals, params={"channels": ["FP1", "FP2X"]})
    volts = model.predict(signals / 1e6, params={"channels": ["FP1", "FP2"], "sfreq": 256.0, "unit": "V"})
    assert volts == pytest.approx(answer, abs=1e-5)


def test_mlflows_server_gets_a_sentence_about_signals_that_are_no_eeg(once):
    """MLflow answers any other error with "unexpected error" and a traceback, which has paths."""
    from mlflow.exceptions import MlflowException

    model, params = mlflow.pyfunc.load_model(once.uri), {"channels": ["FP1", "FP2"], "sfreq": 256.0}
    for signals, says in (
        (np.zeros((1, 2, 1024)), "FP1, FP2: flat"),
        (np.full((1, 2, 1024), np.nan), "NaN"),
        (np.random.default_rng(0).normal(scale=2e-5, size=(1, 2, 1024)), "signals are in uV"),
    ):
        with pytest.raises(MlflowException, match=says) as caught:
            model.predict(signals.astype(np.float32), params=params)
        assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
        assert "/" not in caught.value.message
    with pytest.raises(MlflowException, match="from 80 to 20000 Hz"):
        model.predict(np.ones((1, 1, 20_000), np.float32), params={"channels": ["CZ"], "sfreq": 0.002})


def test_an_alias_is_resolved_once_when_a_model_is_deployed_or_served(once, tracking_database, capsys):
    from labram.cli import model_argument
    from labram.cli.models import resolve

    served, folder = model_argument.resolve("models:/labram-once@challenger")
    assert (served.model, served.version, served.commit) == ("labram-once", "1", "abc")
    assert (folder / "model.safetensors").is_file()
    workspace = Path(tracking_database.removeprefix("sqlite:///")).parents[1]
    resolve("models:/labram-once@challenger", workspace)
    assert capsys.readouterr().out == "models:/labram-once/1\n"
    assert (model_argument.folder_of("models:/labram-once/1", workspace) / "model.safetensors").is_file()
    assert model_argument.folder_of("weights/backbone", workspace) == Path("weights/backbone")


def test_a_version_is_served_by_the_code_it_was_registered_with(once, tmp_path):
    program = (
        "import sys, json, mlflow, numpy as np\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "signals = np.random.default_rng(0).normal(scale=20, size=(1, 2, 400)).astype(np.float32)\n"
        "answer = model.predict(signals, params={'channels': ['CZ', 'PZ'], 'sfreq': 200.0})\n"
        "import labram; print(json.dumps([labram.__file__, answer.tolist()]))"
    )
    folder = model_registry.local_folder(once.uri).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    module, answer = json.loads(done.stdout.splitlines()[-1])
    assert module.startswith(str(folder / "code"))
    assert len(answer) == 1


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_workspace_that_was_moved_or_copied_serves_its_models_and_writes_to_itself(
    how, tracking_database, registered, new_run, task_folder, tmp_path, monkeypatch
):
    old = Path(tracking_database.removeprefix("sqlite:///")).parents[1]
    new = Path(shutil.copytree(old, tmp_path / "new #2"))
    former = old.with_name("gone")
    if how == "moved":
        old.rename(former)
    try:
        mlflow_runs.configure(new)
        mlflow.set_tracking_uri(mlflow_runs.tracking_uri(new))
        assert model_registry.local_folder(registered.uri).is_relative_to(new)
        run = mlflow.MlflowClient().create_run(mlflow_runs.experiment_id(mlflow.MlflowClient()))
        assert run.info.artifact_uri.startswith((new / "mlflow" / "artifacts").as_uri())
        later = register(f"labram-{how}", task_folder, run.info.run_id)
        assert model_registry.local_folder(later.uri).is_relative_to(new)
        assert old.exists() == (how == "copied"), "the old place is left alone"
    finally:
        if how == "moved":
            former.rename(old)
    mlflow.set_tracking_uri(tracking_database)
    assert model_registry.local_folder(registered.uri).is_relative_to(old)
    assert not model_registry.list_versions(f"labram-{how}")


def test_the_files_that_determine_a_models_output_include_its_probe():
    assert {Probe.JSON, Probe.ARRAYS, "task.json"} < set(model_registry.OUTPUT_FILES)
