"""Versions, runs and schedules through the commands, against an API that keeps state."""

from pathlib import Path

import kfp
import pytest
import yaml
from typer.testing import CliRunner

from labram.cli import app, pipeline
from labram.errors import PlatformError
from labram.platform.kfp_client import KfpClient, PipelinePackage
from labram.tracking import lineage

COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGE = f"registry.example/labram-python:{COMMIT}"


@pytest.fixture(autouse=True)
def at_a_commit(monkeypatch) -> None:
    monkeypatch.setattr(lineage, "commit", lambda: COMMIT)
    monkeypatch.setattr(lineage, "dirty", lambda: False)


@pytest.fixture(scope="session")
def retrain(tmp_path_factory) -> str:
    """The compiled pipeline without what its components do, which the server does not look at."""
    path = pipeline.compiled("retrain", "demo", [], IMAGE, tmp_path_factory.mktemp("ir"))
    specification, platforms = yaml.safe_load_all(path.read_text())
    del specification["components"], specification["deploymentSpec"]
    return yaml.safe_dump_all([specification, platforms])


@pytest.fixture(autouse=True)
def compiled_once(retrain, monkeypatch) -> None:
    """A change of an override changes the file, as compiling would; the compiler itself has its own tests."""

    def compiled(name: str, recipe: str, override: list[str], image: str, out: Path, sizes: str = "") -> Path:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{name}.yaml").write_text(f"# {recipe} {override} {image} {sizes}\n{retrain}")
        return out / f"{name}.yaml"

    monkeypatch.setattr(pipeline, "compiled", compiled)


def labram(*arguments: str):
    return CliRunner().invoke(app, ["pipeline", *arguments])


def submit(host: str, *more: str):
    return labram("submit", "--image", IMAGE, "--host", host, *more)


def test_a_version_is_named_by_its_commit_and_uploaded_once(host, state) -> None:
    for _ in range(2):
        done = submit(host)
        assert done.exit_code == 0, done.output
    (version,) = state.tables["versions"].values()
    assert version["display_name"].startswith(f"demo-{COMMIT[:12]}-")
    assert set(version["pipeline_spec"]["platform_spec"]) == {"platforms"}
    assert len(state.tables["runs"]) == 2
    assert len(state.tables["pipelines"]) == len(state.tables["experiments"]) == 1
    run = next(iter(state.tables["runs"].values()))
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert run["service_account"] == "labram-task"


def test_another_recipe_is_another_version(host, state) -> None:
    submit(host)
    submit(host, "--set", "tokenizer.steps=50")
    assert len(state.tables["versions"]) == 2


def test_kfps_own_client_reads_what_was_made(host, state) -> None:
    submit(host, "-p", "gpus='4'")
    client = kfp.Client(host=host)
    (run,) = client.list_runs().runs
    assert run.runtime_config.parameters == {"gpus": "4"}
    assert client.get_pipeline_version(
        run.pipeline_version_reference.pipeline_id, run.pipeline_version_reference.pipeline_version_id
    ).display_name == run.display_name  # fmt: skip


def test_a_server_that_is_busy_for_a_moment_is_asked_again(host, state) -> None:
    state.failures = [503, 502]
    assert submit(host).exit_code == 0


def test_a_server_that_refuses_is_quoted(host, state) -> None:
    state.failures = [500]
    with pytest.raises(PlatformError, match=r"GET /pipelines failed: .*busy.*500"):
        KfpClient(host).upload_version(PipelinePackage(Path("x"), "retrain", "v"))


def test_an_address_without_a_server_is_named_with_the_way_to_it() -> None:
    with pytest.raises(PlatformError, match=r"127\.0\.0\.1:9.*does not respond.*port-forward"):
        KfpClient("http://127.0.0.1:9", retries=0).health()


