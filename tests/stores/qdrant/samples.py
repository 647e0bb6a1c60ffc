"""A small collection for tests that are about the store and not about the data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical
from vecferry.contract import Source
from vecferry.model import CollectionSchema, DType, IdKind, Metric, Part, RecordId, VectorField, VectorKind

__all__ = ["payloads_of", "records", "schema", "with_ids", "with_payloads"]


def schema(dimension: int = 4, metric: Metric = Metric.DOT) -> CollectionSchema:
    """One unnamed vector."""
    field = VectorField("", VectorKind.DENSE, DType.FLOAT32, dimension, metric)
    return CollectionSchema("docs", (field,), frozenset({IdKind.UINT64}))


def records(rows: int, dimension: int = 4) -> pa.RecordBatch:
    """Ids from 0, seeded vectors, the id as payload."""
    matrix = np.random.default_rng(rows).standard_normal((rows, dimension)).astype(np.float32)
    payloads = [canonical.encode({"n": number}) for number in range(rows)]
    ids = [str(number) for number in range(rows)]
    return columns.make(ids, IdKind.UINT64, vectors={"": columns.dense_array(matrix)}, payloads=payloads)


def with_ids(ids: Sequence[RecordId]) -> pa.RecordBatch:
    """Records with these ids."""
    batch = records(len(ids))
    texts, kinds = [item.text for item in ids], [item.kind for item in ids]
    return columns.make(texts, kinds, vectors={"": batch.column("vector")}, payloads=batch.column("payload"))


def with_payloads(payloads: Sequence[bytes], first_id: int = 0) -> pa.RecordBatch:
    """Records with these canonical texts."""
    ids = [str(first_id + at) for at in range(len(payloads))]
    vectors = {"": columns.dense_array(np.ones((len(payloads), 4), dtype=np.float32))}
    return columns.make(ids, IdKind.UINT64, vectors=vectors, payloads=payloads)


def payloads_of(source: Source) -> dict[str, bytes]:
    """Canonical payload texts by the text of the id."""
    found = [batch for part in source.slices(1) for batch in source.read(part, frozenset({Part.PAYLOAD}))]
    return {
        text: payload
        for batch in found
        for text, payload in zip(columns.id_texts(batch).to_pylist(), columns.payloads(batch), strict=True)
    }
