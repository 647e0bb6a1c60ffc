"""Records by the official client alone: the slow public way, which shows what others see, and serves where the fast
one does not fit the installed libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from vecferry import batch as batches
from vecferry import canonical
from vecferry.batch import Sparse
from vecferry.model import DType, IdKind, Part, VectorKind
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.failures import public_errors
from vecferry.stores.milvus.layout import DYNAMIC, Layout, VectorPlace
from vecferry.stores.milvus.records import ORDERED, make_batch, wanted_fields

__all__ = ["PublicRows"]


class PublicRows:
    """Records by `MilvusClient.query`."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def ask(
        self, expression: str, layout: Layout, parts: frozenset[Part], limit: int | None = None, partition: str = ""
    ) -> pa.RecordBatch:
        """The records of a filter, of one partition or all; with a limit the first ones in the order of their keys."""
        settings: dict[str, Any] = {"limit": limit, **ORDERED} if limit is not None else {}
        if partition:
            settings["partition_names"] = [partition]
        endpoint = self._connection.endpoint
        with public_errors(endpoint.url):
            rows = list(
                self._connection.client.query(
                    self._name,
                    filter=expression,
                    output_fields=wanted_fields(layout, parts),
                    timeout=endpoint.timeout_s,
                    consistency_level="Strong",
                    **settings,
                )
            )
        return _batch(rows, layout, parts) if rows else batches.empty(layout.fields, parts)

    def put(self, batch: pa.RecordBatch, layout: Layout) -> None:
        """Replace records whole, as `WireRows.put` does."""
        endpoint, lite = self._connection.endpoint, self._connection.is_lite
        with public_errors(endpoint.url):
            client = self._connection.client
            call = client.insert if lite else client.upsert
            call(self._name, _rows(batch, layout), timeout=endpoint.timeout_s)


def _rows(batch: pa.RecordBatch, layout: Layout) -> list[dict[str, Any]]:
    """Records as the client takes them: one object a record, whose other keys go to the dynamic field."""
    texts = batches.id_texts(batch)
    ids = (texts.cast(pa.int64()) if layout.key.kind is IdKind.INT64 else texts).to_pylist()
    rows = [
        {**canonical.to_json(text), layout.key.name: id_}
        for text, id_ in zip(batches.payloads(batch), ids, strict=True)
    ]
    for place in layout.vectors:
        for row, value in zip(rows, _values(batch, place), strict=True):
            row[place.field] = value
    return rows


def _values(batch: pa.RecordBatch, place: VectorPlace) -> Sequence[Any]:
    if place.vector.kind is VectorKind.DENSE:
        return list(batches.dense_column(batch, place.vector.name).values)
    found = batches.sparse_column(batch, place.vector.name)
    indices, numbers = found.indices.tolist(), found.values.tolist()
    borders = pairwise(found.offsets.tolist())
    return [dict(zip(indices[start:end], numbers[start:end], strict=True)) for start, end in borders]


def _batch(rows: Sequence[Mapping[str, Any]], layout: Layout, parts: frozenset[Part]) -> pa.RecordBatch:
    ids = pa.array([str(row[layout.key.name]) for row in rows], pa.string())
    vectors = {}
    if Part.VECTORS in parts:
        vectors = {place.vector.name: _vector([row[place.field] for row in rows], place) for place in layout.vectors}
    payloads = [_payload(row, layout) for row in rows] if Part.PAYLOAD in parts else None
    return make_batch(layout, parts, ids, vectors, payloads)


def _payload(row: Mapping[str, Any], layout: Layout) -> bytes:
    return canonical.encode({key: value for key, value in row.items() if key not in layout.names and key != DYNAMIC})


def _vector(values: Sequence[Any], place: VectorPlace) -> pa.Array:
    present = np.array([value is not None for value in values])
    if place.vector.kind is VectorKind.SPARSE:
        return _sparse(values, present)
    dimension, dtype = place.vector.dimension or 0, np.dtype(place.vector.dtype.value)
    matrix = np.zeros((len(values), dimension), dtype=dtype)
    given = [_numbers(value, dtype, dimension) for value in values if value is not None]
    if given:
        matrix[present] = np.array(given, dtype=dtype)
    return batches.dense_array(matrix, present)


def _numbers(value: Any, dtype: np.dtype[Any], dimension: int) -> Any:
    """The client gives float32 as floats, and other numbers as their bytes."""
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        value = value[0]
    if not isinstance(value, bytes):
        return value
    if dtype == np.dtype(DType.FLOAT32.value) and len(value) == 2 * dimension:
        return (np.frombuffer(value, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(value, dtype=dtype)


def _sparse(values: Sequence[Mapping[int, float] | None], present: np.ndarray[Any, np.dtype[np.bool_]]) -> pa.Array:
    entries = [sorted((value or {}).items()) for value in values]
    offsets = np.zeros(len(entries) + 1, dtype=np.int32)
    np.cumsum([len(items) for items in entries], out=offsets[1:])
    flat = [item for items in entries for item in items]
    indices = np.array([index for index, _ in flat], dtype=np.uint32)
    numbers = np.array([number for _, number in flat], dtype=np.float32)
    return batches.sparse_array(Sparse(indices, numbers, offsets, present))
