"""The limit on rows per second, by a clock that the test holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from vecferry.transfer.pace import Pace, pace_of


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_rows_pass_no_faster_than_the_limit(clock: Clock) -> None:
    """The first batch passes at once, each later one when those before it have had their time."""
    pace = Pace(100, clock, clock.sleep)
    passed_at = []
    for _ in range(4):
        pace.take(50)
        passed_at.append(clock.now)
    assert passed_at == pytest.approx([0.0, 0.5, 1.0, 1.5])


def test_a_large_batch_makes_the_next_one_wait_as_long_as_it_is(clock: Clock) -> None:
    """Batches of any size keep the rate."""
    pace = Pace(1000, clock, clock.sleep)
    pace.take(5000)
    pace.take(1)
    assert clock.now == pytest.approx(5.0)


def test_time_without_rows_is_not_saved_up(clock: Clock) -> None:
    """After an idle hour the source is not read in a burst."""
    pace = Pace(100, clock, clock.sleep)
    pace.take(100)
    clock.now += 3600
    before = clock.now
    for _ in range(3):
        pace.take(100)
    assert clock.now - before == pytest.approx(2.0)


def test_work_that_is_slower_than_the_limit_never_waits(clock: Clock) -> None:
    """The pace takes the time that reading itself took into account."""
    pace = Pace(100, clock, clock.sleep)
    for _ in range(5):
        pace.take(100)
        clock.now += 1.5
    assert clock.slept == 0.0


def test_without_a_limit_nothing_waits(clock: Clock) -> None:
    """None is no limit."""
    pace = Pace(None, clock, clock.sleep)
    for _ in range(100):
        pace.take(10**9)
    assert clock.slept == 0.0


def test_rows_that_are_taken_back_buy_no_haste(clock: Clock) -> None:
    """A slice that starts anew is read at the same pace again."""
    pace = Pace(100, clock, clock.sleep)
    pace.take(100)
    pace.take(-100)
    pace.take(0)
    pace.take(100)
    assert clock.now == pytest.approx(1.0)


def test_threads_share_one_pace() -> None:
    """However many slices run at once, their rows are given one row of times."""
    waits: list[float] = []
    pace = Pace(100, lambda: 0.0, waits.append)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(pace.take, [10] * 40))
    assert sorted(waits) == pytest.approx([0.1 * turn for turn in range(1, 40)])


def test_all_slices_of_a_migration_get_the_same_pace() -> None:
    """A migration has one limit in a process; another rate or migration has its own."""
    assert pace_of("one", 100) is pace_of("one", 100)
    assert pace_of("one", 100) is not pace_of("two", 100)
    assert pace_of("one", 100) is not pace_of("one", 200)
