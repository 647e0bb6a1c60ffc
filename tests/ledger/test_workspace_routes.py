from __future__ import annotations

from typing import Any

import pytest

from tests.ledger.conftest import NEW, OLD, Lease, create, groups_of
from vecferry.errors import PlanRefused, UnsafeRoute
from vecferry.ledger import DEFAULT_WORKSPACE, Answer, Ledger, Migration, Route, State, Workspace

A, B, NOBODY = '"a"', '"b"', '"unknown"'


@pytest.fixture
def rolling(ledger: Ledger, ready: Migration) -> Migration:
    """Two workspaces and the default group, all ready to be switched."""
    ledger.store_workspaces(ready.id, [*groups_of("a", "b"), Workspace(3, DEFAULT_WORKSPACE, 5)])
    ledger.move_workspaces(ready.id, [1, 2, 3], [State.PLANNED], State.READY, event="verified")
    return ready


def switch(ledger: Ledger, migration: Migration, workspace: str, **changes: Any) -> Route:
    usual: dict[str, Any] = {
        "expected_epoch": 1,
        "to_url": NEW,
        "state_from": State.READY,
        "state_to": State.SWITCHED,
        "event": "workspace switched",
        "token": None,
    }
    return ledger.switch_route(migration.id, "docs", workspace=workspace, **usual | changes)


def back(ledger: Ledger, migration: Migration, workspace: str, epoch: int) -> Route:
    return switch(
        ledger, migration, workspace, to_url=OLD, expected_epoch=epoch, state_from=State.SWITCHED,
        state_to=State.ROLLED_BACK,
    )  # fmt: skip


def urls(ledger: Ledger, *keys: str | None) -> list[str]:
    found = [ledger.route("docs", key) for key in keys]
    return [route.url for route in found if route is not None]


def states(ledger: Ledger, migration: Migration) -> list[State]:
    return [one.state for one in ledger.workspaces(migration.id)]


def approved(ledger: Ledger, migration: Migration, **limits: Any) -> int:
    number = ledger.ask_approval(migration.id, {"lines": ["workspaces move"]}, **limits)
    ledger.answer_approval(migration.id, number, Answer.APPROVED, "ann")
    return number


def test_s21_a_workspace_moves_alone(ledger: Ledger, rolling: Migration) -> None:
    """Its route and state move with an epoch of its own; the others and groups nobody knows stay at the old store."""
    route = switch(ledger, rolling, A)
    assert (route.name, route.workspace, route.epoch, route.previous_url) == ("docs", A, 2, OLD)
    assert urls(ledger, A, B, NOBODY, DEFAULT_WORKSPACE, None) == [NEW, OLD, OLD, OLD, OLD]
    assert states(ledger, rolling) == [State.SWITCHED, State.READY, State.READY]
    assert ledger.workspace_routes("docs") == [route]
    asked = ledger.ask_route("docs", A)
    assert asked is not None
    assert (asked.url, asked.epoch, asked.workspace) == (NEW, 2, A)


def test_s21_the_default_group_takes_the_unknown_along_and_nobody_else(ledger: Ledger, rolling: Migration) -> None:
    """When it moves, a workspace that was left behind stays where it was."""
    switch(ledger, rolling, A)
    switch(ledger, rolling, DEFAULT_WORKSPACE)
    assert urls(ledger, A, B, NOBODY, DEFAULT_WORKSPACE, None) == [NEW, OLD, NEW, NEW, NEW]
    left = ledger.route("docs", B)
    assert left is not None
    assert switch(ledger, rolling, B, expected_epoch=left.epoch).url == NEW
    assert states(ledger, rolling) == [State.SWITCHED] * 3


def test_a_workspace_goes_back_while_the_others_stay(ledger: Ledger, rolling: Migration) -> None:
    """A partial rollback moves one entry, whose epoch goes on growing."""
    for key in (A, B):
        switch(ledger, rolling, key)
    assert back(ledger, rolling, A, 2).epoch == 3
    assert urls(ledger, A, B) == [OLD, NEW]
    assert ledger.migration(rolling.id).state is State.SWITCHED


def test_s23_a_collection_that_serves_one_workspace_is_named(ledger: Ledger, rolling: Migration) -> None:
    """Whoever wants to drop it sees the workspaces that it serves, not only whole collections."""
    switch(ledger, rolling, A)
    assert [(route.name, route.workspace) for route in ledger.routes_naming(NEW)] == [("docs", A)]
    assert [(route.name, route.workspace) for route in ledger.routes_naming(OLD)] == [("docs", None)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expected_epoch": 2}, "has epoch 1, not 2"),
        ({"state_from": State.FROZEN}, "is READY, not FROZEN"),
        ({"alias": {"alias": "docs"}}, "an alias serves a whole collection"),
        ({"state_from": State.SWITCHING}, "under a pause only"),
    ],
)
def test_s21_a_workspaces_switch_under_other_conditions_is_refused(
    ledger: Ledger, rolling: Migration, changes: dict[str, Any], words: str
) -> None:
    """Nothing moves, and nothing is told."""
    trail = ledger.audit()
    with pytest.raises(UnsafeRoute, match=words):
        switch(ledger, rolling, A, **changes)
    assert (ledger.workspace_routes("docs"), ledger.audit()) == ([], trail)