def test_a_token_is_sent_and_a_missing_one_is_asked_for(host, state, tmp_path, monkeypatch) -> None:
    state.token = "secret"
    with pytest.raises(PlatformError, match="KF_PIPELINES_SA_TOKEN_PATH"):
        KfpClient(host).health()
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    client = KfpClient(host)
    assert client.health() == state.health
    state.token = "renewed"
    (tmp_path / "token").write_text("renewed\n")
    assert client.health() == state.health, "a token is renewed while a command waits for a run"
    (tmp_path / "token").unlink()
    with pytest.raises(PlatformError, match=r"KF_PIPELINES_SA_TOKEN_PATH: the token .* cannot be read \(FileNotFound"):
        client.health()


@pytest.mark.parametrize("health", [{"tag_name": "2.15.0", "pipeline_store": "database"}, {"multi_user": False}])
def test_a_server_that_is_too_old_is_named_before_anything_is_uploaded(host, state, health) -> None:
    """It accepts the version and the run, and its driver then rejects the platform settings of the first task."""
    state.health = health
    done = submit(host)
    assert "Upgrade to 2.16 or later" in str(done.exception)
    assert not state.changes


def test_an_unknown_parameter_is_refused_before_anything_is_uploaded(host, state) -> None:
    done = submit(host, "-p", "gpu=4")
    assert isinstance(done.exception, PlatformError)
    assert "no parameter gpu." in str(done.exception)
    assert "gpus" in str(done.exception)
    assert not state.changes


def test_a_changed_source_tree_has_no_name(host, state, monkeypatch) -> None:
    monkeypatch.setattr(lineage, "dirty", lambda: True)
    monkeypatch.setattr(lineage, "changed_files", lambda: [f"labram/{name}.py" for name in "abcdefg"])
    done = submit(host)
    assert str(done.exception).startswith("labram/a.py, labram/b.py, labram/c.py, labram/d.py, labram/e.py and 2 more:")
    assert "is named by its commit" in str(done.exception)
    assert not state.changes


def test_a_source_without_a_known_commit_has_no_name(host, state, monkeypatch) -> None:
    monkeypatch.setattr(lineage, "commit", lambda: "unknown")
    monkeypatch.setattr(lineage, "dirty", lambda: None)
    done = submit(host)
    assert "commit of the source is not known" in str(done.exception)
    assert not state.changes


def declare(path: Path, *schedules: dict) -> Path:
    path.write_text(yaml.safe_dump({"schedules": list(schedules)}), encoding="utf-8")
    return path


WEEKLY = {"name": "weekly", "recipe": "demo", "cron": "0 0 3 * * 1", "parameters": {"gpus": "4", "tolerations": []}}
DAILY = {"name": "daily", "recipe": "demo", "cron": "0 0 4 * * *", "enabled": False}


def reconcile(host: str, file: Path, *more: str) -> list[str]:
    done = labram("schedule", "--reconcile", "--image", IMAGE, "--host", host, "--file", str(file), *more)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output.splitlines()


def test_declared_schedules_are_made_and_the_second_time_nothing_is(host, state, tmp_path) -> None:
    file = declare(tmp_path / "s.yaml", WEEKLY, DAILY)
    assert reconcile(host, file) == ["create weekly", "create daily"]
    runs = {run["display_name"]: run for run in state.tables["recurringruns"].values()}
    assert runs["weekly"]["no_catchup"] is True
    assert runs["weekly"]["max_concurrency"] == "1"
    assert runs["weekly"]["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * 1"}}
    assert runs["weekly"]["runtime_config"]["parameters"] == {"gpus": "4", "tolerations": []}
    assert runs["daily"]["status"] == "DISABLED"
    before = list(state.changes)
    assert reconcile(host, file) == ["keep weekly", "keep daily"]
    assert state.changes == before


def test_kfps_own_client_reads_the_schedules(host, state, tmp_path) -> None:
    reconcile(host, declare(tmp_path / "s.yaml", WEEKLY))
    (run,) = kfp.Client(host=host).list_recurring_runs().recurring_runs
    assert (run.display_name, run.no_catchup, run.max_concurrency) == ("weekly", True, "1")
    assert run.trigger.cron_schedule.cron == "0 0 3 * * 1"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cron": "0 0 5 * * 1"}, "cron"),
        ({"parameters": {"gpus": "8"}}, "parameters"),
        ({"enabled": False}, "state"),
        ({"account": "other"}, "service account"),
        ({"overrides": ["tokenizer.steps=50"]}, "version"),
    ],
)
def test_what_differs_is_deleted_and_made_anew(host, state, tmp_path, change, why) -> None:
    reconcile(host, declare(tmp_path / "s.yaml", WEEKLY, DAILY))
    changed = declare(tmp_path / "s.yaml", WEEKLY | change, DAILY)
    assert reconcile(host, changed) == [f"delete weekly  {why} changed", "create weekly", "keep daily"]
    assert len(state.tables["recurringruns"]) == 2
    assert reconcile(host, changed) == ["keep weekly", "keep daily"]


