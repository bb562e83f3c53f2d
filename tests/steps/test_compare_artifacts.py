"""A reproduction on a cluster is of the original's corpus, recipe, code and image, and ends with a verdict."""

import json
from pathlib import Path

import pytest

from labram.cli.exit_codes import of_result
from labram.corpus.catalogue import Corpus
from labram.errors import RegistryError
from labram.platform.reproduce import submission
from labram.recipe import Recipe, load
from labram.registry import model_registry, predictions
from labram.steps import plan_run
from labram.steps.compare_artifacts import compare_artifacts
from labram.tracking import lineage, mlflow_runs
from labram.training import hardware
from labram.training.output_files import HARDWARE_FILE
from tests.platform.test_reproduce import model

RUN, IMAGE = "original-1", "registry.example/labram-python@sha256:" + "5" * 64
TASK = load("demo").tasks[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Artifacts of one model, which stands for all models of a run."""
    made = model(tmp_path_factory.mktemp("original") / "model")
    (made / "config.json").write_text("{}")
    hardware.write(made, processes=1)
    return made


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load("demo").model_copy(update={"tasks": (TASK,)})


@pytest.fixture(scope="module")
def original(tracking_database, folder, recipe):
    """A finished run that registered tokenizer, backbone and one task model."""
    import mlflow

    mlflow.set_tracking_uri(tracking_database)
    tags = lineage.lineage_tags(recipe, "v1") | {"pipeline": "retrain", "image": IMAGE, "git_dirty": "false"}
    parent = mlflow_runs.create_parent_run(RUN, tags | {"git_commit": lineage.commit()})
    origin = tags | {"hardware": (folder / HARDWARE_FILE).read_text()}
    for name in (model_registry.TOKENIZER, model_registry.BACKBONE, model_registry.task_model_name(TASK.name)):
        model_registry.register(name, folder, run_id=parent, recipe=recipe, lineage=origin, card="# Card")
    predictions.log(parent, TASK.name, folder / "predictions.parquet")
    model_registry.client().set_terminated(parent, "FINISHED")
    mlflow.set_tracking_uri(None)
    return parent


def reproduce(workspace: Path, tmp_path: Path, recipe: Recipe, tokenizer: Path, folder: Path) -> dict:
    Corpus.of([], []).save(tmp_path / "corpus")
    compare_artifacts(
        workspace=str(workspace),
        recipe=recipe.to_json(),
        original=RUN,
        corpus=str(tmp_path / "corpus"),
        tokenizer=str(tokenizer),
        backbone=str(folder),
        models=[str(folder)],
        evaluations=[str(folder)],
        out=str(tmp_path / "page.html"),
        summary=str(tmp_path / "summary.md"),
    )
    return json.loads((workspace / "runs" / mlflow_runs.pipeline_run_name() / "result.json").read_text())


@pytest.mark.parametrize(("weight", "outcome", "code"), [(1.0, "bit-equal", 0), (1.5, "different", 5)])
def test_every_artifact_is_compared_and_the_outcome_is_the_runs(
    tmp_path, tracking_database, original, recipe, folder, monkeypatch, weight, outcome, code
):
    monkeypatch.setenv("LABRAM_RUN", f"again-{outcome}")
    tokenizer = model(tmp_path / "tokenizer", weight=weight)
    (tokenizer / "config.json").write_text("{}")
    workspace = Path(tracking_database.removeprefix("sqlite:///")).parents[1]
    result = reproduce(workspace, tmp_path, recipe, tokenizer, folder)
    assert (result["outcome"], of_result(result["outcome"])) == (outcome, code), result
    rows = {row["artifact"]: row["equality"] for row in result["reproduction"]["artifacts"]}
    assert rows["labram-tokenizer/model.safetensors"] == outcome
    assert rows[f"labram-{TASK.name}/predictions.parquet"] == "bit-equal"
    assert outcome in (tmp_path / "page.html").read_text()
    assert "| labram-tokenizer/model.safetensors |" in (tmp_path / "summary.md").read_text()


def test_a_reproduction_must_have_the_originals_corpus_recipe_and_code(tracking_uri, original, recipe):
    same = lineage.lineage_tags(recipe, "v1")
    assert plan_run._of_original(RUN, same) == {"reproduces": RUN}
    for key, value in (("corpus_version", "v2"), ("code_version", "other"), ("recipe_hash", "other")):
        with pytest.raises(RegistryError, match=f"{key}: .* there, {value} here"):
            plan_run._of_original(RUN, same | {key: value})
    with pytest.raises(RegistryError, match="no run is named ''"):
        plan_run._of_original("", same)


def test_a_submission_has_the_originals_recipe_and_image(tracking_uri, original, recipe, tmp_path):
    found = submission.of_run(f"models:/labram-{TASK.name}/1")
    assert (found.run, found.image) == (RUN, IMAGE)
    (tmp_path / "recipe.yaml").write_text(found.recipe)
    assert load(str(tmp_path / "recipe.yaml")) == recipe
    mirrored = IMAGE.replace("registry.example", "mirror.example")
    assert submission.of_run(RUN, mirrored).image == mirrored
    with pytest.raises(RegistryError, match="the original ran in"):
        submission.of_run(RUN, IMAGE.replace("5", "6"))
    with pytest.raises(RegistryError, match="no original is named"):
        submission.of_run("")
    client = model_registry.client()
    for tag, value, says in (
        ("pipeline", "study", "is a study, and the pipeline reproduce repeats a retrain"),
        ("git_commit", "a" * 40, "Check it out and submit again: git checkout aaaaaaaaaaaa"),
        ("image", "", "the original ran without a container image"),
    ):
        versions = [version for version in model_registry.list_versions() if version.run_id == original]
        before = {version.uri: version.tags[tag] for version in versions}
        try:
            for name in before:
                client.set_model_version_tag(*name.removeprefix("models:/").split("/"), tag, value)
            with pytest.raises(RegistryError, match=says):
                submission.of_run(RUN)
        finally:
            for name, old in before.items():
                client.set_model_version_tag(*name.removeprefix("models:/").split("/"), tag, old)
