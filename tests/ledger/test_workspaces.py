from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ledger.conftest import OLD, Lease, SetClock, create, groups_of
from vecferry.errors import ConfigError, LeaseLost, NotFound, PlanRefused, UnsafeRoute
from vecferry.ledger import (
    DEFAULT_WORKSPACE,
    ENDED,
    LIVE,
    MISSING_WORKSPACE,
    Hold,
    Ledger,
    Migration,
    State,
    Workspace,
    workspace_key,
    workspace_value,
)
from vecferry.routing.states import can, derived

VALUES = [1, "1", True, ["1"], None, 1.5, "", {"from": "2026-01-01"}, "missing", "default"]


@pytest.fixture
def rolling(ledger: Ledger, migration: Migration) -> Migration:
    """A migration of three workspaces."""
    ledger.store_workspaces(migration.id, groups_of("a", "b", "c"))
    return migration


def move(ledger: Ledger, migration: Migration, number: int, target: State) -> None:
    found = ledger.workspaces(migration.id)[number - 1].state
    ledger.move_workspace(migration.id, number, [found], target, event="on")


def test_s19_groups_are_typed(ledger: Ledger, migration: Migration) -> None:
    """1, "1", true, a list, null and missing are six groups, and no text is taken for the two that have no value."""
    keys = [workspace_key(value) for value in VALUES]
    assert len({*keys, MISSING_WORKSPACE, DEFAULT_WORKSPACE}) == len(VALUES) + 2
    assert [workspace_value(key) for key in keys] == VALUES
    found = [Workspace(number, key, 1) for number, key in enumerate([*keys, MISSING_WORKSPACE], 1)]
    ledger.store_workspaces(migration.id, found)
    assert [one.key for one in ledger.workspaces(migration.id)] == [*keys, MISSING_WORKSPACE]
    assert ledger.workspace(migration.id, '"1"').number == 2
    for key in (MISSING_WORKSPACE, DEFAULT_WORKSPACE):
        with pytest.raises(ValueError, match="column 1"):
            workspace_value(key)


def test_workspaces_are_stored_once(ledger: Ledger, rolling: Migration, clock: SetClock) -> None:
    """The same groups again change nothing, though counts and states have moved on; other groups are refused."""
    move(ledger, rolling, 1, State.COPYING)
    before, trail = ledger.workspaces(rolling.id), ledger.audit()
    ledger.store_workspaces(rolling.id, [Workspace(one.number, one.key, 99) for one in groups_of("a", "b", "c")])
    assert (ledger.workspaces(rolling.id), ledger.audit()) == (before, trail)
    with pytest.raises(PlanRefused, match="other workspaces") as caught:
        ledger.store_workspaces(rolling.id, groups_of("a", "b"))
    assert "default group" in caught.value.advice


@pytest.mark.parametrize("found", [groups_of("a", "a"), [Workspace(1, '"a"', 1), Workspace(1, '"b"', 1)]])
def test_a_group_is_entered_once(ledger: Ledger, migration: Migration, found: list[Workspace]) -> None:
    """Two groups with one key or one number are a mistake, and nothing is stored."""
    with pytest.raises(ConfigError):
        ledger.store_workspaces(migration.id, found)
    assert ledger.workspaces(migration.id) == []


def test_the_migrations_state_is_that_of_its_workspaces(ledger: Ledger, rolling: Migration) -> None:
    """Each step of a workspace takes the migration's state with it, in the same transaction."""
    seen = []
    path = [(1, State.COPYING), (2, State.COPYING), (3, State.COPYING), (1, State.READY), (1, State.FROZEN)]
    for number, target in [
        *path,
        (1, State.SWITCHED),
        (2, State.SWITCHED),
        (3, State.SWITCHED),
        (2, State.ROLLED_BACK),
    ]:
        move(ledger, rolling, number, target)
        seen.append(ledger.migration(rolling.id).state.value)
    assert seen == ["PLANNED", "PLANNED", "COPYING", "COPYING", "FROZEN", *["SWITCHED"] * 4]


def test_a_rolling_migration_is_not_moved_past_its_workspaces(ledger: Ledger, rolling: Migration) -> None:
    """Its own state cannot be set: an abort with one workspace switched would strand that one."""
    move(ledger, rolling, 1, State.SWITCHED)
    with pytest.raises(UnsafeRoute, match="has workspaces"):
        ledger.transition(rolling.id, [State.SWITCHED], State.ABORTED, event="aborted")


def test_many_workspaces_move_together_or_not_at_all(ledger: Ledger, rolling: Migration) -> None:
    """One that is elsewhere, or unknown, holds all of them back; one entry tells of all that moved."""
    move(ledger, rolling, 2, State.SWITCHED)
    trail = ledger.audit()
    for numbers, error in (([1, 2, 3], UnsafeRoute), ([1, 9], NotFound), ([], NotFound)):
        with pytest.raises(error):
            ledger.move_workspaces(rolling.id, numbers, [State.PLANNED], State.ABORTED, event="aborted")
    assert ledger.audit() == trail
    ledger.move_workspaces(rolling.id, [1, 3], [State.PLANNED], State.COPYING, event="copy started")
    assert [one.number for one in ledger.workspaces(rolling.id, [State.COPYING])] == [1, 3]
    assert [entry.event for entry in ledger.audit()[len(trail) :]] == ["copy started"]


