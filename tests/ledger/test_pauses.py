from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.ledger.conftest import NEW, OLD, SetClock, Start, create, groups_of
from vecferry.errors import ConfigError, LeaseLost, NotFound, UnsafeRoute
from vecferry.ledger import (
    DEFAULT_WORKSPACE,
    Answer,
    Holder,
    Lease,
    Ledger,
    Migration,
    Pause,
    Route,
    State,
    gates,
    migration_resource,
    placed,
)


def pause(ledger: Ledger, migration: Migration, lease: Lease | None, ttl_s: float = 30, **more: Any) -> Pause:
    return ledger.pause_writes("docs", migration.id, ttl_s, lease.token if lease else None, **more)


def commit(ledger: Ledger, migration: Migration, lease: Lease, **changes: Any) -> Route:
    """The commit within SWITCHING that would succeed, but for `changes`."""
    usual: dict[str, Any] = {
        "expected_epoch": 1,
        "to_url": NEW,
        "state_from": State.SWITCHING,
        "state_to": State.SWITCHING,
        "event": "committed",
    }
    return ledger.switch_route(migration.id, "docs", token=lease.token, **usual | changes)


def on(ledger: Ledger, migration: Migration, source: State, target: State) -> None:
    ledger.transition(migration.id, [source], target, event="on")


def writes(ledger: Ledger, workspace: str | None = None) -> str:
    found = ledger.ask_route("docs", workspace)
    assert found is not None
    return found.writes


def approved(ledger: Ledger, migration: Migration, **limits: Any) -> int:
    number = ledger.ask_approval(migration.id, {"lines": ["docs moves"]}, **limits)
    ledger.answer_approval(migration.id, number, Answer.APPROVED, "ann")
    return number


def test_s9_a_pause_and_the_state_come_together(
    ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock
) -> None:
    """Writes wait from the transaction that makes the migration FROZEN, and an application that asks is told so."""
    before = ledger.ask_route("docs")
    assert before is not None
    assert (before.writes, before.epoch, before.ttl_s, before.url, before.reads_url) == ("open", 1, None, OLD, OLD)
    held = pause(ledger, ready, lease)
    assert ledger.migration(ready.id).state is State.FROZEN
    clock.forward(10)
    asked = ledger.ask_route("docs")
    assert asked is not None
    assert (asked.writes, asked.epoch, asked.ttl_s, asked.pause) == ("paused", 1, 20, held)
    assert (held.returns_to, held.released_at, ledger.pause("docs")) == (State.READY, None, held)
    assert ledger.pauses(ready.id) == [held]
    assert ledger.ask_route("images") is None


def test_s9_a_pause_ends_by_itself(ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock) -> None:
    """At its end by the ledger's clock writes are open, whatever became of the coordinator."""
    held = pause(ledger, ready, lease, 30)
    clock.forward(29.9)
    assert writes(ledger) == "paused"
    clock.forward(0.1)
    assert writes(ledger) == "open"
    assert not held.holds(clock.now)
    with pytest.raises(UnsafeRoute, match="ended at 03:00:30 UTC"):
        ledger.require_pause("docs", held.token)


@pytest.mark.parametrize(
    ("source", "target"),
    [(State.FROZEN, State.READY), (State.FROZEN, State.READS_NEW), (State.ROLLBACK_FROZEN, State.SWITCHED)],
)
def test_s9_every_way_out_of_a_pause_releases_the_writes(
    ledger: Ledger, ready: Migration, lease: Lease, source: State, target: State
) -> None:
    """The step back and the release are one transaction, told as one after the other."""
    pause(ledger, ready, lease, state_to=source)
    on(ledger, ready, source, target)
    assert writes(ledger) == "open"
    assert [entry.event for entry in ledger.audit(ready.id)][-2:] == ["on", "writes released"]


@pytest.mark.parametrize("target", [State.ABORTED, State.COMPLETED])
def test_s9_the_end_of_a_migration_releases_whatever_it_paused(
    ledger: Ledger, ready: Migration, lease: Lease, target: State
) -> None:
    """A pause without a state of its own (a snapshot's) does not outlive its migration."""
    pause(ledger, ready, lease, state_to=None)
    assert (ledger.migration(ready.id).state, writes(ledger)) == (State.READY, "paused")
    on(ledger, ready, State.READY, target)
    assert writes(ledger) == "open"


