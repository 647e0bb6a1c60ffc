from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from tests.ledger.conftest import NEW, Lease, create, groups_of, receipt
from vecferry.errors import UnsafeRoute
from vecferry.ledger import Answer, Direction, Ledger, Migration, State

RUNS = 4


def at_once(place: str, call: Callable[[Ledger, int], Any], clock: Callable[[], Any]) -> list[Any]:
    """What `RUNS` connections get from a call that they make at the same time; None where it was refused."""
    barrier = Barrier(RUNS)

    def run(number: int) -> Any:
        ledger = Ledger.open(place, clock, busy_timeout_s=20.0 + number)
        barrier.wait(20)
        try:
            return call(ledger, number)
        except UnsafeRoute:
            return None
        finally:
            ledger.close()

    with ThreadPoolExecutor(RUNS) as pool:
        return list(pool.map(run, range(RUNS)))


def test_s12_of_many_commits_at_once_one_moves_the_route(
    place: str, ledger: Ledger, ready: Migration, lease: Lease, clock: Callable[[], Any]
) -> None:
    """The others find another epoch or another state, and change nothing."""
    pause = ledger.pause_writes("docs", ready.id, 30, lease.token)
    ledger.transition(ready.id, [State.FROZEN], State.SWITCHING, event="final check passed")
    found = at_once(
        place,
        lambda one, _: one.switch_route(
            ready.id, "docs", expected_epoch=1, to_url=NEW, state_from=State.SWITCHING, state_to=State.SWITCHED,
            event="switched", token=lease.token, pause_token=pause.token,
        ),
        clock,
    )  # fmt: skip
    assert len([route for route in found if route is not None]) == 1
    assert [entry.event for entry in ledger.audit(ready.id)].count("switched") == 1
    assert ledger.verify_audit() == len(ledger.audit())


def test_s7_of_many_pauses_at_once_one_uses_the_yes(
    place: str, ledger: Ledger, ready: Migration, lease: Lease, clock: Callable[[], Any]
) -> None:
    """One run freezes the migration; the tokens of the others were never given out."""
    number = ledger.ask_approval(ready.id, {})
    ledger.answer_approval(ready.id, number, Answer.APPROVED, "ann")
    found = at_once(place, lambda one, _: one.pause_writes("docs", ready.id, 30, lease.token, approval=number), clock)
    assert [pause.token for pause in found if pause is not None] == [1]
    assert ledger.migration(ready.id).state is State.FROZEN


def test_s3_many_deltas_closed_at_once_have_places_of_their_own(
    place: str, ledger: Ledger, clock: Callable[[], Any]
) -> None:
    """Whatever closes side by side never shares a place in the order of closing, nor a number of a pass."""
    migration = create(ledger)
    for _ in range(RUNS):
        number = ledger.reserve_delta(migration.id, Direction.FORWARD)
        ledger.record_delta(migration.id, Direction.FORWARD, number, receipt(number), {})

    def close(one: Ledger, key: int) -> int:
        one.record_delta_loaded(migration.id, key + 1)
        one.close_delta(migration.id, key + 1, receipt(key + 1))
        return one.begin_pass(migration.id, Direction.FORWARD).number

    assert sorted(at_once(place, close, clock)) == [1, 2, 3, 4]
    assert sorted(row.closing or 0 for row in ledger.deltas(migration.id)) == [1, 2, 3, 4]


def test_the_state_derived_from_workspaces_that_move_at_once_is_right(
    place: str, ledger: Ledger, clock: Callable[[], Any]
) -> None:
    """Whichever comes last sees all the others: no update is lost."""
    migration = create(ledger)
    ledger.store_workspaces(migration.id, groups_of(*range(RUNS)))
    at_once(
        place,
        lambda one, key: one.move_workspace(migration.id, key + 1, [State.PLANNED], State.COPYING, event="on"),
        clock,
    )
    assert ledger.migration(migration.id).state is State.COPYING
    assert [event.event for event in ledger.unsent_events()].count("vecferry.migration.copying") == 1
