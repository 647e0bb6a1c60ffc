"""Points over REST, without the official client's models: bodies are JSON that orjson writes and reads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import orjson
import pyarrow as pa
from qdrant_client import models

from vecferry import batch as columns
from vecferry.batch import Dense, Multi, Sparse
from vecferry.errors import BadRecord, RetryLater
from vecferry.model import IdKind, Part, RecordId, VectorField
from vecferry.stores.qdrant.checks import Checked, named
from vecferry.stores.qdrant.connection import Connection, body_message, server_errors
from vecferry.stores.qdrant.failures import rest_failure
from vecferry.stores.qdrant.records import driver_id, objects_batch
from vecferry.stores.qdrant.slicing import Range, plain_id

__all__ = ["RestPoints", "refuse_poison"]

_IN_FLIGHT = 4  # as over gRPC
_HEADERS = {"content-type": "application/json"}


class RestPoints:
    """The points of one collection, read and written over HTTP."""

    def __init__(self, connection: Connection, collection: str) -> None:
        self._connection = connection
        self._path = f"/collections/{quote(collection, safe='')}/points"
        self.url = connection.endpoint.url

    def why_not(self) -> str:
        """Nothing where REST answers."""
        return self._connection.why_no_rest()

    def pages(
        self,
        wanted: Range,
        fields: Sequence[VectorField],
        parts: frozenset[Part],
        rows: int,
        only: models.Filter | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The records of a range, `only` those of a filter; the next page is under way while one is used."""
        chosen: dict[str, Any] = {"limit": rows, **_selectors(parts)}
        if only is not None:
            chosen["filter"] = only.model_dump(mode="json", exclude_none=True)

        def page(start: RecordId) -> Any:
            return self._ask("POST", "/scroll", {"offset": plain_id(start), **chosen})

        with ThreadPoolExecutor(1, thread_name_prefix="vecferry-page") as ahead:
            call: Future[Any] | None = ahead.submit(page, wanted.start)
            while call is not None:
                result = call.result()
                offset = result.get("next_page_offset")
                following = None if offset is None else driver_id(offset)
                goes_on = following is not None and wanted.holds(following)
                call = ahead.submit(page, following) if following is not None and goes_on else None
                batch = wanted.part_of(self._batch(result["points"], fields, parts))
                if batch.num_rows:
                    yield batch

    def get(self, ids: pa.RecordBatch, fields: Sequence[VectorField], parts: frozenset[Part]) -> pa.RecordBatch:
        """The records of these ids that are there."""
        body = {"ids": [plain_id(item) for item in columns.record_ids(ids)], **_selectors(parts)}
        return self._batch(self._ask("POST", "", body), fields, parts)

    def upsert(self, rows: Checked, max_rows: int, max_bytes: int) -> None:
        """Write rows, several requests at once; returns when the server says that all are applied."""
        calls: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="vecferry-upsert") as pool:
            for body in _bodies(rows, max_rows, max_bytes):
                if len(calls) == _IN_FLIGHT:
                    calls.popleft().result()
                calls.append(pool.submit(self._put, body))
            while calls:
                calls.popleft().result()

    def _put(self, body: bytes) -> None:
        result = self._send("PUT", "?wait=true", body)
        if result["status"] != "completed":
            raise RetryLater(f"{self.url}: a write was taken but not applied in time ({result['status']})")

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        return self._send(method, path, orjson.dumps(body))

    def _send(self, method: str, path: str, body: bytes) -> Any:
        with server_errors(self.url):
            answer: httpx.Response = self._connection.http.request(
                method, self._path + path, content=body, headers=_HEADERS
            )
        if not answer.is_success:
            raise rest_failure(self.url, answer.status_code, body_message(answer.content))
        try:
            return orjson.loads(answer.content)["result"]
        except (orjson.JSONDecodeError, KeyError) as error:
            raise BadRecord(f"an answer of {self.url} cannot be read: {error}") from error

    def _batch(
        self, points: Sequence[dict[str, Any]], fields: Sequence[VectorField], parts: frozenset[Part]
    ) -> pa.RecordBatch:
        records = [
            SimpleNamespace(id=point["id"], vector=_vector(point.get("vector")), payload=point.get("payload"))
            for point in points
        ]
        return refuse_poison(objects_batch(records, fields, parts), self.url)


def refuse_poison(batch: pa.RecordBatch, url: str) -> pa.RecordBatch:
    """The batch; BadRecord where a number is not finite, because REST shows NaN and infinity as the same null."""
    poison = columns.nonfinite_row(batch)
    if poison is not None:
        name, row = poison
        raise BadRecord(
            f"{url}: vector {name!r} of record {named(batch, row)} holds NaN or infinity; REST does not say which",
            advice="repair or delete the record, or read over gRPC",
        )
    return batch


def _selectors(parts: frozenset[Part]) -> dict[str, bool]:
    return {"with_payload": Part.PAYLOAD in parts, "with_vector": Part.VECTORS in parts}


def _vector(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: SimpleNamespace(**item) if isinstance(item, dict) else item for name, item in value.items()}


def _bodies(rows: Checked, max_rows: int, max_bytes: int) -> Iterator[bytes]:
    """Requests of at most so many rows and bytes; a larger row goes alone."""
    pending: list[bytes] = []
    size_bytes = 0
    for point in _points(rows):
        if pending and (len(pending) == max_rows or size_bytes + len(point) > max_bytes):
            yield _body(pending)
            pending, size_bytes = [], 0
        pending.append(point)
        size_bytes += len(point)
    if pending:
        yield _body(pending)


def _body(points: list[bytes]) -> bytes:
    return b'{"points":[' + b",".join(points) + b"]}"


def _points(rows: Checked) -> Iterator[bytes]:
    listed = {name: _per_row(column) for name, column in rows.vectors.items()}
    texts: list[str] = rows.ids.to_pylist()
    kinds = [rows.kinds] * len(texts) if isinstance(rows.kinds, IdKind) else rows.kinds
    for row, (text, kind) in enumerate(zip(texts, kinds, strict=True)):
        vector: Any = {name: column[row] for name, column in listed.items() if column[row] is not None}
        point = {
            "id": plain_id(RecordId(kind, text)),
            "vector": vector[""] if list(vector) == [""] else vector,
            "payload": rows.payloads[row],
        }
        yield orjson.dumps(point, option=orjson.OPT_SERIALIZE_NUMPY)


def _per_row(column: Dense | Sparse | Multi) -> list[Any]:
    """A vector a row as orjson takes it, None where it is absent.

    Widened to doubles: a server that is off by a unit in the last place of a double still gets the very float32.
    """
    values = np.ascontiguousarray(column.values, dtype=np.float64)
    if isinstance(column, Dense):
        given = iter(values)
        return list(given) if column.present is None else [next(given) if there else None for there in column.present]
    offsets = column.offsets.tolist()
    present = [True] * (len(offsets) - 1) if column.present is None else column.present.tolist()
    return [
        _ragged(column, values, offsets[row], offsets[row + 1]) if present[row] else None for row in range(len(present))
    ]


def _ragged(column: Sparse | Multi, values: Any, start: int, end: int) -> Any:
    if isinstance(column, Multi):
        return values[start:end]
    return {"indices": column.indices[start:end], "values": values[start:end]}
