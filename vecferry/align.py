"""Bring what was read back into the order of what was expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns

__all__ = ["Aligned", "align"]


@dataclass(frozen=True, slots=True)
class Aligned:
    """Expected rows and, in the same order, the rows found for them; both hold only those that were found.

    `found` is `(n,) bool` over all `n` that were expected, `missing` the ids of those that were not found;
    `surplus` are the ids of rows that nobody expected, or that came once more.
    """

    expected: pa.RecordBatch
    actual: pa.RecordBatch
    found: npt.NDArray[np.bool_]
    missing: pa.RecordBatch
    surplus: pa.RecordBatch


def align(expected: pa.RecordBatch, actual: pa.RecordBatch) -> Aligned:
    """Match rows by typed id; the ids of `expected` are distinct."""
    positions = pc.index_in(_keys(expected), value_set=_keys(actual))
    found = positions.is_valid().to_numpy(zero_copy_only=False)
    missing, surplus = columns.ids_of(expected).slice(0, 0), columns.ids_of(actual).slice(0, 0)
    if not found.all():
        missing = columns.ids_of(expected).filter(pa.array(~found))
        expected, positions = expected.filter(pa.array(found)), positions.drop_null()
    rows = positions.to_numpy(zero_copy_only=False)
    if len(rows) < actual.num_rows:
        left = np.ones(actual.num_rows, dtype=np.bool_)
        left[rows] = False
        surplus = columns.ids_of(actual).filter(pa.array(left))
    elif np.array_equal(rows, np.arange(len(rows))):
        return Aligned(expected, actual, found, missing, surplus)
    return Aligned(expected, actual.take(positions), found, missing, surplus)


def _keys(batch: pa.RecordBatch) -> pa.Array:
    """One text per typed id; the kind has no space, so the pair is injective."""
    kinds = batch.column(columns.ID_KIND).cast(pa.string())
    return pc.binary_join_element_wise(kinds, batch.column(columns.ID), " ")
