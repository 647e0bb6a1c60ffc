from __future__ import annotations

import re

import pytest

from tests.ledger.conftest import NEW, OLD, SetClock, create, groups_of, receipt, two_slices
from vecferry.errors import BadOption, DataDiffer, LeaseLost, NotFound, PlanRefused, UnsafeRoute
from vecferry.ledger import Direction, Lease, Ledger, Migration, State
from vecferry.model import Slice


def test_a_migration_is_read_as_it_was_created(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """Every field comes back, with the state PLANNED and the clock's time."""
    assert ledger.migration(migration.id) == migration
    assert (migration.state, migration.created_at) == (State.PLANNED, clock.now)
    assert (migration.source_url, migration.target_url, migration.config) == (OLD, NEW, {"batch_rows": 1000})


@pytest.mark.parametrize(
    ("name", "start"), [("docs", "docs"), ("Doçs & Ünits", "docs-units"), ("日本", "m"), ("../x y", "x-y"), ("", "m")]
)
def test_an_id_can_be_typed_whatever_the_name_is(ledger: Ledger, name: str, start: str) -> None:
    """An id is made of lower-case letters, digits and hyphens: the name's start, the day, four by chance."""
    assert re.fullmatch(rf"{start}-20261121-[a-z0-9]{{4}}", create(ledger, name).id)


def test_ids_differ_for_one_name_and_day(ledger: Ledger) -> None:
    """Many migrations of one collection on one day have ids of their own."""
    assert len({create(ledger).id for _ in range(30)}) == 30


def test_the_start_of_an_id_is_enough(ledger: Ledger, migration: Migration) -> None:
    """A start that only one id has names that migration."""
    create(ledger, "images")
    assert ledger.migration("doc") == migration


def test_a_start_that_two_ids_have_is_refused_with_both_named(ledger: Ledger, migration: Migration) -> None:
    """An ambiguous start is not guessed."""
    other = create(ledger)
    with pytest.raises(NotFound, match="2 migrations start with 'docs'") as caught:
        ledger.migration("docs")
    assert migration.id in caught.value.advice
    assert other.id in caught.value.advice


def test_an_unknown_id_names_the_nearest(ledger: Ledger, migration: Migration) -> None:
    """A slip of the finger is met with what was probably meant."""
    with pytest.raises(NotFound) as caught:
        ledger.migration(migration.id.replace("docs", "dosc"))
    assert migration.id in caught.value.advice


def test_the_empty_text_names_no_migration(ledger: Ledger, migration: Migration) -> None:
    """An empty variable in a script does not become the only migration there is."""
    with pytest.raises(NotFound):
        ledger.migration("")


def test_a_secret_in_a_url_never_enters_the_ledger(ledger: Ledger) -> None:
    """A URL with a key is refused, and nothing is stored."""
    with pytest.raises(BadOption, match="secret"):
        ledger.create_migration(
            name="docs",
            strategy="blue-green",
            source_url="qdrant://host/docs?api_key=hunter2",
            target_url=NEW,
            route="docs",
            archive="/a",
            config={},
        )
    assert ledger.migrations() == []


def test_migrations_are_listed_by_age_and_state(ledger: Ledger, clock: SetClock) -> None:
    """The oldest comes first; a filter by state leaves the others out."""
    first = create(ledger, "z")
    clock.forward(1)
    second = create(ledger, "a")
    ledger.transition(first.id, [State.PLANNED], State.ABORTED, event="aborted")
    assert [one.id for one in ledger.migrations()] == [first.id, second.id]
    assert [one.id for one in ledger.migrations([State.PLANNED])] == [second.id]


def test_a_plan_is_stored_once(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """The same plan again changes nothing, whatever the order of its slices; its time is that of the first."""
    assert not ledger.has_plan(migration.id)
    ledger.store_plan(migration.id, {"rows": 10, "big": 2**70}, two_slices())
    stored_at = clock.now
    clock.forward(5)
    ledger.store_plan(migration.id, {"big": 2**70, "rows": 10}, two_slices()[::-1])
    assert ledger.has_plan(migration.id)
    assert ledger.plan(migration.id) == {"rows": 10, "big": 2**70}
    assert [row.slice for row in ledger.slices(migration.id)] == two_slices()
    assert ledger.migration(migration.id).planned_at == stored_at


@pytest.mark.parametrize(
    ("plan", "slices"),
    [({"rows": 11}, two_slices()), ({"rows": 10}, two_slices()[:1]), ({"rows": 10}, [Slice(0, {"rows": [0, 10]}, 10)])],
    ids=["content", "fewer slices", "other slices"],
)
def test_another_plan_is_refused(ledger: Ledger, planned: Migration, plan: dict[str, int], slices: list[Slice]) -> None:
    """A stored plan never changes."""
    with pytest.raises(PlanRefused):
        ledger.store_plan(planned.id, plan, slices)
    assert ledger.plan(planned.id) == {"rows": 10}
    assert [row.slice for row in ledger.slices(planned.id)] == two_slices()


def test_a_migration_without_a_plan_says_so(ledger: Ledger, migration: Migration) -> None:
    """Asking for a plan that was not made is an error; its slices are none."""
    with pytest.raises(NotFound, match="no plan yet"):
        ledger.plan(migration.id)
    assert ledger.slices(migration.id) == []


def test_a_slices_progress_is_kept(ledger: Ledger, planned: Migration, lease: Lease, clock: SetClock) -> None:
    """Receipt, time of loading and result come back with the slice that they belong to."""
    ledger.record_copied(planned.id, 1, receipt(1), lease.token)
    ledger.record_loaded(planned.id, 1, lease.token)
    ledger.record_verified(planned.id, 1, {"differences": 0}, lease.token)
    untouched, done = ledger.slices(planned.id)
    assert (untouched.copied, untouched.loaded_at, untouched.verified) == (None, None, None)
    assert (done.copied, done.loaded_at, done.verified) == (receipt(1), clock.now, {"differences": 0})
    assert ledger.slice(planned.id, 1) == done


def test_the_same_receipt_twice_is_one(ledger: Ledger, planned: Migration) -> None:
    """A retried task may record what it recorded before, without a second entry in the trail."""
    ledger.record_copied(planned.id, 0, receipt(0))
    ledger.record_copied(planned.id, 0, receipt(0))
    assert [entry.event for entry in ledger.audit(planned.id)].count("slice copied") == 1


def test_another_receipt_for_a_slice_is_refused(ledger: Ledger, planned: Migration) -> None:
    """Two runs that copied one slice differently are noticed; the first receipt stays."""
    ledger.record_copied(planned.id, 0, receipt(0))
    with pytest.raises(DataDiffer):
        ledger.record_copied(planned.id, 0, receipt(0, digest="5-0b"))
    assert ledger.slice(planned.id, 0).copied == receipt(0)


def test_a_forgotten_slice_is_done_anew(ledger: Ledger, planned: Migration) -> None:
    """Nothing that was recorded of it is left, and another receipt is taken."""
    ledger.record_copied(planned.id, 0, receipt(0))
    ledger.record_loaded(planned.id, 0)
    ledger.record_verified(planned.id, 0, {"differences": 1})
    ledger.forget_slice(planned.id, 0)
    row = ledger.slice(planned.id, 0)
    assert (row.copied, row.loaded_at, row.verified) == (None, None, None)
    ledger.record_copied(planned.id, 0, receipt(0, digest="5-0b"))
    assert ledger.slice(planned.id, 0).copied == receipt(0, digest="5-0b")


def test_a_slice_that_the_plan_lacks_is_refused(ledger: Ledger, planned: Migration) -> None:
    """Progress is kept for the plan's slices only."""
    with pytest.raises(NotFound, match="no slice 2"):
        ledger.record_loaded(planned.id, 2)
    with pytest.raises(NotFound, match="no slice 2"):
        ledger.slice(planned.id, 2)


def test_a_fact_is_the_last_one_set(ledger: Ledger, migration: Migration) -> None:
    """Facts are kept by migration and key, and replaced by a later one."""
    other = create(ledger)
    assert ledger.fact(migration.id, "inventory") is None
    ledger.set_fact(migration.id, "inventory", {"rows": 1})
    ledger.set_fact(migration.id, "inventory", {"rows": 2})
    assert ledger.fact(migration.id, "inventory") == {"rows": 2}
    assert ledger.fact(other.id, "inventory") is None


def test_a_state_changes_only_from_an_expected_one(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """A transition from a state that is not expected names the one found and changes nothing."""
    clock.forward(9)
    moved = ledger.transition(migration.id, [State.PLANNED, State.COPYING], State.COPYING, event="copy started")
    assert (moved.state, moved.changed_at) == (State.COPYING, clock.now)
    with pytest.raises(UnsafeRoute, match="is COPYING, not READY"):
        ledger.transition(migration.id, [State.READY], State.FROZEN, event="frozen")
    assert ledger.migration(migration.id) == moved
    assert [entry.event for entry in ledger.audit(migration.id)] == ["migration created", "copy started"]


def test_every_change_is_told_in_the_trail(ledger: Ledger, planned: Migration) -> None:
    """What was done to a migration stands in its trail, in order, with what it was about."""
    ledger.transition(planned.id, [State.PLANNED], State.COPYING, event="copy started", detail={"workers": 2})
    ledger.record_copied(planned.id, 0, receipt(0))
    ledger.set_fact(planned.id, "backup", {"files": 3})
    ledger.note(planned.id, "target created", {"url": NEW})
    entries = ledger.audit(planned.id)
    assert [entry.event for entry in entries] == [
        "migration created",
        "plan stored",
        "copy started",
        "slice copied",
        "fact set",
        "target created",
    ]
    assert entries[2].detail == {"from": "PLANNED", "to": "COPYING", "workers": 2}


CHANGES = {
    "store_plan": lambda ledger, id, token: ledger.store_plan(id, {"rows": 10}, two_slices(), token),
    "record_copied": lambda ledger, id, token: ledger.record_copied(id, 0, receipt(0), token),
    "record_loaded": lambda ledger, id, token: ledger.record_loaded(id, 0, token),
    "record_verified": lambda ledger, id, token: ledger.record_verified(id, 0, {}, token),
    "forget_slice": lambda ledger, id, token: ledger.forget_slice(id, 0, token),
    "set_fact": lambda ledger, id, token: ledger.set_fact(id, "verdict", {}, token),
    "note": lambda ledger, id, token: ledger.note(id, "noted", {}, token),
    "transition": lambda ledger, id, token: ledger.transition(
        id, [State.PLANNED], State.COPYING, event="copy started", token=token
    ),
    "claim_route": lambda ledger, id, token: ledger.claim_route("docs", OLD, id, token),
    "ask_approval": lambda ledger, id, token: ledger.ask_approval(id, {}, token),
    "reserve_delta": lambda ledger, id, token: ledger.reserve_delta(id, Direction.FORWARD, token),
    "begin_pass": lambda ledger, id, token: ledger.begin_pass(id, Direction.FORWARD, token),
    "record_hook_intent": lambda ledger, id, token: ledger.record_hook_intent(id, "pause", {}, epoch=1, token=token),
    "store_workspaces": lambda ledger, id, token: ledger.store_workspaces(id, groups_of("a"), token),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_that_lost_its_lease_changes_nothing(
    ledger: Ledger, planned: Migration, lease: Lease, clock: SetClock, name: str
) -> None:
    """A change with the token of an expired lease is refused and leaves no entry; with a valid one it is made."""
    clock.forward(61)
    before = ledger.audit()
    with pytest.raises(LeaseLost):
        CHANGES[name](ledger, planned.id, lease.token)
    assert ledger.audit() == before
    CHANGES[name](ledger, planned.id, ledger.renew(lease).token)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_an_unknown_migration_is_refused(ledger: Ledger, name: str) -> None:
    """Nothing is stored for an id that does not exist."""
    with pytest.raises(NotFound):
        CHANGES[name](ledger, "docs-1", None)
    assert ledger.audit() == []


PROGRESS = {
    "record_delta": lambda ledger, id, token: ledger.record_delta(id, Direction.FORWARD, 2, receipt(2), {}, token),
    "record_delta_loaded": lambda ledger, id, token: ledger.record_delta_loaded(id, 1, token),
    "close_delta": lambda ledger, id, token: ledger.close_delta(id, 1, receipt(1), token),
    "forget_delta_load": lambda ledger, id, token: ledger.forget_delta_load(id, 1, token),
    "end_pass": lambda ledger, id, token: ledger.end_pass(id, 1, 0, "0-0", token),
    "record_hook_outcome": lambda ledger, id, token: ledger.record_hook_outcome(id, 1, {}, token),
}


@pytest.mark.parametrize("name", PROGRESS)
def test_s1_a_run_that_lost_its_lease_goes_on_with_nothing(
    ledger: Ledger, planned: Migration, lease: Lease, clock: SetClock, name: str
) -> None:
    """Of what it had begun, an expired token records nothing more; a valid one does, and tells it once."""
    for number in (1, 2):
        ledger.reserve_delta(planned.id, Direction.FORWARD)
        if number == 1:
            ledger.record_delta(planned.id, Direction.FORWARD, 1, receipt(1), {})
            ledger.record_delta_loaded(planned.id, 1)
    ledger.begin_pass(planned.id, Direction.FORWARD)
    ledger.record_hook_intent(planned.id, "pause", {}, epoch=1, token=None)
    if name == "record_delta_loaded":
        ledger.forget_delta_load(planned.id, 1)
    clock.forward(61)
    before = ledger.audit()
    with pytest.raises(LeaseLost):
        PROGRESS[name](ledger, planned.id, lease.token)
    assert ledger.audit() == before
    PROGRESS[name](ledger, planned.id, ledger.renew(lease).token)
    assert len(ledger.audit()) == len(before) + 1
    assert ledger.verify_audit() == len(before) + 1
