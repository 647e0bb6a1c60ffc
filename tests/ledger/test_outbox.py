from __future__ import annotations

import uuid
from itertools import pairwise
from pathlib import Path

import pytest

from tests.ledger.conftest import NEW, Lease, SetClock, create, groups_of
from vecferry.errors import UnsafeRoute
from vecferry.ledger import Ledger, Migration, State


def test_each_step_is_told_with_an_id_of_its_own(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """The event names the state, its payload says from where, when and why, and its id is a UUID."""
    ledger.transition(migration.id, [State.PLANNED], State.COPYING, event="copy started", detail={"workers": 2})
    ledger.transition(migration.id, [State.COPYING], State.CATCHING_UP, event="copied")
    first, second = ledger.unsent_events()
    assert (first.event, second.event) == ("vecferry.migration.copying", "vecferry.migration.catching-up")
    assert first.payload == {
        "migration": migration.id,
        "event": "copy started",
        "at": "2026-11-21T03:00:00.000000+00:00",
        "from": "PLANNED",
        "to": "COPYING",
        "detail": {"workers": 2},
    }
    assert (first.migration, first.at, first.sent_at) == (migration.id, clock.now, None)
    assert len({str(uuid.UUID(event.id)) for event in (first, second)}) == 2


def test_a_step_that_was_refused_is_not_told(ledger: Ledger, migration: Migration) -> None:
    """What the ledger did not do is in no outbox."""
    with pytest.raises(UnsafeRoute):
        ledger.transition(migration.id, [State.READY], State.FROZEN, event="frozen")
    assert ledger.unsent_events() == []


def test_what_was_sent_is_not_sent_again(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """Events come oldest first, as many as asked for, until they are marked; marking twice keeps the first time."""
    path = [State.PLANNED, State.COPYING, State.CATCHING_UP, State.VERIFYING]
    for source, target in pairwise(path):
        ledger.transition(migration.id, [source], target, event="on")
    [first, second] = ledger.unsent_events(limit=2)
    ledger.mark_sent([first.id])
    assert [event.id for event in ledger.unsent_events(limit=1)] == [second.id]
    clock.forward(5)
    ledger.mark_sent([first.id, second.id])
    assert len(ledger.unsent_events()) == 1
    ledger.mark_sent([])
    assert len(ledger.unsent_events()) == 1


def test_a_switch_of_the_route_is_told(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """The commit within SWITCHING tells that the route moved, the step after it that the migration is switched."""
    pause = ledger.pause_writes("docs", ready.id, 30, lease.token)
    ledger.transition(ready.id, [State.FROZEN], State.SWITCHING, event="final check passed", token=lease.token)
    ledger.switch_route(
        ready.id, "docs", expected_epoch=1, to_url=NEW, state_from=State.SWITCHING, state_to=State.SWITCHING,
        event="committed", token=lease.token, pause_token=pause.token,
    )  # fmt: skip
    ledger.transition(ready.id, [State.SWITCHING], State.SWITCHED, event="switched", token=lease.token)
    events = ledger.unsent_events()
    assert [event.event.removeprefix("vecferry.migration.") for event in events] == [
        "ready",
        "frozen",
        "switching",
        "route-moved",
        "switched",
    ]
    assert (events[3].payload["detail"]["url"], events[3].payload["detail"]["epoch"]) == (NEW, 2)


def test_a_workspaces_step_is_told_and_what_it_makes_of_the_migration(ledger: Ledger, migration: Migration) -> None:
    """One event names the workspaces; another follows where the migration's own state changes by it."""
    ledger.store_workspaces(migration.id, groups_of("a", "b"))
    ledger.move_workspace(migration.id, 1, [State.PLANNED], State.COPYING, event="copy started")
    ledger.move_workspace(migration.id, 2, [State.PLANNED], State.COPYING, event="copy started")
    events = ledger.unsent_events()
    assert [event.event for event in events] == [
        "vecferry.workspace.copying",
        "vecferry.workspace.copying",
        "vecferry.migration.copying",
    ]
    assert events[1].payload["detail"] == {"workspaces": [{"number": 2, "key": '"b"', "from": "PLANNED"}]}


def test_an_events_id_is_that_of_its_entry_in_this_ledger(tmp_path: Path, ledger: Ledger, migration: Migration) -> None:
    """The same step in two ledgers has two ids, so that one server may hear of both."""
    other = Ledger.open(tmp_path / "other.db", lambda: migration.created_at)
    twin = create(other)
    for one, name in ((ledger, migration.id), (other, twin.id)):
        one.transition(name, [State.PLANNED], State.ABORTED, event="aborted")
    [mine], [theirs] = ledger.unsent_events(), other.unsent_events()
    assert mine.id != theirs.id
    assert mine.number == ledger.audit()[-1].number
