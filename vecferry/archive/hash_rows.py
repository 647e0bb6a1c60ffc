"""What a `hashes/` file says of each record: its id here and in the target, its hashes on both sides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.model import IDS_ONLY

__all__ = ["HASHES_SCHEMA", "TARGET_HASH", "TARGET_ID", "TARGET_ID_KIND", "HashRows"]

TARGET_ID, TARGET_ID_KIND, TARGET_HASH = "target_id", "target_id_kind", "target_hash"

_IDS_SCHEMA = columns.arrow_schema((), IDS_ONLY, sealed=True)

HASHES_SCHEMA = pa.schema(
    [
        _IDS_SCHEMA.field(columns.ID),
        _IDS_SCHEMA.field(columns.ID_KIND),
        pa.field(TARGET_ID, pa.string()),
        pa.field(TARGET_ID_KIND, _IDS_SCHEMA.field(columns.ID_KIND).type),
        _IDS_SCHEMA.field(columns.HASHES),
        pa.field(TARGET_HASH, pa.binary(columns.HASHES_BYTES)),
    ]
)
"""The columns of a `hashes/` file. `target_hash` is null for a record that was not found in the target."""

Hashes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class HashRows:
    """Ids and hashes of `n` records. `batch` holds them as columns of `HASHES_SCHEMA`."""

    batch: pa.RecordBatch

    def __init__(
        self, ids: pa.RecordBatch, targets: pa.RecordBatch, source: Hashes, target: Hashes, found: Mask
    ) -> None:
        """Record i of `ids` became record i of `targets` (batches whose ids alone are used).

        `source` and `target` are hashes, `(n, 48) uint8`; those of `target` count where `found`, `(n,) bool`, is true.
        """
        arrays = [
            *(ids.column(name) for name in (columns.ID, columns.ID_KIND)),
            *(targets.column(name) for name in (columns.ID, columns.ID_KIND)),
            columns.fixed_binary_array(source),
            _where(found, target),
        ]
        self.batch = pa.RecordBatch.from_arrays(arrays, schema=HASHES_SCHEMA)

    @classmethod
    def of(cls, batches: Iterable[pa.RecordBatch]) -> Self:
        """The rows of batches of `HASHES_SCHEMA`, all in one."""
        rows = cls.__new__(cls)
        table = pa.Table.from_batches(batches, schema=HASHES_SCHEMA).combine_chunks()
        found = table.to_batches()
        rows.batch = found[0] if found else pa.RecordBatch.from_pylist([], schema=HASHES_SCHEMA)
        return rows

    def slice(self, start: int, rows: int) -> Self:
        """Some rows, in their order, without a copy."""
        return type(self).of([self.batch.slice(start, rows)])

    def filter(self, mask: Mask) -> Self:
        """The rows where the mask is true."""
        return self if mask.all() else type(self).of([self.batch.filter(pa.array(mask))])

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def ids(self) -> pa.RecordBatch:
        """The records' ids."""
        return self.batch.select([columns.ID, columns.ID_KIND])

    def id_hashes(self) -> Hashes:
        """Hashes of the typed ids, `(n, 16) uint8`."""
        return sealing.hash_ids(self.batch)

    def source_hashes(self) -> Hashes:
        """Hashes of the records as read at the source, `(n, 48) uint8`."""
        return columns.stored_hashes(self.batch)

    def target_ids(self) -> pa.RecordBatch:
        """Ids, in the target, of the `m` records that were found there."""
        found = self._found()
        names = [columns.ID, columns.ID_KIND]
        arrays = [found.column(TARGET_ID), found.column(TARGET_ID_KIND)]
        return pa.RecordBatch.from_arrays(arrays, names=names)

    def target_id_hashes(self) -> Hashes:
        """Hashes of `target_ids()`, `(m, 16) uint8`."""
        return sealing.hash_ids(self.target_ids())

    def target_hashes(self) -> Hashes:
        """Hashes of what was read back from the target, `(m, 48) uint8`, in the order of `target_ids()`."""
        return columns.fixed_binary(self._found().column(TARGET_HASH))

    def in_target(self) -> Mask:
        """`(n,) bool`: which records were found in the target."""
        found: Mask = self.batch.column(TARGET_HASH).is_valid().to_numpy(zero_copy_only=False)
        return found

    def _found(self) -> pa.RecordBatch:
        hashes = self.batch.column(TARGET_HASH)
        return self.batch if hashes.null_count == 0 else self.batch.filter(hashes.is_valid())


def _where(found: Mask, hashes: Hashes) -> pa.FixedSizeBinaryArray:
    """Hashes as a column, null where `found` is false."""
    array = columns.fixed_binary_array(hashes)
    if found.all():
        return array
    positions = pa.array(np.arange(len(found)), mask=~found)
    return array.take(positions)
