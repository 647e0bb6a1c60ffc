"""Records as plain Python values, so that tests can compare what two stores gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry.contract import Source
from vecferry.model import ALL_PARTS, Part, RecordId, VectorField, VectorKind

__all__ = ["RawRow", "Row", "read_all", "rows_of", "unit"]

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class RawRow:
    """What the raw client shows of one record: the unnamed vector, the payload and the document as plain values."""

    vector: Any
    payload: Any
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One record: a vector is its dtype and bytes (None: absent), the payload its canonical text."""

    vectors: dict[str, Any]
    document: str | None
    payload: bytes | None


def rows_of(found: Iterable[pa.RecordBatch]) -> dict[RecordId, Row]:
    """Records by id; AssertionError when an id comes twice."""
    rows: dict[RecordId, Row] = {}
    for batch in found:
        for record_id, row in _rows(batch):
            assert record_id not in rows, f"{record_id} came twice"
            rows[record_id] = row
    return rows


def read_all(
    source: Source, parts: frozenset[Part] = ALL_PARTS, slices: int = 1, batch_rows: int = 1000
) -> dict[RecordId, Row]:
    """Everything that the slices of a source give."""
    return rows_of(batch for part in source.slices(slices) for batch in source.read(part, parts, batch_rows=batch_rows))


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[RecordId, Row]]:
    parts = batches.parts_of(batch)
    vectors = {field.name: _values(batch, field) for field in batches.fields_of(batch.schema)}
    documents = batches.documents_list(batch) if Part.DOCUMENT in parts else None
    payloads = batches.payloads(batch) if Part.PAYLOAD in parts else None
    for at, record_id in enumerate(batches.record_ids(batch)):
        yield (
            record_id,
            Row(
                {name: values[at] for name, values in vectors.items()},
                documents[at] if documents is not None else None,
                payloads[at] if payloads is not None else None,
            ),
        )


def _values(batch: pa.RecordBatch, field: VectorField) -> list[Any]:
    if field.kind is VectorKind.DENSE:
        dense = batches.dense_column(batch, field.name)
        return _place((_bits(row) for row in dense.values), dense.present, batch.num_rows)
    sparse = field.kind is VectorKind.SPARSE
    column = batches.sparse_column(batch, field.name) if sparse else batches.multi_column(batch, field.name)
    absent = np.zeros(batch.num_rows, dtype=bool) if column.present is None else ~column.present
    return [None if absent[at] else _entries(column, at) for at in range(batch.num_rows)]


def _entries(column: batches.Sparse | batches.Multi, at: int) -> Any:
    start, end = column.offsets[at], column.offsets[at + 1]
    bits = _bits(column.values[start:end])
    return (column.indices[start:end].tobytes(), bits) if isinstance(column, batches.Sparse) else bits


def _place(present_rows: Iterator[Any], present: npt.NDArray[np.bool_] | None, rows: int) -> list[Any]:
    return [next(present_rows) if present is None or present[at] else None for at in range(rows)]


def _bits(values: Numbers) -> tuple[str, tuple[int, ...], bytes]:
    return values.dtype.name, values.shape, values.tobytes()


def unit(values: Numbers) -> Numbers:
    """Rows of `(n, dim)` divided by their Euclidean norm, in double precision; rows of zeros stay."""
    wide = values.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    scaled: Numbers = np.divide(wide, norms, out=wide, where=norms > 0)
    return scaled
