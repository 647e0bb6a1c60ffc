"""From source to archive: one slice becomes one part."""

from __future__ import annotations

from collections.abc import Sequence

from vecferry import batch as columns
from vecferry import failpoints
from vecferry.archive import Archive
from vecferry.contract import Source
from vecferry.model import CollectionSchema, Receipt, Slice
from vecferry.transfer import retry
from vecferry.transfer.limits import Limits
from vecferry.transfer.read import read_within

__all__ = ["export_slice", "export_slices"]


def export_slice(source: Source, schema: CollectionSchema, part: Slice, archive: Archive, limits: Limits) -> Receipt:
    """Read a slice and write its part, whole or not at all; a fault that may pass starts the part anew.

    Memory holds a few batches, whatever the size of the slice.
    """
    return export_slices(source, schema, part.number, (part,), archive, limits)


def export_slices(
    source: Source, schema: CollectionSchema, number: int, slices: Sequence[Slice], archive: Archive, limits: Limits
) -> Receipt:
    """Write the part of this number from several slices, one after the other; else as `export_slice`."""
    types = columns.arrow_schema(schema.vectors)

    def attempt() -> Receipt:
        batches = (batch for one in slices for batch in read_within(source, one, limits))
        return archive.write_part(number, types, batches)

    receipt = retry.call(limits.retry_budget_s, attempt)
    failpoints.reached("export.part_written")
    return receipt