def test_a_rolling_migration_does_not_move_as_a_whole(ledger: Ledger, rolling: Migration) -> None:
    """The route of the whole moves with the default group only."""
    with pytest.raises(UnsafeRoute, match="has workspaces"):
        ledger.switch_route(
            rolling.id, "docs", expected_epoch=1, to_url=NEW, state_from=State.READY, state_to=State.SWITCHED,
            event="switched", token=None,
        )  # fmt: skip
    assert urls(ledger, None) == [OLD]


def test_s15_reads_move_before_writes(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """In READS_NEW the new store answers reads, the old one takes writes; the switch of the writes ends that."""
    moved = ledger.move_reads(
        ready.id, "docs", expected_epoch=1, to_url=NEW, state_from=State.READY, state_to=State.READS_NEW,
        event="reads moved", token=lease.token,
    )  # fmt: skip
    assert (moved.url, moved.reads_url, moved.epoch) == (OLD, NEW, 2)
    asked = ledger.ask_route("docs")
    assert asked is not None
    assert (asked.url, asked.reads_url) == (OLD, NEW)
    assert [route.name for route in ledger.routes_naming(NEW)] == ["docs"]
    pause = ledger.pause_writes("docs", ready.id, 30, lease.token)
    assert pause.returns_to is State.READS_NEW
    ledger.transition(ready.id, [State.FROZEN], State.SWITCHING, event="final check passed")
    switched = ledger.switch_route(
        ready.id, "docs", expected_epoch=2, to_url=NEW, state_from=State.SWITCHING, state_to=State.SWITCHED,
        event="switched", token=lease.token, pause_token=pause.token,
    )  # fmt: skip
    assert (switched.url, switched.reads_url, switched.epoch) == (NEW, None, 3)


def test_s15_reads_go_back_to_where_writes_go(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """READS_NEW is left with a new epoch, and by the epoch that was expected only."""
    way = {"event": "reads moved", "token": lease.token}
    ledger.move_reads(
        ready.id, "docs", expected_epoch=1, to_url=NEW, state_from=State.READY, state_to=State.READS_NEW, **way
    )
    home: dict[str, Any] = {"to_url": None, "state_from": State.READS_NEW, "state_to": State.READY, **way}
    with pytest.raises(UnsafeRoute, match="has epoch 2, not 1"):
        ledger.move_reads(ready.id, "docs", expected_epoch=1, **home)
    returned = ledger.move_reads(ready.id, "docs", expected_epoch=2, **home)
    assert (returned.url, returned.reads_url, returned.epoch) == (OLD, None, 3)
    assert ledger.routes_naming(NEW) == []


def test_s15_reads_of_one_workspace_move_alone(ledger: Ledger, rolling: Migration) -> None:
    """So do those of the default group: workspaces that were not moved keep theirs."""
    way: dict[str, Any] = {"state_from": State.READY, "state_to": State.READS_NEW, "event": "reads moved"}
    for key in (A, DEFAULT_WORKSPACE):
        ledger.move_reads(rolling.id, "docs", expected_epoch=1, to_url=NEW, token=None, workspace=key, **way)
    asked = [ledger.ask_route("docs", key) for key in (A, B, NOBODY)]
    assert [one.reads_url for one in asked if one is not None] == [NEW, OLD, NEW]
    assert urls(ledger, A, B, NOBODY) == [OLD, OLD, OLD]
    assert [(route.name, route.workspace) for route in ledger.routes_naming(NEW)] == [("docs", None), ("docs", A)]


def test_a_route_whose_workspaces_are_apart_is_not_claimed_anew(ledger: Ledger, rolling: Migration) -> None:
    """The next migration takes a route whose parts are all in one place; its epoch stays ahead of all of theirs."""
    for key in (A, B, DEFAULT_WORKSPACE):
        switch(ledger, rolling, key)
    back(ledger, rolling, A, 2)
    ledger.move_workspaces(rolling.id, [2, 3], [State.SWITCHED], State.COMPLETED, event="completed")
    assert ledger.migration(rolling.id).state is State.COMPLETED
    other = create(ledger)
    with pytest.raises(PlanRefused, match='workspace "a" of route docs leads to'):
        ledger.claim_route("docs", NEW, other.id)
    ledger.move_workspace(rolling.id, 1, [State.ROLLED_BACK], State.SWITCHED, event="again")
    switch(ledger, rolling, A, expected_epoch=3, state_from=State.SWITCHED, state_to=State.COMPLETED)
    claimed = ledger.claim_route("docs", NEW, other.id)
    assert (claimed.migration, claimed.url, claimed.epoch) == (other.id, NEW, 5)
    assert ledger.workspace_routes("docs") == []
    assert urls(ledger, A, B, NOBODY) == [NEW] * 3
