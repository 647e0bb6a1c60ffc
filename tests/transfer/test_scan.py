"""What was written since: every kind of change is counted and named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.migrating import mixed_batch, schema
from tests.transfer.support import BATCH_ROWS, archived, limits, memory, name, one
from vecferry import batch as columns
from vecferry.contract import Target
from vecferry.transfer.pace import Pace
from vecferry.transfer.scan import MAX_EXAMPLES, Changes, changes_in, target_changes

ROWS = 300


@pytest.fixture
def store() -> Target:
    return memory([mixed_batch(ROWS)])


def changes(store: Target, folder: Path, change: Callable[[Target], None], slices: int = 3) -> Changes:
    """What both looks see after a change: at the source by slices, and at a target as a whole; they must agree."""
    parts = store.slices(slices)
    archive, _ = archived(folder, store, slices)
    change(store)
    found = sum((changes_in(store, part, archive, limits()) for part in parts), Changes())
    whole = target_changes(store, store.slices(1), archive, BATCH_ROWS)
    for field in ("rows", "new", "changed", "deleted"):
        assert getattr(found, field) == getattr(whole, field)
    for field in ("new", "changed", "deleted"):
        names, others = getattr(found, f"{field}_ids"), getattr(whole, f"{field}_ids")
        assert len(names) == len(others) == min(getattr(found, field), MAX_EXAMPLES)
        assert len(names) == MAX_EXAMPLES or sorted(names) == sorted(others)
    return found


def test_an_untouched_collection_shows_no_change(store: Target, tmp_path: Path) -> None:
    """All records are read, and none differs."""
    found = changes(store, tmp_path, lambda _: None)
    assert not found
    assert (found.rows, found.counts(), str(found)) == (ROWS, {"new": 0, "changed": 0, "deleted": 0}, "no changes")


def test_rewriting_the_same_records_is_no_change(store: Target, tmp_path: Path) -> None:
    """An upsert with the same bits, in another order, changes nothing."""
    backwards = mixed_batch(ROWS).take(np.arange(ROWS)[::-1])
    assert not changes(store, tmp_path, lambda target: target.write(backwards))


VECTOR = columns.dense_column(one(7)).values[0]
CHANGED = {
    "one bit of a vector": {"vector": np.nextafter(VECTOR, np.float32(9)).tolist()},
    "a payload value": {"payload": '{"price":1.5}'},
    "an integer that became a float": {"payload": one(7).column("payload")[0].as_py().replace("2007", "2007.0")},
    "a document": {"document": "Other words"},
    "a document that is gone": {"document": None},
    "a document that is empty": {"document": ""},
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_changed_record_is_named(store: Target, tmp_path: Path, what: str) -> None:
    """The smallest change of any part is seen."""
    number = 8 if "document" in what else 7
    found = changes(store, tmp_path, lambda target: target.write(one(number, **CHANGED[what])))
    assert (found.new, found.changed, found.deleted) == (0, 1, 0)
    assert found.changed_ids == (str(name(number)),)


def test_new_and_deleted_records_are_named(store: Target, tmp_path: Path) -> None:
    """Both at once, in any slice."""

    def change(target: Target) -> None:
        target.write(mixed_batch(5, first=ROWS))
        target.delete(columns.ids_batch([name(3), name(200)]))

    found = changes(store, tmp_path, change)
    assert found
    assert (found.rows, found.new, found.changed, found.deleted) == (ROWS + 3, 5, 0, 2)
    assert set(found.new_ids) == {str(name(number)) for number in range(ROWS, ROWS + 5)}
    assert set(found.deleted_ids) == {str(name(3)), str(name(200))}
    assert str(found).startswith("5 new (for example 'doc-30")
    assert "; 2 deleted (for example 'doc-" in str(found)


def test_many_changes_are_counted_and_some_are_named(store: Target, tmp_path: Path) -> None:
    """A collection that was emptied and filled anew does not fill the message."""

    def change(target: Target) -> None:
        target.delete(mixed_batch(ROWS))
        target.write(mixed_batch(ROWS, first=ROWS))

    found = changes(store, tmp_path, change)
    assert (found.new, found.changed, found.deleted) == (ROWS, 0, ROWS)
    assert len(found.new_ids) == len(found.deleted_ids) == MAX_EXAMPLES
    assert len(str(found)) < 300


def test_a_record_that_did_not_travel_is_not_new(tmp_path: Path) -> None:
    """Records that stay behind stand in the part and not among the proven hashes; they are no change at the source."""
    lacking = one(5, vector=None)
    store = memory([mixed_batch(10, first=10), lacking], schema())
    (part,) = store.slices(1)
    archive, _ = archived(tmp_path, store)
    known = archive.read_hashes(0)
    travelled = [row for row, text in enumerate(known.ids().column("id").to_pylist()) if text != "doc-5"]
    archive.write_hashes(0, [known.slice(row, 1) for row in travelled])
    assert len(archive.read_hashes(0)) == 10
    found = changes_in(store, part, archive, limits())
    assert (found.rows, bool(found)) == (11, False)
    store.write(one(5))
    assert changes_in(store, part, archive, limits()).changed_ids == (str(name(5)),)


def test_a_second_look_at_the_source_keeps_its_pace_and_counts_its_rows(store: Target, tmp_path: Path) -> None:
    """A production source is spared before the switch as it was during the copy."""
    archive, _ = archived(tmp_path, store)
    waits, moved = list[float](), list[int]()
    paced = replace(limits(moved), pace=Pace(BATCH_ROWS, lambda: 0.0, waits.append))
    assert not changes_in(store, store.slices(1)[0], archive, paced)
    assert sum(moved) == ROWS
    assert waits == [1.0, 2.0, 3.0, 4.0]