def test_work_goes_in_the_order_that_was_given(ledger: Ledger, rolling: Migration) -> None:
    """Those named come first, the others follow as before; an unknown one changes nothing."""
    ledger.order_workspaces(rolling.id, [3, 2])
    assert [one.number for one in ledger.workspaces(rolling.id)] == [3, 2, 1]
    ledger.order_workspaces(rolling.id, [1])
    assert [one.number for one in ledger.workspaces(rolling.id)] == [1, 3, 2]
    with pytest.raises(NotFound, match="no workspace 9"):
        ledger.order_workspaces(rolling.id, [2, 9])
    assert [one.number for one in ledger.workspaces(rolling.id)] == [1, 3, 2]


def test_attempts_notes_and_holds_are_kept(ledger: Ledger, rolling: Migration, clock: SetClock) -> None:
    """How often work began, how it ended, and whether runs are to leave the workspace alone."""
    clock.forward(4)
    assert [ledger.begin_attempt(rolling.id, 2) for _ in range(2)] == [1, 2]
    ledger.note_workspace(rolling.id, 2, "the target refused a row")
    ledger.hold_workspaces(rolling.id, [2, 3], Hold.SKIPPED)
    ledger.hold_workspaces(rolling.id, [3], Hold.PAUSED)
    first, second, third = ledger.workspaces(rolling.id)
    assert (first.attempts, first.note, first.hold) == (0, "", None)
    assert (second.attempts, second.note, second.hold) == (2, "the target refused a row", Hold.SKIPPED)
    assert (third.hold, third.changed_at) == (Hold.PAUSED, clock.now)
    ledger.hold_workspaces(rolling.id, [2], None)
    assert ledger.workspaces(rolling.id)[1].hold is None
    for call in (ledger.begin_attempt, lambda name, number: ledger.hold_workspaces(name, [1, number], Hold.PAUSED)):
        with pytest.raises(NotFound):
            call(rolling.id, 9)
    assert ledger.workspaces(rolling.id)[0].hold is None


def test_a_run_that_lost_its_lease_moves_no_workspace(
    ledger: Ledger, rolling: Migration, lease: Lease, clock: SetClock
) -> None:
    """Every change of a workspace with an expired token is refused."""
    clock.forward(61)
    trail = ledger.audit()
    name, token = rolling.id, lease.token
    for change in (
        lambda: ledger.move_workspace(name, 1, [State.PLANNED], State.COPYING, event="on", token=token),
        lambda: ledger.begin_attempt(name, 1, token),
        lambda: ledger.note_workspace(name, 1, "x", token),
        lambda: ledger.order_workspaces(name, [2], token),
        lambda: ledger.hold_workspaces(name, [1], Hold.PAUSED, token),
    ):
        with pytest.raises(LeaseLost):
            change()
    assert ledger.audit() == trail


def test_five_hundred_workspaces_are_stored_and_moved_at_once(ledger: Ledger) -> None:
    """A large run is a few statements, and its trail holds."""
    migration = create(ledger)
    ledger.claim_route("docs", OLD, migration.id)
    ledger.store_workspaces(migration.id, groups_of(*(f"tenant-{number}" for number in range(500))))
    ledger.move_workspaces(migration.id, range(1, 501), [State.PLANNED], State.COPYING, event="copy started")
    assert len(ledger.workspaces(migration.id, [State.COPYING])) == 500
    assert ledger.migration(migration.id).state is State.COPYING
    assert ledger.verify_audit() == len(ledger.audit())


STATES = st.lists(st.sampled_from(list(State)), min_size=1, max_size=6)


@given(STATES)
def test_the_derived_state_says_no_less_than_is_true(states: list[State]) -> None:
    """It has ended only when all have, it may be aborted only while every live one may, and it is one of theirs."""
    found = derived(states)
    assert found in states
    assert (found in LIVE) == any(state in LIVE for state in states)
    if can(found, State.ABORTED):
        assert all(can(state, State.ABORTED) or state in ENDED for state in states)
    if found is State.SWITCHED:
        assert not {State.FROZEN, State.SWITCHING, State.READS_NEW, State.ROLLED_BACK_UNMERGED} & set(states)


@given(STATES)
def test_the_derived_state_knows_no_order_and_no_number(states: list[State]) -> None:
    """Workspaces in one state are that state, whatever their number and order."""
    assert derived(states) is derived(states[::-1]) is derived(states * 2)
    assert derived(states[:1] * 3) is states[0]
