"""Whether the installed protobuf library is the one that the fast path was made for: a known answer both ways.

The fast path hands it packed bytes where a message has repeated floats, and reads those as one buffer. Both are the
wire format's own, but a library may keep its messages in another way one day; the official client serves then.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from google.protobuf.message import DecodeError
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from vecferry import batch as batches
from vecferry.batch import Dense, Sparse
from vecferry.errors import BadRecord
from vecferry.model import VectorField, VectorKind
from vecferry.stores.milvus import columns
from vecferry.stores.milvus.layout import VectorPlace

__all__ = ["wire_is_exact"]

_type = schema_pb2.DataType.Value
# Zeros of both signs, the least and the greatest number, one that float64 does not share with its text.
_BITS = np.array([[0, 0x80000000, 1], [0x7F7FFFFF, 0x3DCCCCCD, 0xFF7FFFFF]], dtype=np.uint32)
_DENSE = VectorPlace("d", _type("FloatVector"), VectorField("d", dimension=3))
_SPARSE = VectorPlace("s", _type("SparseFloatVector"), VectorField("s", VectorKind.SPARSE))


@functools.cache
def wire_is_exact() -> bool:
    """Whether vectors travel through messages as the client's own slow way would have them. Asked once a process."""
    numbers: npt.NDArray[np.float32] = _BITS.view(np.float32)
    entries = Sparse(
        np.array([7, 9, 2**32 - 2], np.uint32), np.array([0.1, 1.0, 2.0], np.float32), np.array([0, 2, 3], np.int32)
    )
    try:
        return _dense_agrees(numbers) and _sparse_agrees(entries)
    except (AttributeError, TypeError, ValueError, DecodeError, BadRecord):
        return False


def _dense_agrees(numbers: npt.NDArray[np.float32]) -> bool:
    packed = milvus_pb2.UpsertRequest()
    columns.add_dense(packed, _DENSE, Dense(numbers))
    plain = milvus_pb2.UpsertRequest()
    field = plain.fields_data.add(field_name=_DENSE.field, type=_DENSE.data_type)
    field.vectors.dim = 3
    field.vectors.float_vector.data.extend(numbers.reshape(-1).tolist())
    return _same(packed, plain, _DENSE, batches.dense_array(numbers))


def _sparse_agrees(entries: Sparse) -> bool:
    packed = milvus_pb2.UpsertRequest()
    columns.add_sparse(packed, _SPARSE, entries)
    plain = milvus_pb2.UpsertRequest()
    field = plain.fields_data.add(field_name=_SPARSE.field, type=_SPARSE.data_type)
    raws = [
        b"".join(
            np.uint32(index).tobytes() + np.float32(value).tobytes()
            for index, value in zip(entries.indices[start:end], entries.values[start:end], strict=True)
        )
        for start, end in ((0, 2), (2, 3))
    ]
    field.vectors.sparse_float_vector.contents.extend(raws)
    field.vectors.sparse_float_vector.dim = field.vectors.dim = 2**32 - 1
    return _same(packed, plain, _SPARSE, batches.sparse_array(entries))


def _same(
    packed: milvus_pb2.UpsertRequest, plain: milvus_pb2.UpsertRequest, place: VectorPlace, wanted: pa.Array
) -> bool:
    """Whether both messages are one, and reading it gives what was written."""
    raw = packed.SerializeToString(deterministic=True)
    if raw != plain.SerializeToString(deterministic=True):
        return False
    [field] = milvus_pb2.UpsertRequest.FromString(raw).fields_data
    return bool(columns.read_vector(field, place, len(wanted), "probe").equals(wanted))
