"""Records that no archive knows when they change their workspace: made by the application between two looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.migrating import Harness
from tests.support.tenants import before, child, groups, held, put, remove, start
from vecferry.errors import DataDiffer
from vecferry.ledger import Direction, Hold, State
from vecferry.model import IdKind
from vecferry.operations import ending, routes, workspaces
from vecferry.strategies import rolling, steps, waves
from vecferry.strategies.moved import MOVED_FACT
from vecferry.strategies.runner import Ref
from vecferry.strategies.strangers import STRANGERS_FACT


def half_way(harness: Harness, old: str, new: str, moved: str = "follow") -> Ref:
    """One of which the workspace a is served by the new store, and b is filled and READY."""
    ref = start(harness, old, new, moved=moved)
    rolling.prepare(harness.runner, ref)
    harness.ledger.hold_workspaces(ref.migration, [2, 3], Hold.PAUSED)
    harness.run(ref)
    harness.ledger.hold_workspaces(ref.migration, [2, 3], None)
    waves.fill_wave(ref, [2])
    return ref


def fact(harness: Harness, ref: Ref, key: str, name: str) -> dict[str, Any]:
    return dict(harness.ledger.fact(child(harness, ref, key).migration, name) or {})


@pytest.mark.slow
def test_s20_r10_a_record_made_in_the_new_store_follows_its_workspace_to_the_old_one(
    harness: Harness, old: str, new: str
) -> None:
    """Its readers find it there; then it is as any other: changed, switched with its workspace, once in each store."""
    ref = half_way(harness, old, new)
    put(new, "n0", "a", 70)
    put(new, "n0", "b", 71)
    harness.sync(ref)
    assert harness.records(old)[(IdKind.STRING, "n0")] == harness.records(new)[(IdKind.STRING, "n0")]
    assert held(harness, old)["n0"] == "b"
    put(old, "n0", "b", 72)
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert harness.records(old) == harness.records(new)
    assert not fact(harness, ref, "b", STRANGERS_FACT)
    assert fact(harness, ref, "b", MOVED_FACT)["brought"] == 1


@pytest.mark.slow
def test_s20_what_was_carried_to_the_old_store_and_deleted_there_stays_deleted(
    harness: Harness, old: str, new: str
) -> None:
    """A second sync carries nothing, and a delete where it is served now wins over the copy in the new store."""
    ref = half_way(harness, old, new)
    put(new, "n0", "b", 71)
    put(new, "n1", "b", 72)
    harness.sync(ref)
    deltas = len(harness.ledger.deltas(child(harness, ref, "b").migration, Direction.REVERSE))
    remove(old, "n0")
    harness.sync(ref)
    assert len(harness.ledger.deltas(child(harness, ref, "b").migration, Direction.REVERSE)) == deltas == 1
    assert "n0" not in held(harness, old)
    assert "n0" not in held(harness, new)
    assert held(harness, old)["n1"] == held(harness, new)["n1"] == "b"
    assert fact(harness, ref, "b", MOVED_FACT)["brought"] == 2


@pytest.mark.slow
def test_s20_an_id_that_the_old_store_has_too_is_a_conflict_unless_it_is_the_very_same(
    harness: Harness, old: str, new: str
) -> None:
    """The other version is listed once, however often a sync looks, and neither store is touched."""
    ref = half_way(harness, old, new)
    put(new, "n0", "b", 71)
    put(old, "n0", "c", 72)
    put(new, "n1", "b", 73)
    put(old, "n1", "b", 73)
    stores = harness.records(old), harness.records(new)
    for _ in range(2):
        harness.sync(ref)
        assert (harness.records(old), harness.records(new)) == stores
    found = fact(harness, ref, "b", MOVED_FACT)
    assert (found["brought"], found["differing"]) == (0, 1)
    assert Path(found["listed"]).read_text().count("n0") == 1
    assert "n1" not in Path(found["listed"]).read_text()
    notes = {one.key: one.note for one in harness.ledger.workspaces(ref.migration)}
    assert "the old one has another version" in notes['"b"']
    remove(old, "n0")
    harness.sync(ref)
    found = fact(harness, ref, "b", MOVED_FACT)
    assert (found["brought"], found["differing"]) == (1, 0)
    assert held(harness, old)["n0"] == "b"


@pytest.mark.slow
def test_s20_with_hold_a_record_made_in_the_new_store_is_listed_and_stays(harness: Harness, old: str, new: str) -> None:
    """Nothing is written to the old store; the list names it until its workspace has switched and serves it."""
    ref = half_way(harness, old, new, moved="hold")
    put(new, "n0", "b", 71)
    harness.sync(ref)
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert "n0" not in held(harness, old)
    assert held(harness, new)["n0"] == "b"
    told = fact(harness, ref, "b", STRANGERS_FACT)
    assert (told["count"], told["examples"]) == (1, ["'n0'"])


@pytest.mark.slow
def test_s17_s20_after_a_rollback_of_all_others_a_sync_brings_what_nobody_would_serve(
    harness: Harness, old: str, new: str
) -> None:
    """The rollback takes its own records alone; the one that had moved on is carried after it, and both ways end."""
    ref = half_way(harness, old, new)
    put(new, "n0", "a", 70)
    put(new, "n1", "a", 71)
    put(new, "n1", "b", 72)
    workspaces.roll_back(harness.runner, ref, ["a"], routes.settlement())
    assert (held(harness, old)["n0"], "n1" in held(harness, old)) == ("a", False)
    harness.sync(ref)
    assert held(harness, old)["n1"] == "b"
    waves.switch_wave(ref, [2])
    assert groups(harness, ref)['"b"'] is State.SWITCHED
    put(new, "n1", "b", 73)
    workspaces.roll_back(harness.runner, ref, ["b"], routes.settlement())
    assert held(harness, old) == {"a0": "a", "a1": "a", "b2": "b", "b3": "b", "b4": "b", "n0": "a", "n1": "b"}
    assert harness.records(old)[(IdKind.STRING, "n1")] == harness.records(new)[(IdKind.STRING, "n1")]


@pytest.mark.slow
def test_s20_a_record_new_in_the_old_store_that_moves_under_a_pass_is_carried_to_the_new_one(
    harness: Harness, old: str, new: str
) -> None:
    """The pass saw it come, or change, in the workspace that it then left; one that only came stays where it is."""
    ref = half_way(harness, old, new)
    put(old, "n0", "b", 70)
    put(old, "b2", "b", 71)
    put(old, "n1", "b", 72)

    def they_move() -> None:
        put(old, "n0", "a", 80)
        put(old, "b2", "a", 81)

    before(harness, {(steps.write_delta, 1): they_move})
    harness.sync(child(harness, ref, "b"))
    after = {"a0": "a", "a1": "a", "b2": "a", "b3": "b", "b4": "b", "n0": "a", "n1": "b"}
    assert held(harness, new) == held(harness, old) == after
    assert fact(harness, ref, "b", MOVED_FACT)["followed"] == 2
    harness.run(ref)
    assert harness.records(old) == harness.records(new)
    assert not ending.complete(harness.runner, ref).late


@pytest.mark.slow
def test_s14_s20_a_record_that_was_made_and_moved_unseen_is_a_late_one(harness: Harness, old: str, new: str) -> None:
    """Nobody can tell it from a write that missed the switch: it is not carried, and a person decides at the end."""
    ref = half_way(harness, old, new)
    put(old, "n0", "b", 70)
    put(old, "n0", "a", 80)
    harness.sync(ref)
    harness.run(ref)
    assert "n0" not in held(harness, new)
    with pytest.raises(DataDiffer, match=r"1 new.*n0"):
        ending.complete(harness.runner, ref)
