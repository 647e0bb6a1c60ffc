"""Bring what was read back into the order of what was expected."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns

__all__ = ["Aligned", "align"]

Mask = npt.NDArray[np.bool_]


class Aligned:
    """Expected rows, the rows found for them in the same order, and which of the expected were found.

    `expected` and `actual` hold only the rows that were found; `found` is `(n,) bool` over all expected.
    """

    def __init__(self, expected: pa.RecordBatch, actual: pa.RecordBatch) -> None:
        positions = pc.index_in(_keys(expected), value_set=_keys(actual))
        self.found: Mask = positions.is_valid().to_numpy(zero_copy_only=False)
        self.whole = bool(self.found.all())
        self.expected = expected if self.whole else expected.filter(pa.array(self.found))
        self.actual = actual.take(positions if self.whole else positions.drop_null())


def align(expected: pa.RecordBatch, actual: pa.RecordBatch) -> Aligned:
    """Match rows by typed id."""
    return Aligned(expected, actual)


def _keys(batch: pa.RecordBatch) -> pa.Array:
    """One text per typed id; the kind has no space, so the pair is injective."""
    kinds = batch.column(columns.ID_KIND).cast(pa.string())
    return pc.binary_join_element_wise(kinds, batch.column(columns.ID), " ")
