"""The champion moves only when it may, and moves back in one call."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from labram.errors import LabramError, RegistryError
from labram.registry import model_registry
from labram.registry.gates import Gate, Verdict
from labram.registry.promotion import promote, rollback


def versions(name, count, run_id):
    """Bare versions: promotion looks at aliases and tags only."""
    client = model_registry.client()
    client.create_registered_model(name)
    for number in range(1, count + 1):
        client.create_model_version(name, source=f"s3://nowhere/{number}", run_id=run_id)
        client.set_registered_model_alias(name, model_registry.CHALLENGER, str(number))


def verdict(name, version, champion, passed=True):
    gate = Gate(name="metric", passed=passed, detail="as metrics say")
    return Verdict(model=name, version=version, champion=champion, gates=(gate,))


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
