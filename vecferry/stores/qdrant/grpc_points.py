"""Points over gRPC as columns: answers and requests are bytes, no number becomes a Python object."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from qdrant_client import grpc as official
from qdrant_client import models
from qdrant_client.conversions.conversion import RestToGrpc

from vecferry import batch as columns
from vecferry.errors import BadRecord, RetryLater
from vecferry.model import IdKind, Part, VectorField
from vecferry.stores.qdrant import wire
from vecferry.stores.qdrant.checks import Checked, named
from vecferry.stores.qdrant.connection import Connection, server_errors
from vecferry.stores.qdrant.identifiers import encode_ids
from vecferry.stores.qdrant.layout import field_head
from vecferry.stores.qdrant.records import columns_batch
from vecferry.stores.qdrant.rest_points import RestPoints
from vecferry.stores.qdrant.slicing import Range, plain_id

__all__ = ["GrpcPoints", "with_exact_integers"]

_IN_FLIGHT = 4  # more gains nothing, measured on a real server
_GET_IDS = 2  # the field of GetPoints
# gRPC shows a stored integer of 2^63 to 2^64 - 1 as a double; its text is one of these.
_BEYOND_INT64 = r"[0-9]e\+?1[89]\b"


class GrpcPoints:
    """The points of one collection, read and written by the raw wire."""

    def __init__(self, connection: Connection, collection: str) -> None:
        self._connection = connection
        self._collection = collection
        self._url = connection.endpoint.url
        self._rest = RestPoints(connection, collection)

    def pages(
        self,
        wanted: Range,
        fields: Sequence[VectorField],
        parts: frozenset[Part],
        rows: int,
        only: models.Filter | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The records of a range, `only` those of a filter; the next page is under way while one is used."""
        shown = fields if Part.VECTORS in parts else ()
        chosen = _selectors(parts)
        if only is not None:
            chosen["filter"] = RestToGrpc.convert_filter(only)
        call: grpc.Future | None = self._scroll(wanted.start, chosen, rows)
        try:
            while call is not None:
                points, following = wire.parse_scroll(self._answer(call), shown, payload=Part.PAYLOAD in parts)
                goes_on = following is not None and wanted.holds(following)
                call = self._scroll(following, chosen, rows) if goes_on else None
                batch = self._batch(points, fields, parts)
                batch = batch if goes_on else wanted.part_of(batch)
                if batch.num_rows:
                    yield batch
        finally:
            if call is not None:
                call.cancel()

    def get(self, ids: pa.RecordBatch, fields: Sequence[VectorField], parts: frozenset[Part]) -> pa.RecordBatch:
        """The records of these ids that are there."""
        head = official.GetPoints(collection_name=self._collection, **_selectors(parts)).SerializeToString()
        raw = encode_ids(columns.id_texts(ids), [IdKind(kind) for kind in columns.id_kinds(ids)])
        request = b"".join([head, *(field_head(_GET_IDS, len(one)) + one for one in raw)])
        answer = self._answer(self._call("Get", request))
        shown = fields if Part.VECTORS in parts else ()
        return self._batch(wire.parse_get(answer, shown, payload=Part.PAYLOAD in parts), fields, parts)

    def upsert(self, rows: Checked, max_rows: int, max_bytes: int) -> None:
        """Write rows, several requests at once; returns when the server says that all are applied."""
        points = wire.encode_points(rows.ids, rows.kinds, rows.vectors, rows.payloads)
        calls: deque[grpc.Future] = deque()
        try:
            for start, stop in points.ranges(max_rows, max_bytes):
                if len(calls) == _IN_FLIGHT:
                    self._require_completed(calls.popleft())
                request = points.request(start, stop, collection_name=self._collection, wait=True)
                calls.append(self._call("Upsert", request))
            while calls:
                self._require_completed(calls.popleft())
        finally:
            for call in calls:
                call.cancel()

    def _scroll(self, start: Any, chosen: dict[str, Any], rows: int) -> grpc.Future:
        request = official.ScrollPoints(collection_name=self._collection, offset=_point_id(start), limit=rows, **chosen)
        return self._call("Scroll", request.SerializeToString())

    def _call(self, method: str, request: bytes) -> grpc.Future:
        connection = self._connection
        raw: Any = wire.raw_method(connection.channel, method)
        return raw.future(request, timeout=connection.endpoint.timeout_s, metadata=connection.metadata)

    def _answer(self, call: grpc.Future) -> bytes:
        with server_errors(self._url):
            answer: bytes = call.result()
            return answer

    def _require_completed(self, call: grpc.Future) -> None:
        status = official.PointsOperationResponse.FromString(self._answer(call)).result.status
        if status != official.UpdateStatus.Completed:
            name = official.UpdateStatus.Name(status)
            raise RetryLater(f"{self._url}: a write was taken but not applied in time ({name})")

    def _batch(self, points: wire.Points, fields: Sequence[VectorField], parts: frozenset[Part]) -> pa.RecordBatch:
        batch = columns_batch(points.ids, points.kinds, points.vectors, points.payloads, fields, parts)
        return with_exact_integers(batch, self._rest)


def with_exact_integers(batch: pa.RecordBatch, rest: RestPoints) -> pa.RecordBatch:
    """The batch with payloads read again over REST where gRPC may have shown a large integer as a double.

    Raises BadRecord, naming the id, where REST does not answer.
    """
    if columns.PAYLOAD not in batch.schema.names:
        return batch
    doubtful = pc.match_substring_regex(batch.column(columns.PAYLOAD), _BEYOND_INT64)
    rows = np.flatnonzero(doubtful.to_numpy(zero_copy_only=False))
    if not len(rows):
        return batch
    no_rest = rest.why_not()
    if no_rest:
        raise BadRecord(
            f"record {named(batch, int(rows[0]))} of {rest.url} has a number beyond int64, which gRPC cannot tell "
            f"from a double ({no_rest})",
            advice="name the REST port (?rest_port=) or read with ?wire=rest",
        )
    again = rest.get(batch.take(pa.array(rows)), (), frozenset({Part.PAYLOAD}))
    texts = dict(zip(columns.record_ids(again), columns.payloads(again), strict=True))
    payloads = columns.payloads(batch)
    for row in rows.tolist():
        payloads[row] = texts.get(named(batch, row), payloads[row])
    at = batch.schema.get_field_index(columns.PAYLOAD)
    return batch.set_column(at, batch.schema.field(at), pa.array(payloads, pa.binary()).cast(pa.string()))


def _point_id(start: Any) -> official.PointId:
    value = plain_id(start)
    return official.PointId(num=value) if isinstance(value, int) else official.PointId(uuid=value)


def _selectors(parts: frozenset[Part]) -> dict[str, Any]:
    return {
        "with_payload": official.WithPayloadSelector(enable=Part.PAYLOAD in parts),
        "with_vectors": official.WithVectorsSelector(enable=Part.VECTORS in parts),
    }
