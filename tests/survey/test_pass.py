"""The one pass over a source that gives inventory and survey."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import stamina

from tests.support.migrating import mixed_batch
from tests.transfer.support import memory
from vecferry import batch as columns
from vecferry.config import MigrationConfig, make_config
from vecferry.contract import Source
from vecferry.errors import RetryLater
from vecferry.model import ALL_PARTS, CollectionSchema, IdKind, Part, Slice, VectorField
from vecferry.transfer.decoded import DecodedSource
from vecferry.transfer.inventory import Surveyed, take_survey

ROWS = 300


def config(url: str, **more: object) -> MigrationConfig:
    """The options that say how a source is read."""
    return make_config({"source": url, "target": url, "slice_rows": 50, **more})


class Watched(DecodedSource):
    """A source that notes what it is asked for, and goes away once, half-way through a slice."""

    def __init__(self, inner: Source, *, faults: int = 0) -> None:
        self.inner, self.url = inner, inner.url
        self.faults, self.batch_rows, self.parts = faults, set[int](), set[frozenset[Part]]()

    def describe(self) -> CollectionSchema:
        return self.inner.describe()

    def slices(self, n: int) -> list[Slice]:
        return self.inner.slices(n)

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        self.batch_rows.add(batch_rows)
        self.parts.add(columns)
        for number, found in enumerate(self.inner.read(part, columns, 10)):
            if number == 2 and self.faults:
                self.faults -= 1
                raise RetryLater("away")
            yield found


def survey(source: Source, *, vectors: bool = True, **more: object) -> tuple[Surveyed, list[int], list[int]]:
    """The survey, what `begin` was told, and the rows that passed."""
    begun, moved = list[int](), list[int]()
    found = take_survey(source, config(source.url, **more), begun.append, moved.append, vectors=vectors)
    return found, begun, moved


def test_a_slice_that_is_read_again_counts_once() -> None:
    """The store goes away after two batches of a slice: what was seen of it is forgotten, and read anew."""
    store = memory([mixed_batch(ROWS)])
    expected, _, _ = survey(store)
    with stamina.set_testing(True, attempts=3):
        found, begun, moved = survey(Watched(store, faults=1))
    assert found.survey == expected.survey
    assert found.inventory.profile == expected.inventory.profile
    assert (begun, sum(moved)) == ([ROWS], ROWS)
    assert min(moved) < 0, "rows of the attempt that failed are taken back"


def test_long_vectors_come_in_small_batches() -> None:
    """32 MiB of vectors at a time, whatever their length; payloads alone come by 5,000."""
    field = VectorField("", dimension=1 << 20)
    array = columns.dense_array(np.ones((2, 1 << 20), dtype=np.float32))
    rows = columns.make(["1", "2"], IdKind.UINT64, vectors={"": array}, documents=[None, None], payloads=["{}", "{}"])
    source = Watched(memory([rows], CollectionSchema("long", (field,), frozenset({IdKind.UINT64}))))
    survey(source)
    assert source.batch_rows == {8}
    survey(source, vectors=False)
    assert source.batch_rows == {8, 5000}


def test_vectors_are_read_unless_they_are_not_wanted() -> None:
    """Also where reading them costs much: an inventory for people tells of them."""
    source = Watched(memory([mixed_batch(ROWS)]))
    assert set(survey(source)[0].survey.vectors) == set(columns.vector_names(mixed_batch(1)))
    assert source.parts == {ALL_PARTS}
    source = Watched(memory([mixed_batch(ROWS)]))
    assert survey(source, vectors=False)[0].survey.vectors == {}
    assert source.parts == {ALL_PARTS - {Part.VECTORS}}


def test_a_part_of_the_records_is_told_beside_all() -> None:
    """With a limit so many are read, and the exact count is known all the same."""
    found, begun, moved = survey(memory([mixed_batch(ROWS)]), limit=70)
    assert (found.survey.rows, found.inventory.profile.rows, found.records) == (70, 70, ROWS)
    assert (begun, sum(moved)) == ([70], 70)
