"""Records that a driver gives as Python objects, as columns: this is where its lists of floats end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical
from vecferry.batch import Dense, Multi, Sparse
from vecferry.model import ALL_PARTS, IdKind, Part, RecordId, VectorField, VectorKind

__all__ = ["DriverRecord", "columns_batch", "driver_id", "objects_batch"]


class DriverRecord(Protocol):
    """A record of the embedded engine or of the official client.

    `vector` is a list (the unnamed vector alone), a mapping by name, or None where none was read.
    """

    @property
    def id(self) -> Any: ...
    @property
    def vector(self) -> Any: ...
    @property
    def payload(self) -> Any: ...


def driver_id(value: Any) -> RecordId:
    """A driver's id: an int, a UUID object or a UUID's text."""
    if isinstance(value, int):
        return RecordId(IdKind.UINT64, str(value))
    return RecordId(IdKind.UUID, str(value).lower())


def objects_batch(
    records: Sequence[DriverRecord], fields: Sequence[VectorField], parts: frozenset[Part] = ALL_PARTS
) -> pa.RecordBatch:
    """A batch in the collection's schema from records with the wanted parts."""
    ids = [driver_id(record.id) for record in records]
    vectors: dict[str, Dense | Sparse | Multi] = {}
    if Part.VECTORS in parts:
        named = [_by_name(record.vector) for record in records]
        vectors = {field.name: _column([row.get(field.name) for row in named], field) for field in fields}
    payloads = None
    if Part.PAYLOAD in parts:
        payloads = canonical.encode_many(record.payload or {} for record in records)
    texts = pa.array([item.text for item in ids], pa.string())
    return columns_batch(texts, [item.kind for item in ids], vectors, payloads, fields, parts)


def columns_batch(
    ids: pa.StringArray,
    kinds: Sequence[IdKind] | IdKind,
    vectors: dict[str, Dense | Sparse | Multi],
    payloads: Sequence[bytes] | None,
    fields: Sequence[VectorField],
    parts: frozenset[Part],
) -> pa.RecordBatch:
    """A batch in the collection's schema from columns; numbers are narrowed to the stored type."""
    batch = columns.make(
        ids,
        kinds,
        vectors={field.name: _array(vectors[field.name], field) for field in fields} if vectors else None,
        documents=pa.nulls(len(ids), pa.string()) if Part.DOCUMENT in parts else None,
        payloads=payloads,
    )
    return batch.cast(columns.arrow_schema(fields, parts))


def _by_name(vector: Any) -> dict[str, Any]:
    if vector is None:
        return {}
    return vector if isinstance(vector, dict) else {"": vector}


def _array(column: Dense | Sparse | Multi, field: VectorField) -> pa.Array:
    # Exact: what is stored in fewer bits was only widened on its way here.
    values = column.values.astype(np.dtype(field.dtype.value), copy=False)
    if isinstance(column, Dense):
        return columns.dense_array(Dense(values, column.present).full(), column.present)
    if isinstance(column, Sparse):
        return columns.sparse_array(Sparse(column.indices, values, column.offsets, column.present))
    return columns.multi_array(Multi(values, column.offsets, column.present))


def _column(rows: Sequence[Any], field: VectorField) -> Dense | Sparse | Multi:
    given = [row for row in rows if row is not None]
    present = None if len(given) == len(rows) else np.array([row is not None for row in rows], dtype=np.bool_)
    if field.kind is VectorKind.DENSE:
        return Dense(_matrix(given, field), present)
    if field.kind is VectorKind.MULTI:
        offsets = _offsets([0 if row is None else len(row) for row in rows])
        return Multi(_matrix([vector for row in given for vector in row], field), offsets, present)
    offsets = _offsets([0 if row is None else len(row.indices) for row in rows])
    indices = np.fromiter(chain.from_iterable(row.indices for row in given), dtype=np.uint32, count=offsets[-1])
    values = np.fromiter(chain.from_iterable(row.values for row in given), dtype=np.float32, count=offsets[-1])
    return Sparse(indices, values, offsets, present)


def _matrix(rows: Sequence[Any], field: VectorField) -> npt.NDArray[np.float32]:
    return np.array(rows, dtype=np.float32).reshape(len(rows), field.dimension or 0)


def _offsets(lengths: Sequence[int]) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
