"""From source to part, and from part to target: whole or not at all, each row counted once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import stamina

from tests.support.migrating import mixed_batch
from tests.transfer.support import SCHEMA, archived, limits, memory, name, one
from vecferry import address
from vecferry import batch as columns
from vecferry.archive import Archive
from vecferry.capabilities import Capabilities, VectorSupport
from vecferry.contract import Target
from vecferry.errors import BadRecord, LeaseLost, RetryLater
from vecferry.mapping import Mapping, Profiler, Rules, decide
from vecferry.model import CollectionSchema, DType, VectorField, VectorKind
from vecferry.stores.memory import MemoryStore
from vecferry.testing.rows import read_all, rows_of
from vecferry.transfer.export import export_slice
from vecferry.transfer.load import load_part

ROWS = 500


class Shaky(MemoryStore):
    """A store whose connection breaks after so many batches, once for each number given."""

    def __init__(self, store: Target, *breaks: int) -> None:
        super().__init__(store.url, address.parse(store.url).collection())
        self.breaks = list(breaks)

    def read(self, *arguments, **options) -> Iterator[pa.RecordBatch]:  # type: ignore[no-untyped-def]
        left = self.breaks.pop(0) if self.breaks else None
        for batch in super().read(*arguments, **options):
            if left == 0:
                raise RetryLater("the connection broke")
            left = None if left is None else left - 1
            yield batch

    def write(self, batch: pa.RecordBatch) -> None:
        if self.breaks and self.breaks.pop(0):
            raise RetryLater("the connection broke")
        super().write(batch)


def mapping_for(schema: CollectionSchema, batch: pa.RecordBatch, target: Capabilities, *consent: str) -> Mapping:
    """The plan that would be made for these records."""
    profiler = Profiler()
    profiler.observe(batch)
    exact = memory([], schema).capabilities()
    return decide(schema, profiler.profile(), exact, target, Rules(consent=frozenset(consent)))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.create(tmp_path, "docs", {"version": 1})


def test_a_slice_becomes_a_part_with_all_its_rows(archive: Archive) -> None:
    """The receipt counts them, and the part gives them back."""
    store, moved = memory([mixed_batch(ROWS)]), list[int]()
    receipt = export_slice(store, SCHEMA, store.slices(1)[0], archive, limits(moved))
    assert receipt.rows == sum(moved) == ROWS
    assert rows_of(map(columns.drop_hashes, archive.read_part(0))) == read_all(store)


def test_a_connection_that_breaks_in_the_middle_costs_no_row_and_doubles_none(archive: Archive) -> None:
    """The part starts anew: the same bytes as without the fault, and progress ends at the number of rows."""
    store, moved = memory([mixed_batch(ROWS)]), list[int]()
    part = store.slices(1)[0]
    smooth = export_slice(store, SCHEMA, part, archive, limits())
    with stamina.set_testing(True, attempts=5):
        shaken = export_slice(Shaky(store, 3, 0, 5), SCHEMA, part, archive, limits(moved, retry_budget_s=60))
    assert shaken == smooth
    assert sum(moved) == ROWS
    assert min(moved) < 0


def test_a_part_that_was_not_finished_is_not_there(archive: Archive) -> None:
    """A fault that does not pass leaves no file that could be taken for a part, and no rows counted."""
    store, moved = memory([mixed_batch(ROWS)]), list[int]()
    with pytest.raises(RetryLater):
        export_slice(Shaky(store, 3), SCHEMA, store.slices(1)[0], archive, limits(moved))
    assert sum(moved) == 0
    assert archive.storage.files().keys() == {"plan.json"}


def test_a_run_that_lost_its_lease_reads_and_writes_nothing_more(archive: Archive, tmp_path: Path) -> None:
    """The check comes before each batch, on the way in and on the way out."""

    def lost() -> None:
        raise LeaseLost("another run took over")

    store, moved = memory([mixed_batch(ROWS)]), list[int]()
    stopped = replace(limits(moved), check=lost)
    with pytest.raises(LeaseLost):
        export_slice(store, SCHEMA, store.slices(1)[0], archive, stopped)
    full, _ = archived(tmp_path / "full", store)
    target = memory([])
    mapping = mapping_for(SCHEMA, mixed_batch(ROWS), target.capabilities())
    with pytest.raises(LeaseLost):
        load_part(full, 0, mapping, target, stopped)
    assert (target.count(), sum(moved)) == (0, 0)


def test_a_part_is_loaded_whole_and_loading_it_again_changes_nothing(tmp_path: Path) -> None:
    """A load is idempotent, also after one that stopped in the middle; its rows count once."""
    source = memory([mixed_batch(ROWS)])
    archive, _ = archived(tmp_path, source)
    target = Shaky(memory([]), 0, 0, 1)
    mapping, moved = mapping_for(SCHEMA, mixed_batch(ROWS), target.capabilities()), list[int]()
    with pytest.raises(RetryLater):
        load_part(archive, 0, mapping, target, limits(moved))
    assert 0 < target.count() < ROWS
    assert sum(moved) == 0
    for _ in range(2):
        assert load_part(archive, 0, mapping, target, limits(moved)) == ROWS
        assert read_all(target) == read_all(source)
    assert sum(moved) == 2 * ROWS


PICKY = Capabilities(
    "picky",
    "a picky engine",
    id_kinds=memory([]).capabilities().id_kinds,
    vectors=replace(memory([]).capabilities().vectors, nonfinite=False),
    document=True,
)


class Picky(MemoryStore):
    """A store that takes no NaN and no infinity."""

    support: VectorSupport = PICKY.vectors

    def capabilities(self) -> Capabilities:
        return replace(PICKY, vectors=self.support)


def picky(schema: CollectionSchema = SCHEMA) -> Picky:
    store = memory([], schema)
    return Picky(store.url, address.parse(store.url).collection())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_vector_that_the_target_would_take_as_poison_is_refused_by_its_own_id(tmp_path: Path, number: float) -> None:
    """What came into the source after the plan was made is refused, naming the record as the source does."""
    poisoned = one(3, vector=[number] + [1.0] * 7)
    archive, _ = archived(tmp_path, memory([mixed_batch(3), poisoned]))
    mapping = mapping_for(SCHEMA, mixed_batch(3), PICKY)
    with pytest.raises(BadRecord, match="NaN or infinity") as raised:
        load_part(archive, 0, mapping, picky(), limits())
    assert str(name(3)) in str(raised.value)


def test_an_infinity_that_does_not_travel_stops_nothing(tmp_path: Path) -> None:
    """A vector that was agreed to be left behind may hold anything."""
    other = VectorField("other", VectorKind.DENSE, DType.FLOAT32, 2, SCHEMA.vectors[0].metric)
    schema = replace(SCHEMA, vectors=(*SCHEMA.vectors, other))
    batch = mixed_batch(4)
    infinite = columns.dense_array(np.full((4, 2), np.inf, np.float32))
    whole = batch.add_column(3, pa.field("vector.other", infinite.type), infinite)
    archive, _ = archived(tmp_path, memory([whole], schema))
    one_vector = replace(PICKY, vectors=replace(PICKY.vectors, named=False))
    mapping = mapping_for(schema, whole, one_vector, "vector:other")
    assert not mapping.refusals()
    target = picky()
    assert load_part(archive, 0, mapping, target, limits()) == 4
    assert read_all(target) == rows_of([batch])
