from __future__ import annotations

import pytest

from tests.ledger.conftest import SetClock
from vecferry.errors import NotFound
from vecferry.ledger import Direction, Ledger, Migration, Pass, settled
from vecferry.ledger.passes import KEPT

FORWARD, REVERSE = Direction.FORWARD, Direction.REVERSE


def passed(
    ledger: Ledger,
    migration: Migration,
    clock: SetClock,
    differences: int = 0,
    digest: str = "5-0a",
    whole: bool = True,
) -> Pass:
    begun = ledger.begin_pass(migration.id, FORWARD, whole=whole)
    clock.forward(2)
    return ledger.end_pass(migration.id, begun.number, differences, digest)


def test_s4_a_pass_is_kept_with_its_start_and_end(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """Times are the ledger's; differences and digest are there once it has ended."""
    started_at = clock.now
    begun = ledger.begin_pass(migration.id, FORWARD)
    assert (begun.started_at, begun.ended_at, begun.differences, begun.digest) == (started_at, None, None, None)
    clock.forward(3)
    ended = ledger.end_pass(migration.id, begun.number, 7, "9-ff", note={"rows": 9})
    assert (ended.started_at, ended.ended_at) == (started_at, clock.now)
    assert (ended.differences, ended.digest, ended.note, ended.whole) == (7, "9-ff", {"rows": 9}, True)
    assert ledger.passes(migration.id, FORWARD) == [ended]
    with pytest.raises(NotFound):
        ledger.end_pass(migration.id, 9, 0, "")


def test_s15_the_lag_is_the_age_of_the_last_whole_passs_start(
    ledger: Ledger, migration: Migration, clock: SetClock
) -> None:
    """Neither a pass under way nor one that a watermark shortened makes the target younger."""
    assert ledger.lag_s(migration.id, FORWARD) is None
    passed(ledger, migration, clock)
    passed(ledger, migration, clock, whole=False)
    ledger.begin_pass(migration.id, FORWARD)
    clock.forward(10)
    assert ledger.lag_s(migration.id, FORWARD) == 14
    assert ledger.lag_s(migration.id, REVERSE) is None


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], False),
        ([(0, "a", True)], False),
        ([(0, "a", True), (0, "a", True)], True),
        ([(0, "a", True), (0, "b", True)], False),
        ([(1, "a", True), (0, "a", True)], False),
        ([(0, "a", True), (1, "a", True)], False),
        ([(0, "a", False), (0, "a", True)], False),
        ([(3, "c", True), (0, "a", True), (0, "a", True)], True),
        ([(0, "a", True), (0, "a", True), (0, "b", True)], False),
    ],
)
def test_s10_two_empty_passes_with_one_digest_settle_it(
    ledger: Ledger, migration: Migration, clock: SetClock, found: list[tuple[int, str, bool]], expected: bool
) -> None:
    """The last two that ended must be whole, empty and equal."""
    since = clock.now
    for differences, digest, whole in found:
        passed(ledger, migration, clock, differences, digest, whole)
    ledger.begin_pass(migration.id, FORWARD)
    assert settled(ledger.passes(migration.id, FORWARD), since) is expected


def test_s10_a_pass_that_began_before_the_pause_settles_nothing(
    ledger: Ledger, migration: Migration, clock: SetClock
) -> None:
    """Both passes have to begin after the wait that follows the pause."""
    passed(ledger, migration, clock)
    since = clock.now
    passed(ledger, migration, clock)
    assert not settled(ledger.passes(migration.id, FORWARD), since)
    passed(ledger, migration, clock)
    assert settled(ledger.passes(migration.id, FORWARD), since)


def test_the_ledger_stays_small_however_many_passes_there_are(
    ledger: Ledger, migration: Migration, clock: SetClock
) -> None:
    """Old passes leave the table, but for the last whole one; the trail keeps them all."""
    first = passed(ledger, migration, clock)
    for _ in range(KEPT + 3):
        passed(ledger, migration, clock, whole=False)
    assert len(ledger.passes(migration.id, FORWARD)) == KEPT + 1
    assert ledger.last_pass(migration.id, FORWARD) == first
    assert [entry.event for entry in ledger.audit(migration.id)].count("pass ended") == KEPT + 4
