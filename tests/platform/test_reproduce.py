"""A rerun is compared artifact by artifact; what differs first is named; a small fake of the pipeline stands for it."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from labram.errors import RegistryError
from labram.platform import local_runs
from labram.platform.reproduce import requirements, verdict
from labram.platform.reproduce.original import Original, find_original
from labram.platform.reproduce.rerun import Rerun
from labram.platform.reproduce.verdict import Equality, compare_folders, merged, overall, without_tolerance
from labram.registry.model_registry import ModelVersion
from labram.tracking import lineage
from labram.tracking.run_list import PipelineRun
from labram.training import hardware
from tests.registry.test_comparison import answers
from tests.registry.test_provenance import add


def model(folder, *, weight=1.0, accuracy=0.5, sharpness=1.0, subject="s"):
    folder.mkdir(parents=True)
    save_file({"a": np.ones(3, np.float32), "b": np.full(4, weight, np.float32)}, folder / "model.safetensors")
    evaluation = {"model": {"auroc": accuracy}, "sha256": str(accuracy), "corpus_version": subject}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "ledger.json").write_text(json.dumps({"stages": {"t": {"subjects": [subject], "contents": ["c"]}}}))
    (folder / "history.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"sha256": "x"}\n')
    (folder / "hardware.json").write_text(json.dumps({"name": subject}))
    answers(sharpness).write(folder / "predictions.parquet")
    np.savez(folder / "baseline.npz", weights=np.arange(3.0))
    return folder


def verdicts(a, b, **settings):
    return {found.artifact: found for found in compare_folders("m", a, b, **settings)}


def test_equal_files_are_bit_equal_and_what_states_the_machine_is_not_compared(tmp_path):
    registered = model(tmp_path / "a")
    (registered / "files.json").write_text("{}", encoding="utf-8")  # the manifest that registering adds
    found = verdicts(registered, model(tmp_path / "b"))
    assert {entry.equality for entry in found.values()} == {Equality.BIT_EQUAL}
    assert "m/hardware.json" not in found
    assert set(found) == {
        f"m/{name}" for name in ("model.safetensors", "evaluation.json", "ledger.json", "history.jsonl", "baseline.npz")
    } | {"m/predictions.parquet"}


@pytest.mark.parametrize(("weight", "equality"), [(1.001, "within tolerance"), (1.5, "different")])
def test_the_first_tensor_that_differs_is_named_with_its_distance(tmp_path, weight, equality):
    found = verdicts(model(tmp_path / "a"), model(tmp_path / "b", weight=weight))["m/model.safetensors"]
    assert (found.equality, found.detail.partition(":")[0]) == (equality, "tensor b")
    assert f"relative distance {weight - 1:.2g}" in found.detail


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_within_no_tolerance(tmp_path, value):
    a, b = model(tmp_path / "a", weight=np.nan), model(tmp_path / "b", weight=np.inf)
    assert verdicts(a, b)["m/model.safetensors"].equality == Equality.DIFFERENT
    for folder, numbers, metric in ((a, [0.1, 0.2, np.nan], np.inf), (b, [0.1001, value, np.nan], 0.5)):
        pd.DataFrame({"p": numbers}).to_parquet(folder / "predictions.parquet")
        (folder / "evaluation.json").write_text(json.dumps({"model": metric}))
    found = verdicts(a, b)
    assert found["m/evaluation.json"].equality == Equality.DIFFERENT
    assert found["m/predictions.parquet"].equality == Equality.DIFFERENT
    assert "2 rows differ" in found["m/predictions.parquet"].detail


def test_an_event_that_a_full_disk_cut_is_skipped(tmp_path):
    rerun = Rerun(tmp_path, tmp_path)
    (rerun.workspace / "runs" / "a").mkdir(parents=True)
    lines = '{"event": "started", "step": "ingest"}\n{"event": "fin\n{"event": "finished", "step": "ingest"}\n{"ev'
    (rerun.workspace / "runs" / "a" / local_runs.EVENTS).write_text(lines)
    assert [event["event"] for event in rerun._events()] == ["started", "finished"]


@pytest.mark.parametrize(("accuracy", "equality"), [(0.5005, "within tolerance"), (0.7, "different")])
def test_the_first_metric_that_differs_is_named(tmp_path, accuracy, equality):
    found = verdicts(model(tmp_path / "a"), model(tmp_path / "b", accuracy=accuracy))["m/evaluation.json"]
    assert (found.equality, found.detail) == (equality, f"model.auroc: 0.5 → {accuracy}")


def test_the_first_row_that_differs_is_named(tmp_path):
    found = verdicts(model(tmp_path / "a"), model(tmp_path / "b", sharpness=1.1))["m/predictions.parquet"]
    assert found.equality == Equality.DIFFERENT
    assert found.detail.startswith("column prediction, row 0: ")
    assert "240 rows differ" in found.detail


def test_without_the_key_names_of_subjects_are_compared_up_to_renaming(tmp_path):
    a, b = model(tmp_path / "a"), model(tmp_path / "b", subject="other")
    assert verdicts(a, b)["m/ledger.json"].detail == "stages.t.subjects[0]: s → other"
    assert verdicts(a, b, same_key=False)["m/ledger.json"].equality == Equality.BIT_EQUAL


def test_a_file_that_is_missing_is_different_unless_only_a_part_was_run(tmp_path):
    a, b = model(tmp_path / "a"), model(tmp_path / "b")
    (b / "baseline.npz").unlink()
    assert verdicts(a, b)["m/baseline.npz"].detail == "the reproduction does not have it"
    assert "m/baseline.npz" not in verdicts(a, b, partly=True)


def test_the_worst_artifact_decides_and_equal_hardware_tolerates_nothing(tmp_path):
    found = list(compare_folders("m", model(tmp_path / "a"), model(tmp_path / "b", weight=1.001)))
    assert overall(found) == Equality.WITHIN_TOLERANCE
    assert overall(without_tolerance(found)) == Equality.DIFFERENT
    assert overall([]) == Equality.DIFFERENT


def test_folders_are_merged_and_the_first_wins(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared").write_text(name)
    (tmp_path / "b" / "own").write_text("own")
    with merged([tmp_path / "a", tmp_path / "b", tmp_path / "absent"]) as folder:
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"shared": "a", "own": "own"}


FAKE = """
import json, os, sys, time
from pathlib import Path
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
root = Path(options["--workspace"])
events = root / "runs" / "r" / "events.jsonl"
events.parent.mkdir(parents=True, exist_ok=True)
for step in ("tokenizer", "pretrain", "finetune t"):
    with events.open("a") as file:
        file.write(json.dumps({"event": "started", "step": step}) + "\\n")
    if step == "finetune t" and os.environ.get("SLOW"):
        time.sleep(60)
    out = root / "pipeline" / "retrain-1" / step.split()[0] / "model"
    out.mkdir(parents=True)
    (out / "model.safetensors").write_text(os.environ["LABRAM_SUBJECT_KEY"])
    with events.open("a") as file:
        file.write(json.dumps({"event": "finished", "step": step}) + "\\n")
