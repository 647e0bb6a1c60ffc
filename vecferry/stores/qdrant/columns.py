"""The vectors of an answer's rows as columns.

Servers up to 1.16 answer with flat fields of `VectorOutput`, later ones with a message per kind; both are read.
Where all rows have the same dense vector and the same bytes before its numbers, no message is parsed at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import methodcaller
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vecferry.batch import Dense, Multi, Sparse
from vecferry.model import VectorField, VectorKind
from vecferry.stores.qdrant import layout, messages
from vecferry.stores.qdrant.varint import unpack

__all__ = ["LayoutDiffers", "vector_columns"]

Mask = npt.NDArray[np.bool_]
Column = Dense | Sparse | Multi

_FLOAT = np.dtype("<f4")


class LayoutDiffers(Exception):
    """The bytes are not laid out as the schema and a packing writer have it."""


def vector_columns(raws: Sequence[bytes], fields: Sequence[VectorField]) -> dict[str, Column]:
    """Columns of float32 by vector name from each row's raw `VectorsOutput` (empty: it has no vector).

    Dense and multi fields must know their dimension. Raises LayoutDiffers for a vector that no field names,
    or whose kind or size is another than its field says.
    """
    if len(fields) == 1 and fields[0].kind is VectorKind.DENSE:
        uniform = _uniform(raws, fields[0])
        if uniform is not None:
            return {fields[0].name: uniform}
    return _walk(raws, fields)


def _uniform(raws: Sequence[bytes], field: VectorField) -> Dense | None:
    """The column if every row holds this one dense vector behind the same bytes."""
    size_bytes = _dimension(field) * _FLOAT.itemsize
    for head in _heads(field.name, size_bytes):
        if raws and raws[0].startswith(head):
            whole = set(map(len, raws)) == {len(head) + size_bytes}
            if whole and all(map(methodcaller("startswith", head), raws)):
                return Dense(_matrix([memoryview(raw)[len(head) :] for raw in raws], size_bytes))
    return None


def _heads(name: str, size_bytes: int) -> list[bytes]:
    """What may stand before the numbers where a row has one dense vector."""
    heads = []
    for inner in (layout.dense_head(size_bytes), layout.flat_head(size_bytes)):
        vector_bytes = len(inner) + size_bytes
        entry = layout.named_head(name, vector_bytes)
        heads.append(layout.field_head(2, len(entry) + vector_bytes) + entry + inner)
        if not name:
            heads.append(layout.unnamed_head(vector_bytes) + inner)
    return heads


def _walk(raws: Sequence[bytes], fields: Sequence[VectorField]) -> dict[str, Column]:
    collectors = {field.name: _COLLECTORS[field.kind](field, len(raws)) for field in fields}
    unnamed = collectors.get("")
    for row, raw in enumerate(raws):
        if not raw:
            continue
        message = messages.VectorsOutput.FromString(raw)
        if message.HasField("vector"):
            if unnamed is None:
                raise LayoutDiffers("a record has an unnamed vector, which the schema does not")
            unnamed.add(row, message.vector)
        named = message.vectors.vectors
        for name in named:
            if name not in collectors:
                raise LayoutDiffers(f"a record has the vector {name!r}, which the schema does not")
            collectors[name].add(row, named[name])
    return {name: collector.column() for name, collector in collectors.items()}


class _Collector(Protocol):
    """Takes the rows of one vector in order and makes its column."""

    def add(self, row: int, vector: Any) -> None: ...

    def column(self) -> Column: ...


class _DenseCollector:
    def __init__(self, field: VectorField, rows: int) -> None:
        self._name = field.name
        self._size_bytes = _dimension(field) * _FLOAT.itemsize
        self._present = np.zeros(rows, dtype=np.bool_)
        self._chunks: list[bytes] = []

    def add(self, row: int, vector: Any) -> None:
        data = vector.dense.data or vector.data
        if len(data) != self._size_bytes or vector.HasField("indices"):
            raise LayoutDiffers(_wrong_size(self._name, len(data), self._size_bytes))
        self._present[row] = True
        self._chunks.append(data)

    def column(self) -> Dense:
        return Dense(_matrix(self._chunks, self._size_bytes), _mask(self._present))


class _SparseCollector:
    def __init__(self, field: VectorField, rows: int) -> None:
        self._name = field.name
        self._present = np.zeros(rows, dtype=np.bool_)
        self._counts = np.zeros(rows, dtype=np.int64)
        self._indices: list[bytes] = []
        self._values: list[bytes] = []

    def add(self, row: int, vector: Any) -> None:
        if vector.HasField("sparse"):
            indices, values = vector.sparse.indices, vector.sparse.values
        elif vector.HasField("indices"):
            indices, values = vector.indices.data, vector.data
        else:
            raise LayoutDiffers(f"vector {self._name!r} is not sparse in the answer")
        if len(values) % _FLOAT.itemsize:
            raise LayoutDiffers(f"the values of sparse vector {self._name!r} are cut")
        self._present[row] = True
        self._counts[row] = len(values) // _FLOAT.itemsize
        self._indices.append(indices)
        self._values.append(values)

    def column(self) -> Sparse:
        try:
            indices, ended = unpack(b"".join(self._indices))
        except ValueError as error:
            raise LayoutDiffers(f"the indices of sparse vector {self._name!r} are cut") from error
        borders = np.zeros(len(self._indices) + 1, dtype=np.int64)
        np.cumsum([len(raw) for raw in self._indices], out=borders[1:])
        if not np.array_equal(np.diff(ended[borders]), self._counts[self._present]):
            raise LayoutDiffers(f"sparse vector {self._name!r} has not as many indices as values")
        values = np.frombuffer(b"".join(self._values), dtype=_FLOAT)
        return Sparse(indices.astype(np.uint32), values, _offsets(self._counts), _mask(self._present))


class _MultiCollector:
    def __init__(self, field: VectorField, rows: int) -> None:
        self._name = field.name
        self._size_bytes = _dimension(field) * _FLOAT.itemsize
        self._present = np.zeros(rows, dtype=np.bool_)
        self._counts = np.zeros(rows, dtype=np.int64)
        self._chunks: list[bytes] = []

    def add(self, row: int, vector: Any) -> None:
        if vector.HasField("multi_dense"):
            chunks = [inner.data for inner in vector.multi_dense.vectors]
            if any(len(chunk) != self._size_bytes for chunk in chunks):
                raise LayoutDiffers(_wrong_size(self._name, max(map(len, chunks)), self._size_bytes))
            count = len(chunks)
        else:
            chunks, count = [vector.data], vector.vectors_count
            if len(vector.data) != count * self._size_bytes or not count:
                raise LayoutDiffers(_wrong_size(self._name, len(vector.data), count * self._size_bytes))
        self._present[row] = True
        self._counts[row] = count
        self._chunks += chunks

    def column(self) -> Multi:
        return Multi(_matrix(self._chunks, self._size_bytes), _offsets(self._counts), _mask(self._present))


_COLLECTORS: dict[VectorKind, Any] = {
    VectorKind.DENSE: _DenseCollector,
    VectorKind.SPARSE: _SparseCollector,
    VectorKind.MULTI: _MultiCollector,
}


def _dimension(field: VectorField) -> int:
    if field.dimension is None:
        raise ValueError(f"the dimension of vector {field.name!r} is not known")
    return field.dimension


def _matrix(chunks: Sequence[bytes | memoryview], size_bytes: int) -> npt.NDArray[np.float32]:
    return np.frombuffer(b"".join(chunks), dtype=_FLOAT).reshape(-1, size_bytes // _FLOAT.itemsize)


def _mask(present: Mask) -> Mask | None:
    return None if present.all() else present


def _offsets(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(counts) + 1, dtype=np.int32)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _wrong_size(name: str, found_bytes: int, expected_bytes: int) -> str:
    width = _FLOAT.itemsize
    return f"vector {name!r} has {found_bytes / width:g} numbers where {expected_bytes // width} are expected"
