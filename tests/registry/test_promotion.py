"""The champion moves only when it may, and moves back in one call."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from labram.errors import LabramError, RegistryError
from labram.registry import audit, model_registry
from labram.registry.gates import Gate, Verdict
from labram.registry.promotion import apply_approvals, approve, promote, promote_version, reject, rollback


def versions(name, count, run_id):
    """Bare versions: promotion looks at aliases and tags only."""
    client = model_registry.client()
    client.create_registered_model(name)
    for number in range(1, count + 1):
        client.create_model_version(name, source=f"s3://nowhere/{number}", run_id=run_id)
        client.set_registered_model_alias(name, model_registry.CHALLENGER, str(number))


def verdict(name, version, champion, passed=True, approval=False):
    gate = Gate(name="metric", passed=passed, detail="as metrics say")
    return Verdict(model=name, version=version, champion=champion, gates=(gate,), approval=approval)


def aliases(name):
    return {alias: one.version for one in model_registry.list_versions(name) for alias in one.aliases}


def test_the_first_version_becomes_champion_with_who_when_and_why(run_id):
    versions("labram-first", 1, run_id)
    move = promote(verdict("labram-first", "1", None), why="run demo")
    assert move.moved
    assert move.previous is None
    assert aliases("labram-first") == {model_registry.CHAMPION: "1"}
    tags = model_registry.get_version("labram-first", "1").tags
    assert tags["gate"] == "passed"
    assert tags["promoted_why"] == "run demo"
    assert tags["promoted_by"]
    assert tags["promoted_at"].startswith("20")


def test_a_challenger_that_fails_a_gate_stays_challenger_and_its_tags_say_why(run_id):
    versions("labram-failed", 2, run_id)
    promote(verdict("labram-failed", "1", None), why="first")
    move = promote(verdict("labram-failed", "2", "1", passed=False), why="second")
    assert not move.moved
    assert move.version == "1"
    assert "as metrics say" in move.why
    assert aliases("labram-failed") == {model_registry.CHAMPION: "1", model_registry.CHALLENGER: "2"}
    assert model_registry.get_version("labram-failed", "2").tags["gate"] == "not promoted (gate metric failed)"


def test_rollback_swaps_champion_and_previous_champion_and_back(run_id):
    versions("labram-back", 2, run_id)
    promote(verdict("labram-back", "1", None), why="first")
    promote(verdict("labram-back", "2", "1"), why="second")
    assert aliases("labram-back") == {model_registry.CHAMPION: "2", model_registry.PREVIOUS: "1"}
    said = rollback("labram-back", why="it drifts")
    assert "version 1" in said
    assert aliases("labram-back") == {model_registry.CHAMPION: "1", model_registry.PREVIOUS: "2"}
    assert model_registry.get_version("labram-back", "1").tags["restored_why"] == "it drifts"
    rollback("labram-back")
    assert aliases("labram-back") == {model_registry.CHAMPION: "2", model_registry.PREVIOUS: "1"}


def test_without_a_previous_champion_there_is_nothing_to_roll_back_to(run_id):
    versions("labram-only", 1, run_id)
    promote(verdict("labram-only", "1", None), why="first")
    with pytest.raises(RegistryError, match="no previous champion"):
        rollback("labram-only")


def test_promoting_the_champion_again_changes_nothing(run_id):
    versions("labram-same", 1, run_id)
    promote(verdict("labram-same", "1", None), why="first")
    model_registry.client().set_registered_model_alias("labram-same", model_registry.CHALLENGER, "1")  # left by a kill
    assert not promote(verdict("labram-same", "1", "1"), why="again").moved
    assert aliases("labram-same") == {model_registry.CHAMPION: "1"}


def test_a_verdict_against_another_champion_is_out_of_date(run_id):
    versions("labram-stale", 3, run_id)
    promote(verdict("labram-stale", "1", None), why="first")
    promote(verdict("labram-stale", "2", "1"), why="second")
    with pytest.raises(RegistryError, match="the champion of labram-stale is version 2, but the gates compared"):
        promote(verdict("labram-stale", "3", "1"), why="third")
    assert aliases("labram-stale")[model_registry.CHAMPION] == "2"


def test_of_promotions_at_the_same_time_one_wins_and_the_others_are_told(run_id):
    versions("labram-race", 4, run_id)
    promote(verdict("labram-race", "1", None), why="first")

    def attempt(number):
        try:
            return promote(verdict("labram-race", str(number), "1"), why="race").moved
        except LabramError:
            return False

    with ThreadPoolExecutor(3) as pool:
        won = list(pool.map(attempt, (2, 3, 4)))
    assert won.count(True) == 1
    assert aliases("labram-race")[model_registry.CHAMPION] == str(2 + won.index(True))
    assert aliases("labram-race")[model_registry.PREVIOUS] == "1"


def logged(name):
    return [entry.entry for entry in audit.read(name)]


def test_a_version_is_promoted_by_hand_only_if_its_gates_passed_against_todays_champion(run_id):
    versions("labram-hand", 3, run_id)
    promote(verdict("labram-hand", "1", None), why="first")
    with pytest.raises(RegistryError, match="version 2 did not pass: not evaluated"):
        promote_version("labram-hand", "2")
    promote(verdict("labram-hand", "2", "1", passed=False), why="second")
    with pytest.raises(RegistryError, match=r"gate metric failed.*--override"):
        promote_version("labram-hand", "2")
    assert aliases("labram-hand")[model_registry.CHAMPION] == "1"
    promote_version("labram-hand", "2", override="the test set is wrong")
    assert aliases("labram-hand")[model_registry.CHAMPION] == "2"
    assert model_registry.get_version("labram-hand", "2").tags["override"] == "the test set is wrong"
    promote(verdict("labram-hand", "3", "2"), why="third")
    with pytest.raises(RegistryError, match="compared with none, but the champion is version 3"):
        promote_version("labram-hand", "1")
    with pytest.raises(RegistryError, match="the champion already"):
        promote_version("labram-hand", "3")
    assert [(entry.action, entry.version, entry.override) for entry in logged("labram-hand")] == [
        ("promoted", "1", False),
        ("promoted", "2", True),
        ("promoted", "3", False),
    ]


def test_what_awaits_approval_stays_challenger_until_a_person_or_the_tag_approves_it(run_id):
    versions("labram-wait", 2, run_id)
    move = promote(verdict("labram-wait", "1", None, approval=True), why="first")
    assert (move.moved, move.awaiting) == (False, True)
    assert model_registry.CHAMPION not in aliases("labram-wait")
    with pytest.raises(RegistryError, match=r"no challenger of labram-wait awaits approval.*version 1"):
        approve("labram-wait")
    approve("labram-wait", version="1", why="read the card")
    assert aliases("labram-wait")[model_registry.CHAMPION] == "1"
    promote(verdict("labram-wait", "2", "1", approval=True), why="second")
    model_registry.client().set_model_version_tag("labram-wait", "2", "approval", "approved")
    assert any("labram-wait: version 2 is champion" in sentence for sentence in apply_approvals())
    assert not any("labram-wait" in sentence for sentence in apply_approvals())
    assert [entry.why for entry in logged("labram-wait")] == ["read the card", "tag approval: approved"]


def test_a_rejected_version_is_no_challenger_and_the_champion_cannot_be_rejected(run_id):
    versions("labram-reject", 2, run_id)
    promote(verdict("labram-reject", "1", None), why="first")
    with pytest.raises(RegistryError, match="is the champion"):
        reject("labram-reject", "1", why="no")
    reject("labram-reject", "2", why="trained on the wrong corpus")
    assert aliases("labram-reject") == {model_registry.CHAMPION: "1"}
    tags = model_registry.get_version("labram-reject", "2").tags
    assert (tags["gate"], tags["rejected_why"]) == ("rejected", "trained on the wrong corpus")
    with pytest.raises(RegistryError, match="did not pass: rejected"):
        promote_version("labram-reject", "2")


def test_a_rollback_can_name_any_earlier_champion_and_no_other_version(run_id):
    versions("labram-far", 4, run_id)
    for version, before in (("1", None), ("2", "1"), ("3", "2")):
        promote(verdict("labram-far", version, before), why=version)
    with pytest.raises(
        RegistryError, match=r"version 4 of labram-far is no earlier champion. Earlier champions: 2, 1\."
    ):
        rollback("labram-far", to="4")
    rollback("labram-far", to="1", why="it drifts")
    assert aliases("labram-far") == {
        model_registry.CHAMPION: "1",
        model_registry.PREVIOUS: "3",
        model_registry.CHALLENGER: "4",
    }
    with pytest.raises(RegistryError, match="version 1 of labram-far is no earlier champion"):
        rollback("labram-far", to="1")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["previous", "champion", "tags"])
def test_a_move_that_was_killed_half_way_is_finished_by_the_next_one(run_id, monkeypatch, moment):
    name = f"labram-killed-{moment}"
    versions(name, 2, run_id)
    promote(verdict(name, "1", None), why="first")
    server = type(model_registry.client())
    original = server.set_registered_model_alias

    def dies(self, model, alias, version):
        if alias == (model_registry.PREVIOUS if moment == "previous" else model_registry.CHAMPION):
            if moment == "tags":
                original(self, model, alias, version)
            raise Killed
        original(self, model, alias, version)

    with monkeypatch.context() as patched:
        patched.setattr(server, "set_registered_model_alias", dies)
        with pytest.raises(Killed):
            promote(verdict(name, "2", "1"), why="run two")
    assert [entry.finished for entry in audit.read(name)] == [True, False]
    move = promote(verdict(name, "2", "1"), why="run two")
    assert (move.moved, move.version, move.previous) == (True, "2", "1"), "the report says what the killed one did"
    assert aliases(name) == {model_registry.CHAMPION: "2", model_registry.PREVIOUS: "1"}
    assert model_registry.get_version(name, "2").tags["promoted_why"] == "run two"
    assert [entry.finished for entry in audit.read(name)] == [True, True]
    rollback(name)
    assert aliases(name) == {model_registry.CHAMPION: "1", model_registry.PREVIOUS: "2"}


def test_the_log_notices_entries_that_are_edited_or_missing(tmp_path):
    import mlflow

    from labram.tracking import mlflow_runs

    mlflow_runs.configure(tmp_path)
    run = mlflow.MlflowClient().create_run(mlflow_runs.experiment_id(mlflow.MlflowClient())).info.run_id
    versions("labram-log", 3, run)
    for version, before in (("1", None), ("2", "1"), ("3", "2")):
        promote(verdict("labram-log", version, before), why=version)
    entries = audit.read()
    assert [entry.entry.number for entry in entries] == [1, 2, 3]
    assert all(entry.entry.actor and entry.entry.at.startswith("20") for entry in entries)
    assert audit.check() == []
    client = model_registry.client()
    client.set_tag(entries[1].run_id, "entry", entries[1].entry.model_copy(update={"why": "other"}).to_json())
    assert audit.check() == ["entry 2 was edited: its digest is another"]
    client.delete_run(entries[1].run_id)
    assert audit.check() == ["entry 2 is missing: the next one is 3"]
