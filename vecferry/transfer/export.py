"""From source to archive: one slice becomes one part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints
from vecferry.archive import Archive
from vecferry.contract import Source
from vecferry.model import CollectionSchema, Receipt, Slice
from vecferry.transfer import progress, retry
from vecferry.transfer.pace import Pace
from vecferry.transfer.read import read_slice

__all__ = ["Limits", "export_slice"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a transfer: rows in a batch, seconds of retries for one call, and rows per second.

    `check` is called before each batch and raises when this run may not go on (its lease was lost).
    `moved` is told of rows that were moved.
    """

    batch_rows: int
    retry_budget_s: float
    pace: Pace
    check: Callable[[], None]
    moved: Callable[[int], None]


def export_slice(source: Source, schema: CollectionSchema, part: Slice, archive: Archive, limits: Limits) -> Receipt:
    """Read a slice and write its part, whole or not at all; a fault that may pass starts the part anew.

    Memory holds a few batches, whatever the size of the slice.
    """
    types = columns.arrow_schema(schema.vectors)

    def attempt() -> Receipt:
        return archive.write_part(part.number, types, _counted(source, part, limits))

    receipt = retry.call(limits.retry_budget_s, attempt)
    failpoints.reached("export.part_written")
    return receipt


def _counted(source: Source, part: Slice, limits: Limits) -> Iterator[pa.RecordBatch]:
    with progress.provisional(limits.moved) as moved:
        for batch in read_slice(source, part, batch_rows=limits.batch_rows):
            limits.check()
            limits.pace.take(batch.num_rows)
            yield batch
            moved(batch.num_rows)
