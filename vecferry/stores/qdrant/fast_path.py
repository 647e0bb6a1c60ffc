"""Whether the bytes of the fast path mean to the installed qdrant-client what they mean here.

The fast path writes and reads Qdrant's gRPC messages as bytes. A later client may bring later messages; so once in a
process a small request is written here and read by the official classes, and an answer of theirs is read here. Where
either differs, the store goes through the official client.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError
from qdrant_client import grpc as official
from qdrant_client.conversions.conversion import payload_to_grpc

from vecferry import canonical
from vecferry.batch import Dense, Multi, Sparse
from vecferry.errors import VecferryError
from vecferry.model import IdKind, VectorField, VectorKind
from vecferry.stores.qdrant import wire

__all__ = ["fits", "reads_alike", "writes_alike"]

_UUID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
_PAYLOAD: dict[str, Any] = {"a": [1, -2.5, None, True, "ž"], "b": {"c": {}}, "": -(2**63)}
_FIELDS = (
    VectorField("d", VectorKind.DENSE, dimension=2),
    VectorField("m", VectorKind.MULTI, dimension=2),
    VectorField("s", VectorKind.SPARSE),
)
_DENSE, _ROWS, _INDICES, _VALUES = [1.5, -2.0], [[1.0, 2.0], [3.0, 4.0]], [3, 70_000], [0.5, 0.25]


@functools.cache
def fits() -> bool:
    """Whether the fast path may be used in this process."""
    return writes_alike(wire.encode_points) and reads_alike(wire.parse_scroll)


def writes_alike(encode: Callable[..., Any]) -> bool:
    """Whether the official classes read from an encoder's bytes the points that were meant."""
    present = np.array([True, False])
    vectors = {
        "d": Dense(np.array([_DENSE], np.float32), present),
        "m": Multi(np.array(_ROWS, np.float32), np.array([0, 2, 2], np.int32), present),
        "s": Sparse(
            np.array(_INDICES, np.uint32), np.array(_VALUES, np.float32), np.array([0, 2, 2], np.int32), present
        ),
    }
    try:
        points = encode(pa.array(["7", _UUID]), [IdKind.UINT64, IdKind.UUID], vectors, [_PAYLOAD, {}])
        found = official.UpsertPoints.FromString(points.request(0, 2, collection_name="c", wait=True))
    except (DecodeError, ValueError):
        return False
    bare = official.Vectors(vectors=official.NamedVectors())
    second = official.PointStruct(id=official.PointId(uuid=_UUID), vectors=bare)
    first = official.PointStruct(id=official.PointId(num=7), payload=payload_to_grpc(_PAYLOAD), vectors=_sent())
    return bool(found == official.UpsertPoints(collection_name="c", wait=True, points=[first, second]))


def reads_alike(parse: Callable[..., Any]) -> bool:
    """Whether a parser reads from the official classes' bytes the points that were meant."""
    answer = official.ScrollResponse(
        result=[
            official.RetrievedPoint(id=official.PointId(num=7), payload=payload_to_grpc(_PAYLOAD), vectors=_shown()),
            official.RetrievedPoint(id=official.PointId(uuid=_UUID)),
        ],
        next_page_offset=official.PointId(num=9),
    )
    try:
        points, following = parse(answer.SerializeToString(), _FIELDS)
    except (VecferryError, ValueError):
        return False
    dense, multi, sparse = (points.vectors[field.name] for field in _FIELDS)
    return (
        points.ids.to_pylist() == ["7", _UUID]
        and list(points.kinds) == [IdKind.UINT64, IdKind.UUID]
        and points.payloads == [canonical.encode(_PAYLOAD), b"{}"]
        and following is not None
        and following.text == "9"
        and dense.values.tolist() == [_DENSE]
        and multi.values.tolist() == _ROWS
        and (sparse.indices.tolist(), sparse.values.tolist()) == (_INDICES, _VALUES)
    )


def _sent() -> Any:
    rows = [official.DenseVector(data=row) for row in _ROWS]
    named = {
        "d": official.Vector(dense=official.DenseVector(data=_DENSE)),
        "m": official.Vector(multi_dense=official.MultiDenseVector(vectors=rows)),
        "s": official.Vector(sparse=official.SparseVector(indices=_INDICES, values=_VALUES)),
    }
    return official.Vectors(vectors=official.NamedVectors(vectors=named))


def _shown() -> Any:
    rows = [official.DenseVector(data=row) for row in _ROWS]
    named = {
        "d": official.VectorOutput(dense=official.DenseVector(data=_DENSE)),
        "m": official.VectorOutput(multi_dense=official.MultiDenseVector(vectors=rows)),
        "s": official.VectorOutput(sparse=official.SparseVector(indices=_INDICES, values=_VALUES)),
    }
    return official.VectorsOutput(vectors=official.NamedVectorsOutput(vectors=named))
