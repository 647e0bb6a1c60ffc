"""Progress as data: counters that are right, also from many threads and after a slice started anew."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from vecferry.transfer import progress
from vecferry.transfer.progress import Progress


@pytest.fixture
def migration() -> str:
    return uuid4().hex


def test_a_listener_hears_of_every_change_until_it_stops_listening(migration: str) -> None:
    """Begin and each advance are told with the counts as they are then."""
    heard: list[Progress] = []
    with progress.listening(heard.append):
        progress.begin(migration, "load", 100)
        progress.advance(migration, "load", 30)
        progress.advance(migration, "load", 70)
    progress.advance(migration, "load", 5)
    assert heard == [Progress(migration, "load", done, 100) for done in (0, 30, 100)]


def test_a_phase_goes_on_where_an_earlier_run_stopped(migration: str) -> None:
    """A resume begins with the rows that are done; phases and migrations have counters of their own."""
    heard: list[Progress] = []
    progress.begin(migration, "export", 100, done=60)
    progress.begin(migration, "load", 100)
    with progress.listening(heard.append):
        progress.advance(migration, "export", 10)
        progress.advance(migration + "x", "export", 1)
    assert heard == [Progress(migration, "export", 70, 100), Progress(migration + "x", "export", 1, None)]


def test_no_row_is_lost_between_threads(migration: str) -> None:
    """Slices count at the same time."""
    progress.begin(migration, "load", 4000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: progress.advance(migration, "load", 1), range(4000)))
    heard: list[Progress] = []
    with progress.listening(heard.append):
        progress.advance(migration, "load", 0)
    assert heard[0].done == 4000


def test_rows_of_a_block_that_fails_are_taken_back() -> None:
    """The same rows are counted when the block runs again, so in the end each counts once."""
    counted: list[int] = []

    def failing() -> None:
        with progress.provisional(counted.append) as moved:
            moved(10)
            moved(20)
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert counted == [10, 20, -30]
    with progress.provisional(counted.append) as moved:
        moved(30)
    assert sum(counted) == 30


def test_a_generator_that_is_not_read_to_its_end_takes_its_rows_back() -> None:
    """A part whose writer fails closes the reader in the middle."""
    counted: list[int] = []

    def rows():  # type: ignore[no-untyped-def]
        with progress.provisional(counted.append) as moved:
            for _ in range(3):
                yield
                moved(1)

    reading = rows()
    next(reading)
    next(reading)
    reading.close()
    assert counted == [1, -1]
    assert list(rows()) == [None] * 3
    assert sum(counted) == 3
