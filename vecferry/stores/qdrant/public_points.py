"""Points by the official client: the slow path, which proves what any other program would see.

It writes as well, where the fast path does not fit the installed client (see `fast_path`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
from qdrant_client import models

from vecferry import batch as columns
from vecferry.batch import Dense, Multi, Sparse
from vecferry.errors import RetryLater
from vecferry.model import IdKind, Part, RecordId, VectorField
from vecferry.stores.qdrant.checks import Checked
from vecferry.stores.qdrant.connection import Connection, Wire, server_errors
from vecferry.stores.qdrant.grpc_points import with_exact_integers
from vecferry.stores.qdrant.records import DriverRecord, driver_id, objects_batch
from vecferry.stores.qdrant.rest_points import RestPoints, refuse_poison
from vecferry.stores.qdrant.slicing import Range, plain_id

__all__ = ["PublicPoints"]


class PublicPoints:
    """Reads with `scroll` and `retrieve` of the official client, writes with `upsert`."""

    def __init__(self, connection: Connection, collection: str) -> None:
        self._connection = connection
        self._collection = collection
        self._url = connection.endpoint.url

    def pages(
        self,
        wanted: Range,
        fields: Sequence[VectorField],
        parts: frozenset[Part],
        rows: int,
        only: models.Filter | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The records of a range, `only` those of a filter."""
        following: RecordId | None = wanted.start
        while following is not None and wanted.holds(following):
            with server_errors(self._url):
                records, offset = self._connection.client.scroll(
                    self._collection,
                    scroll_filter=only,
                    offset=plain_id(following),
                    limit=rows,
                    with_payload=Part.PAYLOAD in parts,
                    with_vectors=Part.VECTORS in parts,
                )
            following = None if offset is None else driver_id(offset)
            batch = wanted.part_of(self._batch(records, fields, parts))
            if batch.num_rows:
                yield batch

    def get(self, ids: pa.RecordBatch, fields: Sequence[VectorField], parts: frozenset[Part]) -> pa.RecordBatch:
        """The records of these ids that are there."""
        with server_errors(self._url):
            records = self._connection.client.retrieve(
                self._collection,
                ids=[plain_id(item) for item in columns.record_ids(ids)],
                with_payload=Part.PAYLOAD in parts,
                with_vectors=Part.VECTORS in parts,
            )
        return self._batch(records, fields, parts)

    def upsert(self, rows: Checked, max_rows: int, max_bytes: int) -> None:
        """Write rows one request after the other; returns when the server says that all are applied."""
        points = list(_points(rows))
        size_bytes = sum(column.values.nbytes for column in rows.vectors.values()) // max(1, len(points))
        step = max(1, min(max_rows, max_bytes // max(1, size_bytes)))
        for start in range(0, len(points), step):
            with server_errors(self._url):
                result = self._connection.client.upsert(self._collection, points[start : start + step], wait=True)
            if result.status is not models.UpdateStatus.COMPLETED:
                raise RetryLater(f"{self._url}: a write was taken but not applied in time ({result.status.value})")

    def _batch(
        self, records: Sequence[DriverRecord], fields: Sequence[VectorField], parts: frozenset[Part]
    ) -> pa.RecordBatch:
        batch = objects_batch(records, fields, parts)
        if self._connection.wire is Wire.REST:
            return refuse_poison(batch, self._url)
        return with_exact_integers(batch, RestPoints(self._connection, self._collection))


def _points(rows: Checked) -> Iterator[models.PointStruct]:
    listed = {name: _per_row(column) for name, column in rows.vectors.items()}
    texts: list[str] = rows.ids.to_pylist()
    kinds = [rows.kinds] * len(texts) if isinstance(rows.kinds, IdKind) else rows.kinds
    for row, (text, kind) in enumerate(zip(texts, kinds, strict=True)):
        vector = {name: column[row] for name, column in listed.items() if column[row] is not None}
        yield models.PointStruct(
            id=plain_id(RecordId(kind, text)),
            vector=vector[""] if list(vector) == [""] else vector,
            payload=rows.payloads[row],
        )


def _per_row(column: Dense | Sparse | Multi) -> list[Any]:
    """A vector a row in the client's own types, None where it is absent."""
    if isinstance(column, Dense):
        given = iter(column.values.tolist())
        return list(given) if column.present is None else [next(given) if there else None for there in column.present]
    edges = list(pairwise(column.offsets.tolist()))
    present = [True] * len(edges) if column.present is None else column.present.tolist()
    return [_ragged(column, start, end) if there else None for (start, end), there in zip(edges, present, strict=True)]


def _ragged(column: Sparse | Multi, start: int, end: int) -> Any:
    values = column.values[start:end].tolist()
    if isinstance(column, Multi):
        return values
    return models.SparseVector(indices=column.indices[start:end].tolist(), values=values)
