"""What a delta says of each record: what became of it, its place on the other side, and what stood there before.

A delta holds each id once. An *upsert* carries the whole record; a *tombstone* says that the record is gone: no
vectors, no document, the payload `{}`, and 48 zero bytes for a hash, which no record has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive.hash_rows import HASHES_SCHEMA, TARGET_HASH, TARGET_ID, TARGET_ID_KIND
from vecferry.model import VectorField

__all__ = [
    "BEFORE_HASH",
    "BEFORE_TARGET_HASH",
    "DELTA_HASHES_SCHEMA",
    "FOUND_HASH",
    "KEPT_HASH",
    "OP",
    "SEQ",
    "Before",
    "DeltaHashRows",
    "DeltaRows",
    "Op",
    "delta_schema",
    "is_tombstone",
    "ops",
]

SEQ, OP = "seq", "op"
BEFORE_HASH, BEFORE_TARGET_HASH = "before_hash", "before_target_hash"
KEPT_HASH, FOUND_HASH = "kept_hash", "found_hash"

_HASH = pa.binary(columns.HASHES_BYTES)
_OP_TYPE = pa.dictionary(pa.int8(), pa.string())

Hashes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Op(StrEnum):
    """What became of a record."""

    UPSERT = "upsert"
    TOMBSTONE = "tombstone"


DELTA_HASHES_SCHEMA = pa.schema(
    [pa.field(OP, _OP_TYPE, nullable=False), *HASHES_SCHEMA, pa.field(FOUND_HASH, _HASH)],
)
"""The columns of a delta's file of hashes. `target_hash` is null for a record that is not in the target."""