def test_a_new_commit_moves_the_schedules_to_it(host, state, tmp_path, monkeypatch) -> None:
    file = declare(tmp_path / "s.yaml", WEEKLY)
    reconcile(host, file)
    monkeypatch.setattr(lineage, "commit", lambda: "f" * 40)
    assert reconcile(host, file) == ["delete weekly  version changed", "create weekly"]


@pytest.mark.parametrize("declared", [[WEEKLY | {"cron": "0 0 4 * * 1"}], []], ids=["changed", "not declared"])
def test_a_run_that_is_under_way_is_not_ended(host, state, tmp_path, declared) -> None:
    file = declare(tmp_path / "s.yaml", WEEKLY)
    reconcile(host, file)
    (old,) = state.tables["recurringruns"].values()
    run = {"run_id": "r", "display_name": "weekly-1", "state": "RUNNING", "workflow": "there"}
    ended = {"run_id": "q", "display_name": "weekly-0", "state": "SUCCEEDED", "workflow": "gone"}
    ours = {"experiment_id": old["experiment_id"], "recurring_run_id": old["recurring_run_id"]}
    state.tables["runs"] = {"q": ended | ours, "r": run | ours}
    changed = declare(tmp_path / "s.yaml", *declared)
    (planned, *_), (first, *more) = reconcile(host, changed, "--dry-run"), reconcile(host, changed)
    assert planned == f"would {first}"
    assert first.startswith("disable weekly  ")
    assert "its run weekly-1 is under way" in first
    assert more == ["create weekly"] * len(declared)
    assert (old["status"], state.tables["runs"]["r"]["workflow"]) == ("DISABLED", "there")
    state.tables["runs"]["r"]["state"] = "SUCCEEDED"
    again = reconcile(host, changed)
    assert again[0].startswith("delete weekly  ")
    assert len(state.tables["recurringruns"]) == len(declared)


def test_what_is_not_declared_goes_and_what_is_not_ours_stays(host, state, tmp_path) -> None:
    state.tables["recurringruns"]["theirs"] = {
        "recurring_run_id": "theirs", "display_name": "weekly", "experiment_id": "another"
    }  # fmt: skip
    reconcile(host, declare(tmp_path / "s.yaml", WEEKLY, DAILY))
    assert reconcile(host, declare(tmp_path / "s.yaml", DAILY)) == ["delete weekly  not declared", "keep daily"]
    assert "theirs" in state.tables["recurringruns"]


def test_one_that_is_there_twice_is_left_once(host, state, tmp_path) -> None:
    file = declare(tmp_path / "s.yaml", WEEKLY)
    reconcile(host, file)
    (run,) = state.tables["recurringruns"].values()
    state.tables["recurringruns"]["again"] = {**run, "recurring_run_id": "again"}
    assert reconcile(host, file) == ["delete weekly  duplicate", "keep weekly"]
    assert len(state.tables["recurringruns"]) == 1


def test_an_interrupted_reconciliation_is_finished_by_the_next(host, state, tmp_path) -> None:
    file = declare(tmp_path / "s.yaml", WEEKLY, DAILY)
    reconcile(host, file)
    state.tables["recurringruns"].popitem()
    assert reconcile(host, file) == ["keep weekly", "create daily"]


def test_a_dry_run_says_everything_and_changes_nothing(host, state, tmp_path) -> None:
    file = declare(tmp_path / "s.yaml", WEEKLY)
    assert reconcile(host, file, "--dry-run") == ["would create weekly"]
    assert not state.changes
    reconcile(host, file)
    before = list(state.changes)
    assert reconcile(host, declare(tmp_path / "s.yaml", DAILY), "--dry-run") == [
        "would delete weekly  not declared", "would create daily"
    ]  # fmt: skip
    assert state.changes == before


