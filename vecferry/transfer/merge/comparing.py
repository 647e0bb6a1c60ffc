"""Whether two versions of a record are the same, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import sealing
from vecferry.errors import BadRecord
from vecferry.idtable import IdTable
from vecferry.mapping import Mapping
from vecferry.model import IdKind

__all__ = [
    "Comparator",
    "Hashes",
    "Mask",
    "Rows",
    "alike",
    "bisected",
    "exactly",
    "gathered",
    "kind_column",
    "moved",
    "parts_differ",
]

Hashes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
Values = TypeVar("Values", bound=npt.NDArray[Any])

Comparator = Callable[[pa.RecordBatch, pa.RecordBatch], Mask]
"""Two batches of the same records in the same order, in the source's terms: expected, found. Which parts are the same
value, `(n, 3) bool` in the order of `sealing.PART_ORDER`. One that allows a tolerance is for a store that changes what
it stores (unit vectors, rounding)."""


def exactly(expected: pa.RecordBatch, found: pa.RecordBatch) -> Mask:
    """Parts whose bits are the same; vectors by the columns that both have."""
    shared = set(expected.schema.names) & set(found.schema.names)
    pair = [batch.select([name for name in batch.schema.names if name in shared]) for batch in (expected, found)]
    same = [(sealing.hash_part(pair[0], part) == sealing.hash_part(pair[1], part)) for part in sealing.PART_ORDER]
    return np.stack([part.all(axis=1) for part in same], axis=1)


def alike(expected: pa.RecordBatch, found: pa.RecordBatch, compare: Comparator) -> Mask:
    """Parts that are the same bits, or the same by `compare`: `(n, 3) bool`."""
    same = exactly(expected, found)
    rows = np.flatnonzero(~same.all(axis=1))
    if len(rows) and compare is not exactly:
        some = pa.array(rows)
        same[rows] |= compare(expected.take(some), found.take(some))
    return same


def parts_differ(one: Hashes, other: Hashes) -> Mask:
    """Which of the three parts differ in two `(n, 48)` columns of hashes: `(n, 3) bool`."""
    pairs = (sealing.of_part(one, part) != sealing.of_part(other, part) for part in sealing.PART_ORDER)
    return np.stack([pair.any(axis=1) for pair in pairs], axis=1)


def gathered(values: Values, at: Rows) -> Values:
    """`values[at]`, zeros (or False) where `at` is -1."""
    found = np.zeros((len(at), *values.shape[1:]), dtype=values.dtype)
    rows = np.flatnonzero(at >= 0)
    found[rows] = values[at[rows]]
    return cast(Values, found)


def kind_column(kinds: pa.StringArray) -> pa.DictionaryArray:
    """Kinds as text in the form of an `id_kind` column; null stays null."""
    known = pa.array([kind.value for kind in IdKind], pa.string())
    return pa.DictionaryArray.from_arrays(pc.index_in(kinds, value_set=known).cast(pa.int8()), known)


def moved(records: pa.RecordBatch, mapping: Mapping) -> tuple[pa.RecordBatch, Rows]:
    """What the new store would give back of these records, in the source's terms, and which rows those are.

    A record that does not travel, or that the mapping refuses, is not among them.
    """
    pieces = [piece for piece, error in bisected(records, mapping.expected) if error is None]
    if not pieces:
        return records.slice(0, 0), np.zeros(0, dtype=np.int64)
    there = mapping.backward(pa.concat_batches(pieces))
    return there, IdTable([sealing.hash_ids(records)]).find(sealing.hash_ids(there))


def bisected(
    batch: pa.RecordBatch, change: Callable[[pa.RecordBatch], pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, BadRecord | None]]:
    """`change` of all rows that it takes, in order; of one that it refuses, that row as it came and the error."""
    if not batch.num_rows:
        return
    try:
        yield change(batch), None
    except BadRecord as error:
        if batch.num_rows == 1:
            yield batch, error
            return
        half = batch.num_rows // 2
        yield from bisected(batch.slice(0, half), change)
        yield from bisected(batch.slice(half), change)
