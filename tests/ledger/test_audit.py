from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledger.conftest import SetClock, by_hand, create
from vecferry.errors import DataError
from vecferry.ledger import Ledger


@pytest.fixture
def told(file: Path, clock: SetClock) -> Ledger:
    """A ledger in a file, with five entries."""
    ledger = Ledger.open(file, clock)
    migration = create(ledger)
    for number in range(4):
        ledger.note(migration.id, "noted", {"number": number, "float": 0.1, "text": "ä\u2028\ud800"})
    return ledger


def test_an_untouched_chain_holds(told: Ledger, file: Path) -> None:
    """Every entry is checked, also by a ledger that was opened anew."""
    assert told.verify_audit() == 5
    assert Ledger.open(file).verify_audit() == len(told.audit()) == 5


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE vecferry_audit SET detail = replace(detail, '2', '7') WHERE number = 4", "at entry 4"),
        ("UPDATE vecferry_audit SET event = 'approved' WHERE number = 2", "at entry 2"),
        ("UPDATE vecferry_audit SET actor = 'mallory' WHERE number = 5", "at entry 5"),
        ("UPDATE vecferry_audit SET at = '2026-11-21T03:00:01.000000+00:00' WHERE number = 1", "at entry 1"),
        ("UPDATE vecferry_audit SET migration = NULL WHERE number = 3", "at entry 3"),
        ("UPDATE vecferry_audit SET previous = '' WHERE number = 3", "at entry 3"),
        ("DELETE FROM vecferry_audit WHERE number = 3", "at entry 3"),
        ("DELETE FROM vecferry_audit WHERE number = 1", "at entry 1"),
        ("DELETE FROM vecferry_audit WHERE number = 5", "ends at entry 4, but 5 were written"),
        ("DELETE FROM vecferry_audit", "ends at entry 0"),
        (
            "INSERT INTO vecferry_audit SELECT 6, at, actor, migration, event, detail, hash, hash"
            " FROM vecferry_audit WHERE number = 5",
            "at entry 6",
        ),
    ],
)
def test_a_broken_chain_is_seen_at_the_entry(told: Ledger, file: Path, statement: str, words: str) -> None:
    """A change, a cut or an addition behind the ledger's back is found, and the place is named."""
    by_hand(file, statement)
    with pytest.raises(DataError, match=words) as caught:
        told.verify_audit()
    assert caught.value.advice


def test_a_trail_is_that_of_one_migration(told: Ledger) -> None:
    """Entries of other migrations are left out; numbers go on over all."""
    [migration] = told.migrations()
    other = create(told)
    assert [entry.number for entry in told.audit(other.id)] == [6]
    assert {entry.migration for entry in told.audit(migration.id)} == {migration.id}
    assert told.audit(migration.id)[-1].detail["text"] == "ä\u2028\ud800"
