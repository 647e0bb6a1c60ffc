"""Reading a plan's slices, the limited one of a trial included."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from vecferry import plain
from vecferry.contract import Source
from vecferry.model import ALL_PARTS, Part, Slice
from vecferry.transfer import progress
from vecferry.transfer.limits import Limits
from vecferry.transfer.plan import FIRST_ROWS

__all__ = ["read_slice", "read_within"]


def read_slice(
    source: Source, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
) -> Iterator[pa.RecordBatch]:
    """Batches of one slice of a plan."""
    if FIRST_ROWS not in part.bounds:
        return source.read(part, columns, batch_rows)
    inner = [plain.from_plain(Slice, item) for item in part.bounds["of"]]
    batches = (batch for item in inner for batch in source.read(item, columns, batch_rows))
    return _first(batches, part.bounds[FIRST_ROWS])


def read_within(source: Source, part: Slice, limits: Limits) -> Iterator[pa.RecordBatch]:
    """The whole records of a slice, no faster than the limits allow; rows count once the next batch is asked for."""
    with progress.provisional(limits.moved) as moved:
        for batch in read_slice(source, part, batch_rows=limits.batch_rows):
            limits.check()
            limits.pace.take(batch.num_rows)
            yield batch
            moved(batch.num_rows)


def _first(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch.slice(0, rows)
        rows -= batch.num_rows
        if rows <= 0:
            return