print("error: no memory: a remedy")
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def repository(tmp_path):
    """A repository whose `labram.cli` writes events and outputs; returns it with its commit."""
    folder = tmp_path / "repository"
    (folder / "labram" / "cli").mkdir(parents=True)
    (folder / "labram" / "__init__.py").touch()
    (folder / "labram" / "cli" / "__init__.py").touch()
    (folder / "labram" / "cli" / "__main__.py").write_text(FAKE)
    (folder / "constraints.txt").write_text("numpy==1\n")
    identity = ("-c", "user.email=a@b", "-c", "user.name=n")
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return folder, head.stdout.strip()


def original(commit, **tags):
    given = {"git_commit": commit, "git_dirty": "false", "pipeline": "retrain", "corpus_version": "v", **tags}
    run = PipelineRun("tiny-1", "1", "FINISHED", datetime.now(UTC), 1.0, given, {})
    return Original(run, (ModelVersion("labram-t", "1", tags=given),), {"name": "tiny"}, subject_key="secret")


def test_the_rerun_is_of_the_commit_with_its_changes_and_the_originals_key(tmp_path, repository):
    from labram import git

    folder, commit = repository
    (folder / "labram" / "new.py").write_text("x = 1\n")
    patched = Original(**vars(original(commit)) | {"diff": git.uncommitted_diff(folder)})
    (folder / "labram" / "new.py").unlink()
    rerun, events = Rerun(tmp_path / "into", folder), []
    rerun.check_out(patched)
    rerun.run(patched, rerun.python(reuse=True), data=tmp_path, upto="", show=events.append)
    assert (rerun.source / "labram" / "new.py").read_text() == "x = 1\n"
    assert [event["step"] for event in events if event["event"] == "finished"] == [
        "tokenizer",
        "pretrain",
        "finetune t",
    ]
    models = rerun.models()
    assert set(models) == {"labram-tokenizer", "labram-backbone"}
    assert (models["labram-backbone"][0] / "model.safetensors").read_text() == "secret"
    assert not any("secret" in path.read_text() for path in (rerun.folder / "recipe.yaml", rerun.folder / "run.log"))
    assert git.git(folder, "worktree", "list").count("\n") == 1, "nothing is left behind in the repository"


def test_upto_stops_after_the_step_and_a_failure_is_told_in_its_own_words(tmp_path, repository, monkeypatch):
    from labram.errors import PlatformError

    folder, commit = repository
    monkeypatch.setenv("SLOW", "1")
    rerun = Rerun(tmp_path / "part", folder)
    rerun.check_out(original(commit))
    rerun.run(original(commit), rerun.python(reuse=True), data=None, upto="pretrain", show=lambda _: None)
    assert set(rerun.models()) == {"labram-tokenizer", "labram-backbone"}
    monkeypatch.delenv("SLOW")
    monkeypatch.setenv("CODE", "1")
    failing = Rerun(tmp_path / "failing", folder)
    failing.check_out(original(commit))
    with pytest.raises(PlatformError, match="the rerun failed: no memory"):
        failing.run(original(commit), failing.python(reuse=True), data=None, upto="", show=lambda _: None)