def delta_schema(vectors: Sequence[VectorField]) -> pa.Schema:
    """The columns of a delta: those of a sealed part between `seq`, `op` and what is known of the other side."""
    nullable = [HASHES_SCHEMA.field(TARGET_ID), HASHES_SCHEMA.field(TARGET_ID_KIND), HASHES_SCHEMA.field(TARGET_HASH)]
    return pa.schema(
        [
            pa.field(SEQ, pa.int64(), nullable=False),
            pa.field(OP, _OP_TYPE, nullable=False),
            *columns.arrow_schema(vectors, sealed=True),
            *nullable,
            pa.field(BEFORE_HASH, _HASH),
            pa.field(BEFORE_TARGET_HASH, _HASH),
            pa.field(KEPT_HASH, _HASH),
        ]
    )


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of `n` records when a delta was made: columns with a null where nothing was.

    `target_ids` and `target_kinds`: where each is, or will be, in the target. `hashes`: of the archived record;
    `target_hashes`: of what was last read back from the target.
    """

    target_ids: pa.StringArray
    target_kinds: pa.DictionaryArray
    hashes: pa.FixedSizeBinaryArray
    target_hashes: pa.FixedSizeBinaryArray

    def take(self, rows: npt.NDArray[np.int64]) -> Before:
        """Some rows, in the order given."""
        at = pa.array(rows)
        return Before(*(getattr(self, name).take(at) for name in self.__slots__))


class DeltaRows:
    """Some rows of a delta. `batch` has the columns of `delta_schema`."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    @classmethod
    def upserts(
        cls,
        first: int,
        records: pa.RecordBatch,
        before: Before,
        found: pa.Array | None = None,
        kept: pa.Array | None = None,
    ) -> Self:
        """Whole records, sealed here; `seq` counts from `first`.

        `found`: for records that came from the target, hashes of what stood there (48 bytes each).
        `kept`: hashes to record as known of the source, in place of those of what is read back there; a part of 16
        zero bytes counts as read back.
        """
        return cls._made(first, Op.UPSERT, sealing.seal(records), before, found, kept)

    @classmethod
    def tombstones(
        cls,
        first: int,
        vectors: Sequence[VectorField],
        ids: pa.RecordBatch,
        before: Before,
        found: pa.Array | None = None,
    ) -> Self:
        """Ids of records that are gone. `found`: hashes of what stands in the target all the same."""
        empty = {field.name: pa.nulls(ids.num_rows, columns.arrow_type(field)) for field in vectors}
        records = columns.make(
            ids.column(columns.ID),
            ids.column(columns.ID_KIND),
            vectors=empty,
            documents=pa.nulls(ids.num_rows, pa.string()),
            payloads=["{}"] * ids.num_rows,
        )
        none = np.zeros((ids.num_rows, columns.HASHES_BYTES), dtype=np.uint8)
        return cls._made(first, Op.TOMBSTONE, columns.with_hashes(records, none), before, found)

    @classmethod
    def _made(cls, first: int, op: Op, sealed: pa.RecordBatch, before: Before, *more: pa.Array | None) -> Self:
        rows = sealed.num_rows
        schema = delta_schema(columns.fields_of(sealed.schema))
        found, kept = (pa.nulls(rows, _HASH) if one is None else one for one in (*more, None, None)[:2])
        arrays = [
            pa.array(np.arange(first, first + rows, dtype=np.int64)),
            ops([op] * rows),
            *(
                sealed.column(name)
                for name in columns.arrow_schema(columns.fields_of(sealed.schema), sealed=True).names
            ),
            before.target_ids,
            before.target_kinds,
            found,
            before.hashes,
            before.target_hashes,
            kept,
        ]
        return cls(pa.RecordBatch.from_arrays(arrays, schema=schema))

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def gone(self) -> Mask:
        """`(n,) bool`: which rows are tombstones."""
        return is_tombstone(self.batch)

    def from_target(self) -> Mask:
        """`(n,) bool`: which rows tell what stood in the target, and go to the source."""
        found: Mask = self.batch.column(TARGET_HASH).is_valid().to_numpy(zero_copy_only=False)
        return found

    def filter(self, mask: Mask) -> DeltaRows:
        """The rows where the mask is true."""
        return self if mask.all() else DeltaRows(self.batch.filter(pa.array(mask)))

    def records(self) -> pa.RecordBatch:
        """The records as those of a sealed part; rows that are gone hold nothing but their id."""
        return self.batch.select(columns.arrow_schema(columns.fields_of(self.batch.schema), sealed=True).names)

    def ids(self) -> pa.RecordBatch:
        """Ids in the source's terms."""
        return columns.ids_of(self.batch)

    def target_ids(self) -> pa.RecordBatch:
        """Ids in the target; null for a record that has no place there."""
        arrays = [self.batch.column(TARGET_ID), self.batch.column(TARGET_ID_KIND)]
        return pa.RecordBatch.from_arrays(arrays, names=[columns.ID, columns.ID_KIND])

    def placed(self) -> Mask:
        """`(n,) bool`: which rows have an id in the target."""
        found: Mask = self.batch.column(TARGET_ID).is_valid().to_numpy(zero_copy_only=False)
        return found

    def column(self, name: str) -> pa.Array:
        """One column."""
        return self.batch.column(name)


class DeltaHashRows:
    """What was read back of some rows of a delta. `batch` has the columns of `DELTA_HASHES_SCHEMA`."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    @classmethod
    def of(cls, rows: DeltaRows, target_hashes: pa.Array, found_hashes: pa.Array | None = None) -> Self:
        """The rows of a delta with hashes of what is in the target now (null: nothing is).

        `found_hashes`: of what was read back from the source's store, where the delta was written there.
        """
        names = (OP, columns.ID, columns.ID_KIND, TARGET_ID, TARGET_ID_KIND, columns.HASHES)
        found = pa.nulls(len(rows), _HASH) if found_hashes is None else found_hashes
        arrays = [*(rows.column(name) for name in names), target_hashes, found]
        return cls(pa.RecordBatch.from_arrays(arrays, schema=DELTA_HASHES_SCHEMA))

    def __len__(self) -> int:
        return int(self.batch.num_rows)


def ops(values: Iterable[Op]) -> pa.DictionaryArray:
    """The `op` column."""
    codes = pa.array([list(Op).index(value) for value in values], pa.int8())
    return pa.DictionaryArray.from_arrays(codes, pa.array([op.value for op in Op], pa.string()))


def is_tombstone(batch: pa.RecordBatch) -> Mask:
    """`(n,) bool`: which rows of a delta, or of its hashes, are tombstones."""
    found: Mask = pc.equal(batch.column(OP).cast(pa.string()), Op.TOMBSTONE.value).to_numpy(zero_copy_only=False)
    return found