def test_s12_on_the_way_to_the_switch_writes_stay_paused_until_the_release(
    ledger: Ledger, ready: Migration, lease: Lease
) -> None:
    """Neither SWITCHING nor SWITCHED lets writes go on: that is the last thing done, and doing it twice is harmless."""
    held = pause(ledger, ready, lease)
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    commit(ledger, ready, lease, pause_token=held.token)
    on(ledger, ready, State.SWITCHING, State.SWITCHED)
    assert writes(ledger) == "paused"
    assert ledger.release_writes("docs", held.token)
    trail = ledger.audit()
    assert not ledger.release_writes("docs", held.token)
    assert (writes(ledger), ledger.audit()) == ("open", trail)


def test_s9_unpause_releases_by_hand_whoever_holds_the_lease(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """No lease is asked for; who did it is kept, and the switch under that pause is refused."""
    held = pause(ledger, ready, lease)
    [released] = ledger.unpause(ready.id, by="ann")
    assert (released.token, writes(ledger)) == (held.token, "open")
    last = ledger.pause("docs")
    assert last is not None
    assert (last.released_by, last.released_at) == ("ann", last.paused_at)
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    with pytest.raises(UnsafeRoute, match="was released at 03:00:00 UTC by ann"):
        commit(ledger, ready, lease, pause_token=held.token)
    assert ledger.unpause(ready.id, by="bob") == []
    with pytest.raises(NotFound):
        ledger.unpause("docs-1", by="ann")


@pytest.mark.parametrize(
    ("left_s", "needs_s", "words"),
    [(30, 30, None), (29, 30, "ends in 29 s, 30 s needed"), (0, 0, "ended at"), (-5, 0, "ended at")],
)
def test_s12_a_switch_needs_a_pause_with_time_left(
    ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock, left_s: float, needs_s: float, words: str | None
) -> None:
    """A coordinator that stood still until its pause was over, or nearly, moves nothing."""
    held = pause(ledger, ready, lease, 40)
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    clock.forward(40 - left_s)
    if words is None:
        assert commit(ledger, ready, lease, pause_token=held.token, needs_s=needs_s).epoch == 2
        return
    trail = ledger.audit()
    with pytest.raises(UnsafeRoute, match=words) as caught:
        commit(ledger, ready, lease, pause_token=held.token, needs_s=needs_s)
    assert "pause again" in caught.value.advice
    route = ledger.route("docs")
    assert route is not None
    assert (route.url, route.epoch, ledger.audit()) == (OLD, 1, trail)


@pytest.mark.parametrize("state", [State.SWITCHING, State.ROLLBACK_SWITCHING])
def test_s12_no_switch_out_of_switching_without_a_pause(
    ledger: Ledger, ready: Migration, lease: Lease, state: State
) -> None:
    """Whoever forgets the pause is refused by the ledger."""
    on(ledger, ready, State.READY, state)
    with pytest.raises(UnsafeRoute, match="under a pause only"):
        commit(ledger, ready, lease, state_from=state, state_to=state)


def test_s12_the_token_of_a_replaced_pause_is_worth_nothing(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """After a new pause the old token neither switches, nor extends, nor releases."""
    first = pause(ledger, ready, lease)
    second = pause(ledger, ready, lease, state_to=None)
    assert second.token > first.token
    assert second.returns_to is State.READY
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    words = f"was replaced by {second.token}"
    with pytest.raises(UnsafeRoute, match=words):
        commit(ledger, ready, lease, pause_token=first.token)
    with pytest.raises(UnsafeRoute, match=words):
        ledger.extend_pause("docs", first.token, 30, lease.token)
    assert not ledger.release_writes("docs", first.token)
    assert writes(ledger) == "paused"
    assert commit(ledger, ready, lease, pause_token=second.token).epoch == 2


def test_s9_a_pause_is_extended_while_it_holds(ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock) -> None:
    """The new end counts from now; one that is over stays over, because writes may have gone on."""
    held = pause(ledger, ready, lease, 10)
    clock.forward(9)
    longer = ledger.extend_pause("docs", held.token, 10, lease.token)
    assert (longer.paused_until - clock.now).total_seconds() == 10
    clock.forward(9)
    assert writes(ledger) == "paused"
    clock.forward(1)
    with pytest.raises(UnsafeRoute, match="ended"):
        ledger.extend_pause("docs", held.token, 10, lease.token)


@pytest.mark.parametrize("ttl_s", [0, -1, float("inf"), float("nan")])
def test_s9_a_pause_has_an_end(ledger: Ledger, ready: Migration, lease: Lease, ttl_s: float) -> None:
    """There is no pause without one, or with one that is past."""
    with pytest.raises(ConfigError, match="is none"):
        pause(ledger, ready, lease, ttl_s)
    assert ledger.pause("docs") is None


def test_s1_a_fenced_run_pauses_nothing(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """The token of a lease that was taken over neither pauses nor extends."""
    held = pause(ledger, ready, lease)
    ledger.take_over([migration_resource(ready.id)], Holder.here(), 60)
    with pytest.raises(LeaseLost):
        ledger.extend_pause("docs", held.token, 30, lease.token)
    on(ledger, ready, State.FROZEN, State.READY)
    with pytest.raises(LeaseLost):
        pause(ledger, ready, lease)
    assert writes(ledger) == "open"


def test_s9_a_pause_from_another_state_or_of_anothers_route_is_refused(
    ledger: Ledger, ready: Migration, lease: Lease
) -> None:
    """Nothing waits, and no token was given out."""
    on(ledger, ready, State.READY, State.VERIFYING)
    with pytest.raises(UnsafeRoute, match="is VERIFYING"):
        pause(ledger, ready, lease)
    with pytest.raises(UnsafeRoute, match=f"belongs to migration {ready.id}"):
        pause(ledger, create(ledger), None)
    with pytest.raises(NotFound):
        ledger.pause_writes("images", ready.id, 30, lease.token)
    assert (ledger.pause("docs"), writes(ledger)) == (None, "open")
    on(ledger, ready, State.VERIFYING, State.READY)
    assert pause(ledger, ready, lease).token == 1


def test_s7_one_yes_is_good_for_one_pause_and_its_switch(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """It is used as writes are paused and held against the facts again at the commit; a second pause asks anew."""
    number = approved(ledger, ready)
    held = pause(ledger, ready, lease, approval=number)
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    ledger.set_fact(ready.id, "verdict", {"state": "different"})
    with pytest.raises(UnsafeRoute, match="another verdict"):
        commit(ledger, ready, lease, pause_token=held.token)
    on(ledger, ready, State.SWITCHING, State.FROZEN)
    on(ledger, ready, State.FROZEN, State.READY)
    with pytest.raises(UnsafeRoute, match="another verdict"):
        pause(ledger, ready, lease, approval=number)
    again = approved(ledger, ready)
    assert again == number + 1
    held = pause(ledger, ready, lease, approval=again)
    on(ledger, ready, State.FROZEN, State.READY)
    with pytest.raises(UnsafeRoute, match="was used at"):
        pause(ledger, ready, lease, approval=again)


@pytest.mark.parametrize(("rows", "allowed"), [(5, True), (6, False), (None, False)])
def test_s7_the_last_delta_is_no_larger_than_what_was_allowed(
    ledger: Ledger, ready: Migration, lease: Lease, rows: int | None, allowed: bool
) -> None:
    """A delta above the limit of the form, or one whose size nobody tells, does not pass the commit."""
    held = pause(ledger, ready, lease, approval=approved(ledger, ready, largest_delta_rows=5))
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    if allowed:
        assert commit(ledger, ready, lease, pause_token=held.token, delta_rows=rows).epoch == 2
        return
    with pytest.raises(UnsafeRoute, match="allows a last delta of 5 rows"):
        commit(ledger, ready, lease, pause_token=held.token, delta_rows=rows)


def test_s13_a_pause_that_replaces_a_living_one_keeps_its_yes_and_its_way_back(
    ledger: Ledger, ready: Migration, lease: Lease
) -> None:
    """A run that goes on after a crash pauses anew under the same approval; after a release it has none."""
    number = approved(ledger, ready)
    first = pause(ledger, ready, lease, approval=number)
    second = pause(ledger, ready, lease, state_to=None)
    assert (second.approval, second.returns_to) == (first.approval, first.returns_to) == (number, State.READY)
    ledger.release_writes("docs", second.token)
    third = pause(ledger, ready, lease, state_to=None)
    assert (third.approval, third.returns_to) == (None, None)


def test_s17_a_way_back_under_the_same_pause_begins_without_the_yes_to_the_switch(
    ledger: Ledger, ready: Migration, lease: Lease
) -> None:
    """Where the check after the switch failed, the way back is paused anew: it leads to SWITCHED, under no yes."""
    held = pause(ledger, ready, lease, approval=approved(ledger, ready))
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    commit(ledger, ready, lease, pause_token=held.token, state_to=State.SWITCHED)
    back = pause(ledger, ready, lease, state_from=[State.SWITCHED], state_to=State.ROLLBACK_FROZEN)
    assert (back.approval, back.returns_to) == (None, State.SWITCHED)
    on(ledger, ready, State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING)
    way = {"expected_epoch": 2, "to_url": OLD, "state_from": State.ROLLBACK_SWITCHING, "state_to": State.ROLLED_BACK}
    assert commit(ledger, ready, lease, pause_token=back.token, **way).url == OLD


def test_s9_nothing_of_another_migrations_pause_is_taken_over(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """A pause that an ended migration left behind lends its yes to nobody."""
    left = pause(ledger, ready, lease, approval=approved(ledger, ready), state_to=State.SWITCHING)
    on(ledger, ready, State.SWITCHING, State.ROLLED_BACK)
    assert ledger.pause("docs") == left
    other = create(ledger)
    ledger.claim_route("docs", OLD, other.id)
    taken = pause(ledger, other, None, state_to=None)
    assert (taken.approval, taken.returns_to, taken.migration) == (None, None, other.id)


def test_s19_a_workspace_is_paused_alone(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """Its own writes wait and its own state is FROZEN; the default group is paused as the whole collection."""
    groups = groups_of("a", "b")
    ledger.store_workspaces(ready.id, [*groups, type(groups[0])(3, DEFAULT_WORKSPACE, 5)])
    ledger.move_workspaces(ready.id, [1, 2, 3], [State.PLANNED], State.READY, event="verified")
    held = pause(ledger, ready, lease, workspace='"a"')
    assert [one.state for one in ledger.workspaces(ready.id)] == [State.FROZEN, State.READY, State.READY]
    assert [writes(ledger, key) for key in ('"a"', '"b"', None, '"new"')] == ["paused", "open", "open", "open"]
    assert ledger.release_writes("docs", held.token, workspace='"a"')
    whole = pause(ledger, ready, lease, workspace=DEFAULT_WORKSPACE)
    assert whole.workspace is None
    assert [writes(ledger, key) for key in ('"a"', '"b"', None, '"new"')] == ["paused"] * 4
    ledger.move_workspace(ready.id, 3, [State.FROZEN], State.READY, event="undone")
    assert writes(ledger) == "open"


def test_s9_an_answer_is_of_one_instant(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """What is asked in two statements is not torn by a switch between them: old route, released pause."""
    held = pause(ledger, ready, lease)
    on(ledger, ready, State.FROZEN, State.SWITCHING)
    with ledger._read() as connection:
        before = placed.effective(connection, "docs", None)
        commit(ledger, ready, lease, pause_token=held.token)
        ledger.release_writes("docs", held.token)
        row = gates.find(connection, "docs", None)
        assert placed.effective(connection, "docs", None) == before
        assert row is not None
        assert gates.pause_of(row) == held
    assert ledger.route("docs") != before


PAUSE = """
import sys
from vecferry.ledger import Ledger
file, migration, token, approval = sys.argv[1:]
Ledger.open(file).pause_writes("docs", migration, 600, int(token), approval=int(approval))
"""


@pytest.mark.parametrize(("point", "paused"), [("ledger.pausing", False), ("ledger.paused", True)])
def test_s9_a_kill_around_the_pause_leaves_all_or_nothing(place: str, start: Start, point: str, paused: bool) -> None:
    """State, pause and used approval are there together or not at all."""
    ledger = Ledger.open(place)
    migration = create(ledger)
    lease = ledger.acquire([migration_resource(migration.id)], Holder.here(), 600)
    ledger.claim_route("docs", OLD, migration.id, lease.token)
    on(ledger, migration, State.PLANNED, State.READY)
    number = approved(ledger, migration)
    killed: subprocess.Popen[str] = start(
        PAUSE, place, migration.id, lease.token, number, VECFERRY_FAILPOINTS=f"{point}=kill"
    )
    assert killed.wait(60) == -9
    approval = ledger.approval(migration.id)
    assert approval is not None
    assert (ledger.migration(migration.id).state is State.FROZEN) == paused
    assert (writes(ledger) == "paused") == (approval.used_at is not None) == paused
    assert ledger.verify_audit() == len(ledger.audit())
