"""Columns of Milvus's messages to and from arrays: packed bytes on the way in, buffers on the way out.

On the wire a packed `repeated float` is the bytes of the numbers behind a tag and a length, so that a matrix becomes
a message, and a message an array, without a Python float of any number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pymilvus.grpc_gen import schema_pb2

from vecferry import batch as batches
from vecferry import canonical
from vecferry.batch import Dense, Sparse
from vecferry.errors import BadRecord
from vecferry.model import IdKind, VectorKind
from vecferry.stores.milvus.layout import DYNAMIC, Key, Scalar, VectorPlace
from vecferry.stores.milvus.payloads import Unfit

__all__ = ["add_dense", "add_dynamic", "add_key", "add_sparse", "read_key", "read_scalar", "read_vector"]

_PAIR = np.dtype([("index", "<u4"), ("value", "<f4")])
_type = schema_pb2.DataType.Value
_JSON, _ARRAY = _type("JSON"), _type("Array")
Mask = npt.NDArray[np.bool_]


# Writing


def add_key(request: Any, key: Key, texts: pa.StringArray) -> None:
    """The ids of the records."""
    if key.kind is IdKind.STRING:
        field = request.fields_data.add(field_name=key.name, type=_type("VarChar"))
        field.scalars.string_data.data.extend(texts.to_pylist())
    else:
        field = request.fields_data.add(field_name=key.name, type=_type("Int64"))
        field.scalars.long_data.data.extend(texts.cast(pa.int64()).to_pylist())


def add_dense(request: Any, place: VectorPlace, column: Dense) -> None:
    """A dense vector, present in every row."""
    field = request.fields_data.add(field_name=place.field, type=place.data_type)
    field.vectors.dim = column.values.shape[1]
    raw = np.ascontiguousarray(column.values, dtype="<f4").tobytes()
    field.vectors.float_vector.ParseFromString(b"\x0a" + _varint(len(raw)) + raw)


def add_sparse(request: Any, place: VectorPlace, column: Sparse) -> None:
    """A sparse vector, present in every row, its indices ascending."""
    field = request.fields_data.add(field_name=place.field, type=place.data_type)
    found = np.empty(len(column.indices), dtype=_PAIR)
    found["index"], found["value"] = column.indices, column.values
    raw, borders = found.tobytes(), (column.offsets.astype(np.int64) * _PAIR.itemsize).tolist()
    sparse = field.vectors.sparse_float_vector
    sparse.contents.extend([raw[start:end] for start, end in pairwise(borders)])
    sparse.dim = int(column.indices.max(initial=0)) + 1
    field.vectors.dim = sparse.dim


def add_dynamic(request: Any, payloads: Sequence[bytes]) -> None:
    """The payloads, which are JSON as Milvus takes it."""
    field = request.fields_data.add(field_name=DYNAMIC, type=_JSON, is_dynamic=True)
    field.scalars.json_data.data.extend(payloads)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Reading


def read_key(field: Any) -> pa.StringArray:
    """The ids of an answer as canonical texts."""
    if field.scalars.HasField("string_data"):
        return pa.array(list(field.scalars.string_data.data), pa.string())
    return pa.array(np.array(field.scalars.long_data.data, dtype=np.int64)).cast(pa.string())


def read_vector(field: Any, place: VectorPlace, rows: int, url: str) -> pa.Array:
    """A vector as an Arrow column of `rows` rows; null where it is null. Raises BadRecord for a wrong size."""
    present = np.array(field.valid_data, dtype=np.bool_) if field.valid_data else None
    if present is not None and present.all():
        present = None
    if place.vector.kind is VectorKind.SPARSE:
        return _read_sparse(field.vectors.sparse_float_vector.contents, present)
    values = _read_numbers(field.vectors, place)
    dimension = place.vector.dimension or 0
    whole = len(values) == rows * dimension
    if not whole and (present is None or len(values) != int(present.sum()) * dimension):
        raise BadRecord(f"{url} gives {len(values)} numbers of {rows} vectors {place.field!r} of {dimension}")
    matrix = values.reshape(-1, dimension)
    if present is None or whole:
        return batches.dense_array(matrix, present)
    spread = np.zeros((rows, dimension), dtype=matrix.dtype)
    spread[present] = matrix
    return batches.dense_array(spread, present)


def _read_numbers(vectors: Any, place: VectorPlace) -> npt.NDArray[np.generic]:
    if place.data_type == _type("FloatVector"):
        return np.array(vectors.float_vector.data, dtype=np.float32)
    if place.data_type == _type("Float16Vector"):
        return np.frombuffer(vectors.float16_vector, dtype="<f2")
    if place.data_type == _type("Int8Vector"):
        return np.frombuffer(vectors.int8_vector, dtype=np.int8)
    halves = np.frombuffer(vectors.bfloat16_vector, dtype="<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _read_sparse(contents: Any, present: Mask | None) -> pa.StructArray:
    raws = list(contents)
    if present is not None and len(raws) < len(present):
        given = iter(raws)
        raws = [next(given) if there else b"" for there in present]
    lengths = np.fromiter(map(len, raws), dtype=np.int64, count=len(raws)) // _PAIR.itemsize
    offsets = np.zeros(len(raws) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    entries = np.frombuffer(b"".join(raws), dtype=_PAIR)
    indices, values = np.ascontiguousarray(entries["index"]), np.ascontiguousarray(entries["value"])
    return batches.sparse_array(Sparse(indices, values, offsets, present))


def read_scalar(field: Any, scalar: Scalar) -> list[Any]:
    """A typed field as Python values, None where it is null. Raises Unfit for a value that cannot be told."""
    slot = field.scalars.WhichOneof("data")
    values = list(getattr(field.scalars, slot).data) if slot else []
    valid = list(field.valid_data)
    if len(values) < len(valid):  # only those that are there
        given = iter(values)
        values = [next(given) if there else None for there in valid]
    elif valid:
        values = [value if there else None for value, there in zip(values, valid, strict=True)]
    decode = _decoder(scalar)
    return values if decode is None else [_decoded(decode, value, row) for row, value in enumerate(values)]


def _decoded(decode: Callable[[Any], Any], value: Any, row: int) -> Any:
    try:
        return None if value is None else decode(value)
    except ValueError as error:
        raise Unfit(row, f"the JSON of a field cannot be read: {error}") from error


def _decoder(scalar: Scalar) -> Callable[[Any], Any] | None:
    if scalar.data_type == _ARRAY:
        return _list
    if scalar.data_type == _JSON:
        return _bare_json if scalar.bare_texts else canonical.parse_strict
    return None


def _bare_json(raw: bytes) -> Any:
    """The value of a JSON field of milvus-lite, which gives texts without their quotes.

    It takes objects, lists and texts alone, so that `12` was the text; of a text that is itself an object or a list
    nobody can tell.
    """
    try:
        found = canonical.parse_strict(raw) if raw[:1] in (b"{", b"[") else None
    except ValueError:
        found = None
    return raw.decode(errors="surrogateescape") if found is None else found


def _list(item: Any) -> list[Any]:
    slot = item.WhichOneof("data")
    return list(getattr(item, slot).data) if slot else []
