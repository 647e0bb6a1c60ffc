"""The bytes around a vector's numbers, one function per nesting, used to write and to recognise them.

Unnamed: `vector { dense { data } }`; named: `vectors { entry { key, value { dense { data } } } }`.
Every function gives what stands before a body of the given size.
"""

from __future__ import annotations

from vecferry.stores.qdrant.varint import varint

__all__ = ["dense_head", "field_head", "flat_head", "multi_head", "named_head", "sparse_heads", "unnamed_head"]

_DATA = 1
_DENSE, _SPARSE, _MULTI = 101, 102, 103
_LENGTH_DELIMITED = 2


def field_head(field: int, body_bytes: int) -> bytes:
    """Tag and length of a length-delimited field."""
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(body_bytes)


def flat_head(data_bytes: int) -> bytes:
    """Before the numbers of a dense vector in the flat field of servers up to 1.16."""
    return field_head(_DATA, data_bytes)


def dense_head(data_bytes: int) -> bytes:
    """Before the numbers of a dense vector in the `dense` field."""
    inner = field_head(_DATA, data_bytes)
    return field_head(_DENSE, len(inner) + data_bytes) + inner


def sparse_heads(values_bytes: int, indices_bytes: int) -> tuple[bytes, bytes]:
    """Before the values, and between the values and the indices, of a sparse vector."""
    values, indices = field_head(1, values_bytes), field_head(2, indices_bytes)
    return field_head(_SPARSE, len(values) + values_bytes + len(indices) + indices_bytes) + values, indices


def multi_head(body_bytes: int) -> bytes:
    """Before the rows of a multi-vector, each of which is `field_head(1, ...)` of a dense message."""
    return field_head(_MULTI, body_bytes)


def unnamed_head(vector_bytes: int) -> bytes:
    """Before the vector of a record that has one unnamed vector."""
    return field_head(1, vector_bytes)


def named_head(name: str, vector_bytes: int) -> bytes:
    """Before one vector among named ones, inside the field that holds them all."""
    raw = name.encode()
    key = field_head(1, len(raw)) + raw
    value = field_head(2, vector_bytes)
    return field_head(1, len(key) + len(value) + vector_bytes) + key + value
