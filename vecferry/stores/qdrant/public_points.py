"""Points as the official client shows them: the slow path, which proves what any other program would see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from vecferry import batch as columns
from vecferry.model import Part, RecordId, VectorField
from vecferry.stores.qdrant.connection import Connection, Wire, server_errors
from vecferry.stores.qdrant.grpc_points import with_exact_integers
from vecferry.stores.qdrant.records import DriverRecord, driver_id, objects_batch
from vecferry.stores.qdrant.rest_points import RestPoints, refuse_poison
from vecferry.stores.qdrant.slicing import Range, plain_id

__all__ = ["PublicPoints"]


class PublicPoints:
    """Reads with `scroll` and `retrieve` of the official client."""

    def __init__(self, connection: Connection, collection: str) -> None:
        self._connection = connection
        self._collection = collection
        self._url = connection.endpoint.url

    def pages(
        self, wanted: Range, fields: Sequence[VectorField], parts: frozenset[Part], rows: int
    ) -> Iterator[pa.RecordBatch]:
        """The records of a range."""
        following: RecordId | None = wanted.start
        while following is not None and wanted.holds(following):
            with server_errors(self._url):
                records, offset = self._connection.client.scroll(
                    self._collection,
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

    def _batch(
        self, records: Sequence[DriverRecord], fields: Sequence[VectorField], parts: frozenset[Part]
    ) -> pa.RecordBatch:
        batch = objects_batch(records, fields, parts)
        if self._connection.wire is Wire.REST:
            return refuse_poison(batch, self._url)
        return with_exact_integers(batch, RestPoints(self._connection, self._collection))