def test_many_schedules_are_read_page_by_page(host, state, tmp_path) -> None:
    many = [DAILY | {"name": f"daily-{number}"} for number in range(7)]
    reconcile(host, declare(tmp_path / "s.yaml", *many))
    assert reconcile(host, declare(tmp_path / "s.yaml", *many)) == [f"keep daily-{number}" for number in range(7)]


def test_without_reconcile_the_clusters_schedules_are_listed(host, state, tmp_path) -> None:
    reconcile(host, declare(tmp_path / "s.yaml", WEEKLY))
    (first, *_) = labram("schedule", "--host", host).output.splitlines()
    assert first == "weekly  0 0 3 * * 1  ENABLED  no run yet"
    (weekly,) = state.tables["recurringruns"].values()
    ours = {"experiment_id": weekly["experiment_id"], "recurring_run_id": weekly["recurring_run_id"]}
    state.tables["runs"] = {"r": {"run_id": "r", "state": "FAILED"} | ours}
    assert labram("schedule", "--host", host).output.splitlines() == [
        "weekly  0 0 3 * * 1  ENABLED  last run r failed",
        "      next: labram pipeline runs r",
        "outcomes are in MLflow: set MLFLOW_TRACKING_URI and its account to see them",
    ]


def test_a_cluster_without_schedules_is_said_to_have_none(host, state) -> None:
    assert "no schedules" in labram("schedule", "--host", host).output


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (WEEKLY | {"cron": "0 3 * * 1"}, "six fields"),
        (WEEKLY | {"crown": "x"}, "crown"),
        (WEEKLY | {"name": "Weekly run"}, "schedules.0.name"),
        (WEEKLY | {"parameters": {"gpu": "4"}}, "no parameter gpu"),
    ],
)
def test_a_wrong_declaration_is_refused_before_anything_changes(host, state, tmp_path, schedule, said) -> None:
    file = declare(tmp_path / "s.yaml", schedule)
    done = labram("schedule", "--reconcile", "--image", IMAGE, "--host", host, "--file", str(file))
    assert isinstance(done.exception, PlatformError)
    assert said in str(done.exception)
    assert not state.changes


def test_two_schedules_of_one_name_are_refused(host, state, tmp_path) -> None:
    file = declare(tmp_path / "s.yaml", WEEKLY, WEEKLY)
    done = labram("schedule", "--reconcile", "--image", IMAGE, "--host", host, "--file", str(file))
    assert "schedule names must be unique" in str(done.exception)


def test_the_shipped_schedules_are_valid(host, state) -> None:
    shipped = Path(__file__).parents[2] / "k8s" / "schedules.yaml"
    assert reconcile(host, shipped, "--dry-run") == ["would create retrain-weekly"]


def test_a_server_for_a_single_user_takes_no_namespace(host, state, monkeypatch) -> None:
    """It would accept one, run in its own, and fail for the account that is missing there."""
    done = submit(host, "--namespace", "labram")
    assert "all runs are in its own namespace, not in labram" in str(done.exception)
    assert not state.changes
    assert submit(host, "--namespace", "kubeflow").exit_code == 0
    assert KfpClient.connect(host).pod_namespace == "kubeflow"
    monkeypatch.setenv("LABRAM_KFP_NAMESPACE", "pipelines")
    assert KfpClient.connect(host, "pipelines").pod_namespace == "pipelines"


def test_a_server_for_many_users_wants_a_namespace(host, state) -> None:
    state.health = {"multi_user": True, "pipeline_store": "database"}
    assert "Kubeflow Pipelines is multi-user" in str(submit(host).exception)
    assert not state.changes
    assert submit(host, "--namespace", "team-a").exit_code == 0
    assert {row["namespace"] for row in state.tables["experiments"].values()} == {"team-a"}
    assert KfpClient.connect(host, "team-a").pod_namespace == "team-a"
