"""The two ways of a delta: forward into the target, or in reverse into the source's own store.

A way says of some rows of a delta which are written and which are removed, under which ids, what is written, and what
reading it back must give. The recorded id in the target wins over what the mapping would give now.
"""

from __future__ import annotations

from collections.abc import Mapping as Names
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive.delta_rows import BEFORE_TARGET_HASH, KEPT_HASH, DeltaHashRows, DeltaRows
from vecferry.archive.hash_rows import TARGET_HASH
from vecferry.capabilities import Capabilities
from vecferry.idtable import IdTable
from vecferry.mapping import Mapping, Tolerance, floats
from vecferry.mapping.vectors import EXACT, NEAR, NEAR_FLOAT16
from vecferry.model import CollectionSchema, DType, VectorField

__all__ = ["Forward", "Reverse", "Way", "intended"]

Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint8]


class Way(Protocol):
    """How a delta's rows become writes to one store."""

    @property
    def vectors(self) -> tuple[VectorField, ...]:
        """Of the records that are written."""
        ...

    @property
    def tolerances(self) -> Names[str, Tolerance]:
        """How near their vectors must come back."""
        ...

    def writes(self, rows: DeltaRows) -> Mask:
        """`(n,) bool`: which rows are written."""
        ...

    def removes(self, rows: DeltaRows) -> Mask:
        """`(n,) bool`: which rows must not be in the store afterwards."""
        ...

    def places(self, rows: DeltaRows) -> pa.RecordBatch:
        """The ids of rows in the store."""
        ...

    def wanted(self, rows: DeltaRows) -> pa.RecordBatch:
        """The records to write, in the order of the rows. Raises BadRecord as `Mapping.forward` does."""
        ...

    def expected(self, rows: DeltaRows) -> pa.RecordBatch:
        """What reading them back must give, vectors within `tolerances`."""
        ...

    def found(self, rows: DeltaRows, hashes: Hashes, there: Mask) -> DeltaHashRows:
        """What is recorded of rows, given part hashes `(n, 48)` of what was read back where `there` is true."""
        ...


@dataclass(frozen=True)
class Forward:
    """From the source into the target."""

    mapping: Mapping

    @property
    def vectors(self) -> tuple[VectorField, ...]:
        """Those of the target."""
        return self.mapping.target_schema.vectors

    @property
    def tolerances(self) -> Names[str, Tolerance]:
        """Those of the plan."""
        return self.mapping.tolerances

    def writes(self, rows: DeltaRows) -> Mask:
        """Upserts of records that travel."""
        upserts = ~rows.gone()
        left = self.mapping.left_behind(columns.drop_hashes(rows.filter(upserts).records()))
        if left.num_rows:
            upserts &= IdTable([sealing.hash_ids(left)]).absent(sealing.hash_ids(rows.batch))
        return upserts

    def removes(self, rows: DeltaRows) -> Mask:
        """What is gone, or does not travel (any more), and has a place in the target."""
        return ~self.writes(rows) & rows.placed()

    def places(self, rows: DeltaRows) -> pa.RecordBatch:
        """The recorded ids."""
        return rows.target_ids()

    def wanted(self, rows: DeltaRows) -> pa.RecordBatch:
        """The records as the plan maps them."""
        return _with_ids(self.mapping.forward(columns.drop_hashes(rows.records())), rows.target_ids())

    def expected(self, rows: DeltaRows) -> pa.RecordBatch:
        """The records as the plan predicts them."""
        return _with_ids(self.mapping.expected(columns.drop_hashes(rows.records())), rows.target_ids())

    def found(self, rows: DeltaRows, hashes: Hashes, there: Mask) -> DeltaHashRows:
        """The target's hashes; what the source held is in the delta."""
        return DeltaHashRows.of(rows, _where(there, hashes))


