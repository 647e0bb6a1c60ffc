from __future__ import annotations

import subprocess

import pytest

from tests.ledger.conftest import SetClock, Start, create
from vecferry.errors import DataDiffer, NotFound, UnsafeRoute
from vecferry.ledger import Direction, Ledger, Migration
from vecferry.model import Receipt

FORWARD, REVERSE = Direction.FORWARD, Direction.REVERSE
COUNTS = {"upserts": 4, "tombstones": 1}


def part(number: int, digest: str = "5-0a") -> Receipt:
    return Receipt(number, f"deltas/{number:05}.parquet", 5, 4096, "ab" * 32, digest)


def hashes(number: int, digest: str = "5-0c") -> Receipt:
    return Receipt(number, f"deltas/{number:05}.hashes.parquet", 5, 512, "cd" * 32, digest)


def recorded(ledger: Ledger, migration: Migration, direction: Direction = FORWARD) -> int:
    number = ledger.reserve_delta(migration.id, direction)
    ledger.record_delta(migration.id, direction, number, part(number), COUNTS)
    return number


def closed(ledger: Ledger, migration: Migration, direction: Direction = FORWARD) -> int:
    number = recorded(ledger, migration, direction)
    ledger.record_delta_loaded(migration.id, number)
    ledger.close_delta(migration.id, number, hashes(number))
    return number


def test_s3_a_delta_is_recorded_then_loaded_then_closed(ledger: Ledger, migration: Migration, clock: SetClock) -> None:
    """Each step keeps its receipt and its time by the ledger's clock; an open one is listed until it is closed."""
    number = ledger.reserve_delta(migration.id, FORWARD)
    assert ledger.deltas(migration.id) == []
    recorded_at = clock.now
    ledger.record_delta(migration.id, FORWARD, number, part(1), COUNTS, note={"watermark": 7})
    [row] = ledger.deltas(migration.id, open_only=True)
    assert (row.number, row.receipt, row.counts, row.note) == (1, part(1), COUNTS, {"watermark": 7})
    assert (row.recorded_at, row.loaded_at, row.hashes, row.closing) == (recorded_at, None, None, None)
    clock.forward(1)
    ledger.record_delta_loaded(migration.id, number)
    clock.forward(1)
    ledger.close_delta(migration.id, number, hashes(1))
    [row] = ledger.deltas(migration.id)
    assert (row.loaded_at, row.closed_at, row.hashes, row.closing) == (
        recorded_at.replace(second=1),
        clock.now,
        hashes(1),
        1,
    )
    assert ledger.deltas(migration.id, open_only=True) == []


def test_s3_numbers_are_consecutive_over_both_directions(ledger: Ledger, migration: Migration) -> None:
    """The way back goes on counting, and another migration counts for itself."""
    assert [closed(ledger, migration, way) for way in (FORWARD, FORWARD, REVERSE, FORWARD)] == [1, 2, 3, 4]
    assert [row.number for row in ledger.deltas(migration.id, FORWARD)] == [1, 2, 4]
    assert closed(ledger, create(ledger)) == 1


def test_s3_the_order_of_closing_is_kept(ledger: Ledger, migration: Migration) -> None:
    """Of two deltas the one closed last tells the state, whatever their numbers and times are."""
    first, second = recorded(ledger, migration), recorded(ledger, migration)
    for number in (second, first):
        ledger.record_delta_loaded(migration.id, number)
        ledger.close_delta(migration.id, number, hashes(number))
    assert [(row.number, row.closing) for row in ledger.deltas(migration.id)] == [(first, 2), (second, 1)]


def test_s3_a_number_whose_run_died_before_recording_is_given_again(ledger: Ledger, migration: Migration) -> None:
    """A reservation for the same direction is found; one for the other direction is another number."""
    number = ledger.reserve_delta(migration.id, FORWARD)
    assert ledger.reserve_delta(migration.id, FORWARD) == number
    assert ledger.reserve_delta(migration.id, REVERSE) == number + 1
    assert ledger.reserve_delta(migration.id, FORWARD) == number


def test_s3_each_step_may_be_recorded_twice(ledger: Ledger, migration: Migration) -> None:
    """A retried step changes nothing and adds nothing to the trail."""
    number = closed(ledger, migration)
    before, trail = ledger.deltas(migration.id), ledger.audit()
    ledger.record_delta(migration.id, FORWARD, number, part(number), COUNTS)
    ledger.record_delta_loaded(migration.id, number)
    ledger.close_delta(migration.id, number, hashes(number))
    assert (ledger.deltas(migration.id), ledger.audit()) == (before, trail)


