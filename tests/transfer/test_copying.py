"""A copy of a collection beside itself: bit for bit the same, or refused with what is wrong named."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.support.migrating import mixed_batch
from tests.transfer.support import SCHEMA, limits, memory, name, one
from vecferry import address
from vecferry import batch as columns
from vecferry.contract import Target
from vecferry.errors import DataDiffer, TargetNotEmpty
from vecferry.stores import registry
from vecferry.transfer.copying import COPIED_BY, copy_files

ROWS = 150
MARK = {COPIED_BY: "docs-1"}


def copied(old: Target, spoil: Callable[[Target], object] = lambda _: None, beside: Target | None = None) -> Target:
    """A copy of `old`; `spoil` gets the new collection before it is read back."""
    new = beside or registry.open_target(address.parse(f"memory:///{uuid4().hex}"))

    def open_again() -> Target:
        spoil(new)
        return new

    copy_files(old, new, open_again, SCHEMA, MARK, limits())
    return new


def test_a_copy_has_every_record() -> None:
    """What is read back is what was written, and the copy bears the migration's mark."""
    new = copied(memory([mixed_batch(ROWS)]))
    assert (new.count(), new.mark()) == (ROWS, MARK)
    assert copied(memory([])).count() == 0


SPOILED: dict[str, tuple[Callable[[Target], object], str]] = {
    "a record is lost": (lambda new: new.delete(columns.ids_batch([name(3)])), "1 records are missing.*: \\[\\]"),
    "a record is another one": (lambda new: new.write(one(3, document="Other words")), "0 records are missing.*doc-3'"),
    "a record came from elsewhere": (lambda new: new.write(mixed_batch(1, first=ROWS)), f"0 records.*doc-{ROWS}'"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_copy_that_is_not_the_same_is_refused(what: str) -> None:
    """A missing, changed or strange record is told before anything is written over it."""
    spoil, told = SPOILED[what]
    with pytest.raises(DataDiffer, match=told):
        copied(memory([mixed_batch(ROWS)]), spoil)


def test_only_its_own_half_made_copy_is_made_anew() -> None:
    """A half-made copy of this migration is made anew; anything else stays as it is."""
    old, half = memory([mixed_batch(ROWS)]), registry.open_target(address.parse(f"memory:///{uuid4().hex}"))
    half.create(SCHEMA, MARK)
    half.write(mixed_batch(2, first=ROWS))
    assert copied(old, beside=half).count() == ROWS
    other = memory([mixed_batch(2)])
    with pytest.raises(TargetNotEmpty, match="no copy of this migration"):
        copied(old, beside=other)
    assert other.count() == 2