@dataclass(frozen=True)
class Reverse:
    """From the target into the source's store, whose records are in the source's terms.

    `schema` and `capabilities` are that store's. `encoding`: where it bears the mark of an earlier migration, how its
    records are encoded.
    """

    schema: CollectionSchema
    capabilities: Capabilities
    encoding: Mapping | None = None

    @property
    def vectors(self) -> tuple[VectorField, ...]:
        """Those of the source's store."""
        return self.schema.vectors if self.encoding is None else self.encoding.target_schema.vectors

    @property
    def tolerances(self) -> Names[str, Tolerance]:
        """None, but where the store normalises or rounds what it is given, or gives back other bits each time."""
        if self.encoding is not None:
            return self.encoding.tolerances
        return {field.name: self._tolerance(field) for field in self.schema.vectors}

    def _tolerance(self, field: VectorField) -> Tolerance:
        vectors = self.capabilities.vectors
        if field.metric not in vectors.normalises | vectors.distorts and self.capabilities.returns_same_bits:
            return EXACT
        near = NEAR_FLOAT16 if field.dtype is DType.FLOAT16 else NEAR
        return Tolerance(near.relative, near.absolute, direction=field.metric in vectors.normalises)

    def writes(self, rows: DeltaRows) -> Mask:
        """Upserts."""
        return ~rows.gone()

    def removes(self, rows: DeltaRows) -> Mask:
        """What is gone."""
        return rows.gone()

    def places(self, rows: DeltaRows) -> pa.RecordBatch:
        """The records' own ids."""
        return rows.ids() if self.encoding is None else self.encoding.forward(rows.ids())

    def wanted(self, rows: DeltaRows) -> pa.RecordBatch:
        """The records themselves."""
        records = columns.drop_hashes(rows.records())
        return records if self.encoding is None else self.encoding.forward(records)

    def expected(self, rows: DeltaRows) -> pa.RecordBatch:
        """The records, payload floats as the store keeps them."""
        records = columns.drop_hashes(rows.records())
        if self.encoding is not None:
            return self.encoding.expected(records)
        at = records.schema.get_field_index(columns.PAYLOAD)
        passes = floats.PASSES[self.capabilities.payload.float_text]
        predicted, _ = floats.predict_column(records.column(columns.PAYLOAD), passes)
        return records.set_column(at, records.schema.field(at), predicted)

    def found(self, rows: DeltaRows, hashes: Hashes, there: Mask) -> DeltaHashRows:
        """The target's hashes are in the delta; of the source's store what was read back, but for kept parts."""
        kept = rows.column(KEPT_HASH)
        known = kept.is_valid().to_numpy(zero_copy_only=False)
        if known.any():
            hashes = hashes.copy()
            hashes[known] = _kept(columns.fixed_binary(kept.drop_null()), hashes[known])
        targets = rows.column(TARGET_HASH)
        return DeltaHashRows.of(rows, targets, _where(there, hashes))


def intended(rows: DeltaRows) -> tuple[Hashes, Mask]:
    """Hashes `(n, 48)` of what was known to be in the target before, and `(n,) bool` where there was anything."""
    before = rows.column(BEFORE_TARGET_HASH)
    there: Mask = before.is_valid().to_numpy(zero_copy_only=False)
    hashes = np.zeros((len(rows), columns.HASHES_BYTES), dtype=np.uint8)
    hashes[there] = columns.fixed_binary(before.drop_null())
    return hashes, there


def _kept(kept: Hashes, found: Hashes) -> Hashes:
    parts, others = kept.reshape(len(kept), -1, 16), found.reshape(len(found), -1, 16)
    return np.where(parts.any(axis=2, keepdims=True), parts, others).reshape(found.shape)


def _with_ids(batch: pa.RecordBatch, ids: pa.RecordBatch) -> pa.RecordBatch:
    """The batch under other ids."""
    for name in (columns.ID, columns.ID_KIND):
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, batch.schema.field(at), ids.column(name))
    return batch


def _where(there: Mask, hashes: Hashes) -> pa.FixedSizeBinaryArray:
    array = columns.fixed_binary_array(hashes)
    return array if there.all() else array.take(pa.array(np.arange(len(there)), mask=~there))
