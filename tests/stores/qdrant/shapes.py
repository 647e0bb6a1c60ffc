"""Records as plain Python data, and the official messages that say the same."""

from __future__ import annotations

import struct
import uuid
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from qdrant_client import grpc as official
from qdrant_client.conversions.conversion import payload_to_grpc

from tests.support.examples import examples
from vecferry.batch import Dense, Multi, Sparse
from vecferry.model import IdKind, VectorField, VectorKind

DIMENSION = 3
NAMES = ("", "a", "žluť")
EDGES = [0.0, -0.0, 1e-45, 3.4028234663852886e38, float("nan"), float("inf"), float("-inf"), 1 / 3]

# No deadline: a busy machine is no failure.
unhurried = settings(deadline=None, max_examples=examples(80))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
payloads = st.dictionaries(texts, values, max_size=6)

identifiers = st.integers(0, 2**64 - 1) | st.uuids().map(str)
numbers = st.floats(width=32) | st.sampled_from(EDGES)
rows_of_numbers = st.lists(numbers, min_size=DIMENSION, max_size=DIMENSION)
sparse_rows = st.dictionaries(st.integers(0, 2**32 - 1), numbers, max_size=5).map(lambda d: sorted(d.items()))
vectors_of_kind = {
    VectorKind.DENSE: rows_of_numbers,
    VectorKind.SPARSE: sparse_rows,
    VectorKind.MULTI: st.lists(rows_of_numbers, min_size=1, max_size=3),
}


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[VectorField], list[tuple[Any, dict[str, Any], dict[str, Any]]]]:
    """Vector fields, and rows of (id, vectors by name, payload) in which any vector may be absent."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    fields = []
    for name in names:
        kind = draw(st.sampled_from(list(VectorKind)))
        fields.append(VectorField(name, kind, dimension=None if kind is VectorKind.SPARSE else DIMENSION))
    vectors = st.fixed_dictionaries({}, optional={field.name: vectors_of_kind[field.kind] for field in fields})
    rows = draw(st.lists(st.tuples(identifiers, vectors, payloads), max_size=6))
    return fields, rows


def point_id(value: int | str) -> official.PointId:
    return official.PointId(num=value) if isinstance(value, int) else official.PointId(uuid=value)


def official_vector(message: Any, kind: VectorKind, value: Any) -> Any:
    """A `Vector` or `VectorOutput` in the layout of servers from 1.17."""
    if kind is VectorKind.DENSE:
        return message(dense=official.DenseVector(data=value))
    if kind is VectorKind.MULTI:
        return message(multi_dense=official.MultiDenseVector(vectors=[official.DenseVector(data=row) for row in value]))
    indices, numbers_ = [pair[0] for pair in value], [pair[1] for pair in value]
    return message(sparse=official.SparseVector(indices=indices, values=numbers_))


def flat_output(kind: VectorKind, value: Any) -> official.VectorOutput:
    """A `VectorOutput` in the layout of servers up to 1.16."""
    if kind is VectorKind.DENSE:
        return official.VectorOutput(data=value)
    if kind is VectorKind.MULTI:
        return official.VectorOutput(data=[number for row in value for number in row], vectors_count=len(value))
    indices = official.SparseIndices(data=[pair[0] for pair in value])
    return official.VectorOutput(data=[pair[1] for pair in value], indices=indices)


def official_point(fields: list[VectorField], row: tuple[Any, dict[str, Any], dict[str, Any]]) -> official.PointStruct:
    """What the client sends for a row."""
    identity, vectors, payload = row
    kinds = {field.name: field.kind for field in fields}
    made = {name: official_vector(official.Vector, kinds[name], value) for name, value in vectors.items()}
    unnamed = list(kinds) == [""] and "" in made
    sent = (
        official.Vectors(vector=made[""]) if unnamed else official.Vectors(vectors=official.NamedVectors(vectors=made))
    )
    return official.PointStruct(id=point_id(identity), vectors=sent, payload=payload_to_grpc(payload))


def official_answer(
    fields: list[VectorField], rows: list[tuple[Any, dict[str, Any], dict[str, Any]]], *, flat: bool = False
) -> official.ScrollResponse:
    """What a server answers about rows."""
    kinds = {field.name: field.kind for field in fields}
    answer = official.ScrollResponse(time=0.5)
    for identity, vectors, payload in rows:
        made = {
            name: flat_output(kinds[name], value)
            if flat
            else official_vector(official.VectorOutput, kinds[name], value)
            for name, value in vectors.items()
        }
        unnamed = list(kinds) == [""] and "" in made
        sent = (
            official.VectorsOutput(vector=made[""])
            if unnamed
            else official.VectorsOutput(vectors=official.NamedVectorsOutput(vectors=made))
        )
        answer.result.append(
            official.RetrievedPoint(id=point_id(identity), vectors=sent, payload=payload_to_grpc(payload))
        )
    return answer


def ids_of(rows: list[Any]) -> tuple[pa.StringArray, list[IdKind]]:
    """Canonical texts and a kind for each."""
    kinds = [IdKind.UINT64 if isinstance(row[0], int) else IdKind.UUID for row in rows]
    return pa.array([str(row[0]) for row in rows], pa.string()), kinds


def column_of(field: VectorField, rows: list[Any]) -> Dense | Sparse | Multi:
    """The column that one vector of all rows makes."""
    given = [row[1].get(field.name) for row in rows]
    present = np.array([value is not None for value in given], dtype=np.bool_)
    there = [value for value in given if value is not None]
    offsets = np.cumsum([0] + [len(value or []) for value in given]).astype(np.int32)
    if field.kind is VectorKind.DENSE:
        return Dense(np.array(there, dtype=np.float32).reshape(-1, DIMENSION), present)
    flat = [item for value in there for item in value]
    if field.kind is VectorKind.MULTI:
        return Multi(np.array(flat, dtype=np.float32).reshape(-1, DIMENSION), offsets, present)
    indices = np.array([pair[0] for pair in flat], dtype=np.uint32)
    return Sparse(indices, np.array([pair[1] for pair in flat], dtype=np.float32), offsets, present)


def bits(column: Dense | Sparse | Multi, rows: int) -> dict[str, Any]:
    """All that a column says, exactly, as plain data."""
    said: dict[str, Any] = {
        "values": column.values.tobytes(),
        "dtype": column.values.dtype.str,
        "present": [True] * rows if column.present is None else column.present.tolist(),
    }
    if not isinstance(column, Dense):
        said["offsets"] = column.offsets.tolist()
    if isinstance(column, Sparse):
        said["indices"] = column.indices.tolist()
    return said


def float_bits(*values_: float) -> bytes:
    return struct.pack(f"<{len(values_)}f", *values_)


A_UUID = str(uuid.UUID(int=0x550E8400E29B41D4A716446655440000))
