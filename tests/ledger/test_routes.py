from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.ledger.conftest import NEW, OLD, SetClock, Start, create
from vecferry.errors import BadOption, LeaseLost, NotFound, PlanRefused, UnsafeRoute
from vecferry.ledger import Answer, Holder, Lease, Ledger, Migration, Route, State, migration_resource


def switch(ledger: Ledger, migration: Migration, token: int | None, **changes: Any) -> Route:
    """The switch that would succeed, but for `changes`."""
    usual: dict[str, Any] = {
        "expected_epoch": 1,
        "to_url": NEW,
        "state_from": State.READY,
        "state_to": State.SWITCHED,
        "event": "switched",
        "alias": {"alias": "docs", "collection": "new"},
    }
    return ledger.switch_route(migration.id, "docs", token=token, **usual | changes)


def approved(ledger: Ledger, migration: Migration) -> int:
    number = ledger.ask_approval(migration.id, {"lines": ["docs moves"]})
    ledger.answer_approval(migration.id, number, Answer.APPROVED, "ann")
    return number


def test_a_route_starts_at_the_old_store(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """The first claim registers the old store at epoch 1; a second one by the same migration changes nothing."""
    assert ledger.route("docs") is None
    route = ledger.claim_route("docs", OLD, migration.id)
    assert route == Route("docs", OLD, 1, None, migration.id, clock.now, None, None)
    clock.forward(1)
    assert ledger.claim_route("docs", OLD, migration.id) == route == ledger.route("docs")
    assert [entry.event for entry in ledger.audit()].count("route registered") == 1


def test_one_collection_has_one_spelling(ledger: Ledger, migration: Migration) -> None:
    """A URL that is written otherwise names the same route; one with a secret is refused."""
    ledger.claim_route("docs", "QDRANT://Host:6334/docs", migration.id)
    assert [route.name for route in ledger.routes_naming("qdrant://host:6334/docs")] == ["docs"]
    with pytest.raises(BadOption):
        ledger.claim_route("images", "qdrant://host/images?token=x", migration.id)


def test_a_route_of_another_live_migration_is_refused(ledger: Ledger, ready: Migration) -> None:
    """Two live migrations never share a route; the advice names the one that has it."""
    other = create(ledger)
    with pytest.raises(PlanRefused, match=ready.id) as caught:
        ledger.claim_route("docs", OLD, other.id)
    assert "--route" in caught.value.advice


def test_a_route_passes_on_when_its_migration_has_ended(ledger: Ledger, ready: Migration) -> None:
    """After an abort another migration of the same source may have the route, at the same epoch."""
    ledger.transition(ready.id, [State.READY], State.ABORTED, event="aborted")
    other = create(ledger)
    route = ledger.claim_route("docs", OLD, other.id)
    assert (route.migration, route.url, route.epoch) == (other.id, OLD, 1)


def test_a_name_that_leads_elsewhere_is_refused(ledger: Ledger, ready: Migration) -> None:
    """A name is not moved to another source by registering it again."""
    ledger.transition(ready.id, [State.READY], State.ABORTED, event="aborted")
    other = create(ledger)
    with pytest.raises(PlanRefused, match="leads to") as caught:
        ledger.claim_route("docs", "numpy:///elsewhere", other.id)
    assert "--route" in caught.value.advice


def test_a_switch_moves_everything_at_once(ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock) -> None:
    """Route, epoch, alias intent, state, approval and trail change together."""
    number = approved(ledger, ready)
    clock.forward(5)
    route = switch(ledger, ready, lease.token, approval=number, detail={"pause_s": 0})
    alias = {"alias": "docs", "collection": "new"}
    assert route == Route("docs", NEW, 2, OLD, ready.id, clock.now, alias, None) == ledger.route("docs")
    assert ledger.migration(ready.id).state is State.SWITCHED
    approval = ledger.approval(ready.id, number)
    assert approval is not None
    assert approval.used_at == clock.now
    last = ledger.audit(ready.id)[-1]
    assert (last.event, last.detail["pause_s"], last.detail["epoch"]) == ("switched", 0, 2)


def test_the_way_back_is_a_switch_too(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """Switching back serves the old store again under a new epoch; routes name a collection only while it serves."""
    switch(ledger, ready, lease.token)
    assert [route.name for route in ledger.routes_naming(NEW)] == ["docs"]
    back = {"expected_epoch": 2, "to_url": OLD, "state_from": State.SWITCHED, "state_to": State.ROLLED_BACK}
    route = switch(ledger, ready, lease.token, **back, alias=None)
    assert (route.url, route.previous_url, route.epoch, route.alias) == (OLD, NEW, 3, None)
    assert ledger.routes_naming(NEW) == []
    assert ledger.routes() == ledger.routes_naming(OLD) == [route]


def unchanged(ledger: Ledger, ready: Migration) -> bool:
    route = ledger.route("docs")
    assert route is not None
    return (route.url, route.epoch, ledger.migration(ready.id).state) == (OLD, 1, State.READY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expected_epoch": 2}, "has epoch 1, not 2"),
        ({"state_from": State.FROZEN}, "is READY, not FROZEN"),
        ({"approval": 1}, "was not answered"),
    ],
)
def test_a_switch_under_other_conditions_is_refused(
    ledger: Ledger, ready: Migration, lease: Lease, changes: dict[str, Any], words: str
) -> None:
    """A wrong epoch, a wrong state or an open approval is named, and nothing moves."""
    ledger.ask_approval(ready.id, {"lines": []})
    before = ledger.audit()
    with pytest.raises(UnsafeRoute, match=words):
        switch(ledger, ready, lease.token, **changes)
    assert unchanged(ledger, ready)
    assert ledger.audit() == before


def test_a_switch_by_a_run_that_was_fenced_is_refused(ledger: Ledger, ready: Migration, lease: Lease) -> None:
    """The token of a lease that was taken over does not move a route."""
    ledger.take_over([migration_resource(ready.id)], Holder.here(), 60)
    with pytest.raises(LeaseLost):
        switch(ledger, ready, lease.token)
    assert unchanged(ledger, ready)


def test_a_paused_run_does_not_switch_after_its_lease_expired(
    ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock
) -> None:
    """A process that stood still beyond its lease is refused although nobody took it over."""
    clock.forward(60)
    with pytest.raises(LeaseLost, match="expired"):
        switch(ledger, ready, lease.token)
    assert unchanged(ledger, ready)


def test_a_trial_is_never_switched(ledger: Ledger) -> None:
    """A migration that moved only the first rows cannot move a route."""
    trial = create(ledger, limit=10)
    ledger.claim_route("docs", OLD, trial.id)
    ledger.transition(trial.id, [State.PLANNED], State.READY, event="verified")
    with pytest.raises(UnsafeRoute, match="trial"):
        switch(ledger, trial, None)
    assert unchanged(ledger, trial)


def test_a_migration_moves_only_its_own_route(ledger: Ledger, ready: Migration) -> None:
    """A route of another migration, and one that does not exist, are refused."""
    other = create(ledger)
    ledger.transition(other.id, [State.PLANNED], State.READY, event="verified")
    with pytest.raises(UnsafeRoute, match=ready.id):
        switch(ledger, other, None)
    with pytest.raises(NotFound):
        ledger.confirm_alias("images", 1)


def test_an_alias_is_confirmed_for_its_own_epoch(
    ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock
) -> None:
    """The time of reading back is kept, once; a confirmation that comes after another switch is refused."""
    switch(ledger, ready, lease.token)
    ledger.confirm_alias("docs", 2)
    confirmed_at = clock.now
    clock.forward(1)
    ledger.confirm_alias("docs", 2)
    route = ledger.route("docs")
    assert route is not None
    assert route.alias_confirmed_at == confirmed_at
    with pytest.raises(UnsafeRoute, match="has epoch 2"):
        ledger.confirm_alias("docs", 1)


def test_an_alias_that_was_never_meant_is_not_confirmed(ledger: Ledger, ready: Migration) -> None:
    """A route without an alias intent has nothing to confirm."""
    with pytest.raises(UnsafeRoute):
        ledger.confirm_alias("docs", 1)


SWITCH = f"""
import sys
from vecferry.ledger import Ledger, State
file, migration, token, approval = sys.argv[1:]
Ledger.open(file).switch_route(
    migration, "docs", expected_epoch=1, to_url="{NEW}", state_from=State.READY, state_to=State.SWITCHED,
    event="switched", token=int(token), approval=int(approval), alias={{"alias": "docs"}})
"""


@pytest.mark.parametrize(("point", "moved"), [("ledger.switching", False), ("ledger.switched", True)])
def test_a_kill_around_the_commit_leaves_all_or_nothing(place: str, start: Start, point: str, moved: bool) -> None:
    """Killed before the commit nothing has moved, after it everything has; the trail holds either way."""
    ledger = Ledger.open(place)
    migration = create(ledger)
    lease = ledger.acquire([migration_resource(migration.id)], Holder.here(), 600)
    ledger.claim_route("docs", OLD, migration.id, lease.token)
    ledger.transition(migration.id, [State.PLANNED], State.READY, event="verified")
    number = approved(ledger, migration)
    killed: subprocess.Popen[str] = start(
        SWITCH, place, migration.id, lease.token, number, VECFERRY_FAILPOINTS=f"{point}=kill"
    )
    assert killed.wait(60) == -9
    route, approval = ledger.route("docs"), ledger.approval(migration.id, number)
    assert route is not None
    assert approval is not None
    assert (route.url, route.epoch) == ((NEW, 2) if moved else (OLD, 1))
    assert (route.alias is not None) == (approval.used_at is not None) == moved
    assert (ledger.migration(migration.id).state is State.SWITCHED) == moved
    assert (ledger.audit(migration.id)[-1].event == "switched") == moved
    assert ledger.verify_audit() == len(ledger.audit())
    if not moved:
        assert switch(ledger, migration, lease.token, approval=number).epoch == 2