def test_s3_other_content_for_a_recorded_delta_is_refused(ledger: Ledger, migration: Migration) -> None:
    """What was recorded first counts, for the part and for its hashes."""
    number = closed(ledger, migration)
    with pytest.raises(DataDiffer, match="was recorded before"):
        ledger.record_delta(migration.id, FORWARD, number, part(number, "5-0b"), COUNTS)
    with pytest.raises(DataDiffer, match="was closed before"):
        ledger.close_delta(migration.id, number, hashes(number, "5-0d"))
    assert ledger.deltas(migration.id)[0].receipt == part(number)


def test_s3_steps_come_in_their_order(ledger: Ledger, migration: Migration) -> None:
    """Nothing is loaded that was not recorded, or closed that was not loaded; a number has one direction."""
    number = ledger.reserve_delta(migration.id, FORWARD)
    with pytest.raises(NotFound, match="never recorded"):
        ledger.record_delta_loaded(migration.id, number)
    with pytest.raises(NotFound, match="reserved as forward"):
        ledger.record_delta(migration.id, REVERSE, number, part(number), COUNTS)
    ledger.record_delta(migration.id, FORWARD, number, part(number), COUNTS)
    with pytest.raises(UnsafeRoute, match="not loaded"):
        ledger.close_delta(migration.id, number, hashes(number))
    with pytest.raises(NotFound, match="no delta 9"):
        ledger.record_delta_loaded(migration.id, 9)


def test_s3_two_directions_are_never_open_for_the_same_records(ledger: Ledger, migration: Migration) -> None:
    """A delta the other way waits until those that may name its records are closed."""
    first = recorded(ledger, migration)
    number = ledger.reserve_delta(migration.id, REVERSE)
    with pytest.raises(UnsafeRoute, match=f"delta {first} .* the other way") as caught:
        ledger.record_delta(migration.id, REVERSE, number, part(number), COUNTS)
    assert migration.id in caught.value.advice
    ledger.record_delta_loaded(migration.id, first)
    ledger.close_delta(migration.id, first, hashes(first))
    ledger.record_delta(migration.id, REVERSE, number, part(number), COUNTS)
    assert [row.number for row in ledger.deltas(migration.id, REVERSE)] == [number]


def test_s3_a_lost_load_is_done_again_and_closed_last(ledger: Ledger, migration: Migration) -> None:
    """After its load was forgotten a delta is open, and closes behind those that were closed meanwhile."""
    first, second = closed(ledger, migration), closed(ledger, migration)
    ledger.forget_delta_load(migration.id, first)
    assert [row.number for row in ledger.deltas(migration.id, open_only=True)] == [first]
    ledger.record_delta_loaded(migration.id, first)
    ledger.close_delta(migration.id, first, hashes(first))
    assert [(row.number, row.closing) for row in ledger.deltas(migration.id)] == [(first, 3), (second, 2)]


def test_s3_a_damaged_open_delta_is_made_anew(ledger: Ledger, migration: Migration) -> None:
    """It is forgotten with its number free again; a closed one is kept, since known states stand on it."""
    kept, damaged = closed(ledger, migration), recorded(ledger, migration)
    ledger.forget_delta(migration.id, damaged)
    assert [row.number for row in ledger.deltas(migration.id)] == [kept]
    assert ledger.reserve_delta(migration.id, FORWARD) == damaged
    ledger.record_delta(migration.id, FORWARD, damaged, part(damaged, "5-0b"), COUNTS)
    with pytest.raises(UnsafeRoute, match="closed"):
        ledger.forget_delta(migration.id, kept)


RECORD = """
import sys
from vecferry.ledger import Direction, Ledger
from vecferry.model import Receipt
ledger = Ledger.open(sys.argv[1])
number = ledger.reserve_delta(sys.argv[2], Direction.FORWARD)
path = f"deltas/{number:05}.parquet"
part = Receipt(number, path, 5, 4096, "ab" * 32, "5-0a")
ledger.record_delta(sys.argv[2], Direction.FORWARD, number, part, {"upserts": 5})
ledger.record_delta_loaded(sys.argv[2], number)
ledger.close_delta(sys.argv[2], number, part)
"""


@pytest.mark.parametrize(
    ("point", "loaded", "closing"),
    [
        ("ledger.delta_recorded", False, None),
        pytest.param("ledger.delta_loaded", True, None, marks=pytest.mark.slow),
        pytest.param("ledger.delta_closed", True, 1, marks=pytest.mark.slow),
    ],
)
def test_s3_after_a_kill_the_open_intent_is_there(
    place: str, start: Start, point: str, loaded: bool, closing: int | None
) -> None:
    """Killed behind a step, another process finds it done and nothing after it, with its number."""
    ledger = Ledger.open(place)
    migration = create(ledger)
    killed: subprocess.Popen[str] = start(RECORD, place, migration.id, VECFERRY_FAILPOINTS=f"{point}=kill")
    assert killed.wait(60) == -9
    [row] = ledger.deltas(migration.id)
    assert (row.number, row.loaded_at is not None, row.closing) == (1, loaded, closing)
    assert ledger.verify_audit() == len(ledger.audit())