def states(found):
    return {finding.subject: (finding.state, finding.detail) for finding in found}


def test_what_is_missing_is_named(tmp_path, repository, monkeypatch):
    folder, commit = repository
    described = json.dumps(hardware.describe() | {"name": "Other CPU"})
    known = states(requirements.check(original(commit, hardware=described, torch="1.0"), folder, None))
    assert known["source"] == ("ok", f"commit {commit[:12]}")
    assert known["environment"] == ("warning", "must be built from the constraints.txt of the commit")
    assert known["corpus"][0] == "error"
    assert "name: Other CPU there" in known["hardware"][1]
    assert "torch: 1.0 there" in known["hardware"][1]
    gone = states(requirements.check(original("a" * 40), folder, None))
    assert gone["source"] == ("error", "commit aaaaaaaaaaaa is not in this clone")
    dirty = states(requirements.check(original(commit, git_dirty="true"), folder, None))
    assert dirty["source"] == ("error", f"commit {commit[:12]} had uncommitted changes, and no patch of them was kept")
    study = states(requirements.check(original(commit, pipeline="study"), folder, None))
    assert study["pipeline"][0] == "error"
    same = original(commit, environment_hash=lineage.environment_hash())
    assert states(requirements.check(same, folder, None))["environment"][0] == "ok"


def test_the_corpus_is_checked_against_its_version(tmp_path, repository, write_edf):
    from labram.corpus.dvc_versions import fingerprint_version, tree_version

    folder, commit = repository
    data = write_edf(tmp_path / "data" / "a.edf").parent
    for version in (fingerprint_version(data, ()), tree_version(data)):
        known = states(requirements.check(original(commit, corpus_version=version), folder, data))
        assert known["corpus"] == ("ok", f"version {version}")
    write_edf(data / "b.edf", seed=1)
    known = states(requirements.check(original(commit, corpus_version=version), folder, data))
    assert known["corpus"][0] == "error"


def test_a_corpus_is_in_dvcs_cache_or_remote_or_simulated_or_missing(tmp_path, repository, monkeypatch):
    from labram.corpus import dvc_versions

    folder, commit = repository
    monkeypatch.setattr(dvc_versions, "committed_version", lambda *_: "v")
    for available, datasets, state in (
        (True, ["real"], "ok"),
        (False, ["sim_lab"], "warning"),
        (False, ["x"], "error"),
    ):
        monkeypatch.setattr(dvc_versions, "is_available", lambda *_, found=available: found)
        simulated = Original(**vars(original(commit)) | {"recipe": {"corpus": {"datasets": datasets}}})
        assert states(requirements.check(simulated, folder, None))["corpus"][0] == state


def test_a_clone_uses_the_cache_and_the_remotes_of_the_working_copy(tmp_path):
    from labram.corpus.dvc_versions import share_cache

    own, clone = tmp_path / "own", tmp_path / "clone"
    for folder in (own, clone):
        (folder / ".dvc").mkdir(parents=True)
    (own / ".dvc" / "config.local").write_text("['remote \"s\"']\n    url = ../storage\n    password = secret\n")
    share_cache(own, clone)
    found = (clone / ".dvc" / "config.local").read_text()
    assert f"url = {own}/.dvc/../storage\n" in found
    assert "password = secret\n" in found
    assert f"dir = {own}/.dvc/cache\n" in found
    assert (clone / ".dvc" / "config.local").stat().st_mode & 0o777 == 0o600


def test_a_lock_that_no_index_serves_is_named(tmp_path, repository, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    folder, commit = repository
    found = states(requirements.check(original(commit), folder, None, ask_index=True))["environment"]
    assert found[0] == "error"
    assert "no package index serves it: No matching distribution found for numpy==1" in found[1]


@pytest.mark.parametrize("commit", ["--upload-pack=touch", "HEAD", "", "unknown"])
def test_a_commit_that_is_none_is_not_given_to_git(commit, repository):
    assert original(commit).commit == ""
    assert states(requirements.check(original(commit), repository[0], None))["source"][0] == "error"


def test_an_altered_patch_is_named(repository):
    folder, commit = repository
    for digest, state in ((lineage.short_hash("patch"), "ok"), ("other", "error")):
        patched = original(commit, git_dirty="true", diff_hash=digest)
        found = states(requirements.check(Original(**vars(patched) | {"diff": "patch"}), folder, None))
        assert found["source"][0] == state


def test_an_original_needs_models_to_compare_with(run_id, tmp_path):
    bare = add("labram-no-run", run_id)
    with pytest.raises(RegistryError, match="no run is named"):
        find_original(bare.uri, tmp_path)
    with pytest.raises(RegistryError, match="no run is named 'nothing'"):
        find_original("nothing", tmp_path)
    assert verdict.overall([]) is Equality.DIFFERENT
    assert Path(tmp_path).is_dir()
