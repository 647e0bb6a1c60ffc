"""Columns as the wire bytes of an upsert, cut into requests of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from qdrant_client import grpc as official

from vecferry.batch import Dense, Multi, Sparse
from vecferry.model import IdKind
from vecferry.stores.qdrant import layout
from vecferry.stores.qdrant.identifiers import encode_ids
from vecferry.stores.qdrant.values import encode_payloads
from vecferry.stores.qdrant.varint import pack

__all__ = ["EncodedPoints", "encode_points"]

Column = Dense | Sparse | Multi
Buffer = bytes | memoryview
_Vectors = list[tuple[bytes, Buffer] | None]  # per row: the vector message as head and body, None where absent

_ID, _PAYLOAD, _VECTORS, _POINTS = 1, 3, 4, 3  # fields of PointStruct, and of UpsertPoints
_FLOAT = np.dtype("<f4")
_EXACT_IN_FLOAT = {np.dtype(name) for name in ("<f4", "<f2", "u1", "i1")}
_NO_VECTORS = layout.field_head(_VECTORS, 2) + layout.field_head(2, 0)  # named vectors, none of them given


class EncodedPoints:
    """Points as wire bytes that still share the memory of their vectors.

    `size_bytes` is `(n,) int64`: what each point takes in a request.
    """

    def __init__(self, heads: list[bytes], bodies: list[Buffer]) -> None:
        self._pieces = list(chain.from_iterable(zip(heads, bodies, strict=True)))
        self.size_bytes = np.fromiter(map(len, heads), dtype=np.int64, count=len(heads))
        self.size_bytes += np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))

    def __len__(self) -> int:
        return len(self.size_bytes)

    def request(self, start: int, stop: int, **fields: Any) -> bytes:
        """An `UpsertPoints` message with the points `start:stop`; `fields` are its other fields.

        `request(0, 500, collection_name="docs", wait=True)`
        """
        return b"".join([official.UpsertPoints(**fields).SerializeToString(), *self._pieces[2 * start : 2 * stop]])

    def ranges(self, max_rows: int, max_bytes: int) -> Iterator[tuple[int, int]]:
        """Cuts into `(start, stop)` of at most so many rows and bytes; a larger point goes alone."""
        ends = np.cumsum(self.size_bytes)
        start = 0
        while start < len(self):
            before = ends[start - 1] if start else 0
            fits = int(np.searchsorted(ends, before + max_bytes, side="right"))
            stop = max(start + 1, min(start + max_rows, fits))
            yield start, stop
            start = stop


def encode_points(
    ids: pa.StringArray,
    kinds: Sequence[IdKind] | IdKind,
    vectors: Mapping[str, Column],
    payloads: Sequence[dict[str, Any]],
) -> EncodedPoints:
    """Points from columns of equal length; dense and multi values `(.., dim)` of float32 or a narrower type.

    A vector named `""` alone is sent as the unnamed one. Raises BeyondInt64 or PayloadRefused (both ValueError,
    with the row) for a payload that gRPC cannot carry, ValueError for other ids or number types.
    """
    identifiers = encode_ids(ids, kinds)
    heads, bodies = _vector_pieces(vectors, len(identifiers))
    maps = encode_payloads(payloads, _PAYLOAD)
    out = []
    for raw_id, payload, head, body in zip(identifiers, maps, heads, bodies, strict=True):
        start = layout.field_head(_ID, len(raw_id)) + raw_id
        size_bytes = len(start) + len(payload) + len(head) + len(body)
        out.append(b"".join((layout.field_head(_POINTS, size_bytes), start, payload, head)))
    return EncodedPoints(out, bodies)


def _vector_pieces(vectors: Mapping[str, Column], rows: int) -> tuple[list[bytes], list[Buffer]]:
    """Per row the bytes of the `vectors` field before the body, and the body."""
    encoded = {name: _encode(column) for name, column in vectors.items()}
    if any(len(column) != rows for column in encoded.values()):
        raise ValueError("the vector columns have not as many rows as there are ids")
    if list(encoded) == [""]:
        return _unnamed_pieces(encoded[""])
    heads, bodies = [_NO_VECTORS] * rows, [b""] * rows
    for row in range(rows):
        body = b"".join(chain.from_iterable(_entry(name, column[row]) for name, column in encoded.items()))
        inner = layout.field_head(2, len(body))
        heads[row], bodies[row] = layout.field_head(_VECTORS, len(inner) + len(body)) + inner, body
    return heads, list(bodies)


def _entry(name: str, vector: tuple[bytes, Buffer] | None) -> tuple[Buffer, ...]:
    if vector is None:
        return ()
    head, body = vector
    return layout.named_head(name, len(head) + len(body)), head, body


def _unnamed_pieces(column: _Vectors) -> tuple[list[bytes], list[Buffer]]:
    heads, bodies = [], []
    known: dict[tuple[bytes, int], bytes] = {}
    for vector in column:
        head, body = vector or (b"", b"")
        key = (head, len(body))
        if key not in known:
            known[key] = _unnamed_head(head, len(body)) if vector else _NO_VECTORS
        heads.append(known[key])
        bodies.append(body)
    return heads, bodies


def _unnamed_head(head: bytes, body_bytes: int) -> bytes:
    outer = layout.unnamed_head(len(head) + body_bytes)
    return layout.field_head(_VECTORS, len(outer) + len(head) + body_bytes) + outer + head


def _encode(column: Column) -> _Vectors:
    if isinstance(column, Dense):
        return _encode_dense(column)
    return _encode_sparse(column) if isinstance(column, Sparse) else _encode_multi(column)


def _encode_dense(column: Dense) -> _Vectors:
    values = _floats(column.values)
    size_bytes = values.shape[1] * _FLOAT.itemsize
    head = layout.dense_head(size_bytes)
    octets = _octets(values)
    rows = [(head, octets[start : start + size_bytes]) for start in range(0, len(octets), size_bytes)]
    return _spread(rows, column.present)


def _encode_multi(column: Multi) -> _Vectors:
    values = _floats(column.values)
    data_bytes = values.shape[1] * _FLOAT.itemsize
    inner = layout.field_head(1, data_bytes)
    head = np.frombuffer(layout.field_head(1, len(inner) + data_bytes) + inner, dtype=np.uint8)
    block = np.empty((len(values), len(head) + data_bytes), dtype=np.uint8)
    block[:, : len(head)] = head
    block[:, len(head) :] = values.view(np.uint8)
    octets = _octets(block)
    borders = (column.offsets.astype(np.int64) * block.shape[1]).tolist()
    rows: _Vectors = [(layout.multi_head(end - start), octets[start:end]) for start, end in pairwise(borders)]
    return _without_absent(rows, column.present)


def _encode_sparse(column: Sparse) -> _Vectors:
    values = _octets(_floats(column.values))
    run, starts = pack(column.indices.astype(np.uint64))
    offsets, borders = column.offsets.tolist(), starts[column.offsets].tolist()
    rows: _Vectors = []
    for row in range(len(offsets) - 1):
        numbers = values[offsets[row] * _FLOAT.itemsize : offsets[row + 1] * _FLOAT.itemsize]
        indices = run[borders[row] : borders[row + 1]]
        before, between = layout.sparse_heads(len(numbers), len(indices))
        rows.append((before, b"".join((numbers, between, indices))))
    return _without_absent(rows, column.present)


def _floats(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """C-ordered little-endian float32, from types that fit into it exactly."""
    if values.dtype.newbyteorder("<") not in _EXACT_IN_FLOAT:
        raise ValueError(f"Qdrant takes float32 vectors; {values.dtype} does not fit without rounding")
    return np.ascontiguousarray(values, dtype=_FLOAT)


def _octets(values: npt.NDArray[Any]) -> memoryview:
    """The memory of a C-ordered array as bytes."""
    return values.reshape(-1).view(np.uint8).data


def _spread(rows: Sequence[tuple[bytes, Buffer]], present: npt.NDArray[np.bool_] | None) -> _Vectors:
    """Vectors of the present rows alone, as a list over all rows."""
    if present is None:
        return list(rows)
    given = iter(rows)
    return [next(given) if there else None for there in present.tolist()]


def _without_absent(rows: _Vectors, present: npt.NDArray[np.bool_] | None) -> _Vectors:
    if present is None:
        return rows
    return [row if there else None for row, there in zip(rows, present.tolist(), strict=True)]
