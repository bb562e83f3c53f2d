"""A tracking database of its own for tests of this room, made once, and a small model to register."""

import pytest
import torch


@pytest.fixture(scope="session")
def tracking_database(tmp_path_factory):
    """Address of an SQLite tracking server that all tests of a worker share; models are told apart by name."""
    import mlflow

    from labram.operations import tracking

    mlflow.set_tracking_uri(None)
    uri = tracking.configure(tmp_path_factory.mktemp("workspace"))
    mlflow.set_tracking_uri(None)
    return uri


@pytest.fixture
def tracking_uri(tracking_database):
    import mlflow

    mlflow.set_tracking_uri(tracking_database)
    return tracking_database


@pytest.fixture(scope="session")
def new_run(tracking_database):
    """Gives a function that opens a run in that database and gives its id."""

    def new_run():
        from mlflow.tracking import MlflowClient

        from labram.operations.tracking import experiment_id

        client = MlflowClient(tracking_database)
        return client.create_run(experiment_id(client)).info.run_id

    return new_run


@pytest.fixture
def run_id(tracking_uri, new_run):
    return new_run()


@pytest.fixture(scope="session")
def task_folder(tmp_path_factory):
    """Folder of a small binary task model."""
    from labram.models import weights
    from labram.models.config import BackboneConfig
    from labram.models.downstream import DownstreamModel
    from labram.recipe import TaskRecipe
    from labram.training.task_file import TaskFile

    folder = tmp_path_factory.mktemp("task")
    torch.manual_seed(0)
    weights.save(DownstreamModel(BackboneConfig(width=100, conv_channels=4, heads=5, depth=1, codes=16), 1), folder)
    recipe = TaskRecipe(name="t", title="T", dataset="eegmat", kind="binary", classes=("a", "b"), metric="auroc")
    TaskFile(recipe=recipe).write(folder)
    return folder
