"""Records as Arrow record batches: the only place that knows column names.

One batch holds `n` records: `id` (canonical text) and `id_kind`, one column per vector, `document`,
`payload` (canonical JSON) and, once sealed, `source_hash` (48 bytes: vectors, payload, document).
A part that was not read has no column. Dense vectors are fixed-size lists whose buffer goes to and
from numpy without a copy; a record that lacks a vector has null there, which is not the same as empty.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry.errors import BadRecord
from vecferry.model import ALL_PARTS, DType, IdKind, Part, RecordId, VectorField, VectorKind

__all__ = [
    "DOCUMENT",
    "HASHES",
    "ID",
    "ID_KIND",
    "PAYLOAD",
    "Dense",
    "Multi",
    "Sparse",
    "arrow_schema",
    "arrow_type",
    "column_name",
    "dense_array",
    "dense_column",
    "documents",
    "documents_list",
    "drop_hashes",
    "empty",
    "fields_of",
    "fixed_binary",
    "fixed_binary_array",
    "id_kinds",
    "id_texts",
    "ids_batch",
    "ids_of",
    "kind_array",
    "make",
    "multi_array",
    "multi_column",
    "nonfinite_row",
    "parts_of",
    "payloads",
    "record_ids",
    "single_kind",
    "sparse_array",
    "sparse_column",
    "stored_hashes",
    "text_buffers",
    "vector_names",
    "with_hashes",
]

ID, ID_KIND, DOCUMENT, PAYLOAD, HASHES = "id", "id_kind", "document", "payload", "source_hash"
HASHES_BYTES = 48
_VECTOR = "vector"
_KIND_TYPE = pa.dictionary(pa.int8(), pa.string())
_KIND_INDEX = {kind: index for index, kind in enumerate(IdKind)}
_ARROW_TYPE = {
    DType.FLOAT16: pa.float16(),
    DType.FLOAT32: pa.float32(),
    DType.FLOAT64: pa.float64(),
    DType.UINT8: pa.uint8(),
    DType.INT8: pa.int8(),
}
_DTYPE = {arrow: dtype for dtype, arrow in _ARROW_TYPE.items()}

Numbers = npt.NDArray[np.generic]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dense:
    """A dense vector column: `values` `(p, dim)` for the `p` present rows, in row order.

    `present` is `(n,) bool`, or None when every row has its vector.
    """

    values: Numbers
    present: Mask | None = None

    def full(self, fill: float = 0.0) -> Numbers:
        """`(n, dim)` with `fill` in the rows that lack the vector; no copy when none does."""
        if self.present is None:
            return self.values
        out = np.full((len(self.present), self.values.shape[1]), fill, dtype=self.values.dtype)
        out[self.present] = self.values
        return out


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse vector column: row i holds `indices[offsets[i]:offsets[i + 1]]` (uint32) and those `values`.

    An absent row has `present[i]` false and no entries; an empty one is present without entries.
    """

    indices: npt.NDArray[np.uint32]
    values: Numbers
    offsets: npt.NDArray[np.int32]
    present: Mask | None = None


@dataclass(frozen=True, slots=True)
class Multi:
    """A multi-vector column: row i holds the rows `offsets[i]:offsets[i + 1]` of `values` `(total, dim)`."""

    values: Numbers
    offsets: npt.NDArray[np.int32]
    present: Mask | None = None


# Names and types


def column_name(vector: str) -> str:
    """The column of a named vector; the unnamed one is `vector`."""
    return f"{_VECTOR}.{vector}" if vector else _VECTOR


def vector_names(batch: pa.RecordBatch | pa.Schema) -> list[str]:
    """Names of the vectors whose columns are here, `""` for the unnamed one."""
    names = batch.names if isinstance(batch, pa.Schema) else batch.schema.names
    return [name[len(_VECTOR) + 1 :] for name in names if name == _VECTOR or name.startswith(_VECTOR + ".")]


def arrow_type(field: VectorField) -> pa.DataType:
    """The Arrow type of one vector column. A dense or multi field must know its dimension (ValueError)."""
    number = _ARROW_TYPE[field.dtype]
    if field.kind is VectorKind.SPARSE:
        return pa.struct([("indices", pa.list_(pa.uint32())), ("values", pa.list_(number))])
    if field.dimension is None:
        raise ValueError(f"the dimension of vector {field.name!r} is not known")
    row = pa.list_(number, field.dimension)
    return row if field.kind is VectorKind.DENSE else pa.list_(row)


def arrow_schema(
    vectors: Sequence[VectorField], parts: frozenset[Part] = ALL_PARTS, *, sealed: bool = False
) -> pa.Schema:
    """The Arrow schema of a collection's batches."""
    fields = [pa.field(ID, pa.string(), nullable=False), pa.field(ID_KIND, _KIND_TYPE, nullable=False)]
    if Part.VECTORS in parts:
        fields += [pa.field(column_name(field.name), arrow_type(field)) for field in vectors]
    if Part.DOCUMENT in parts:
        fields.append(pa.field(DOCUMENT, pa.string()))
    if Part.PAYLOAD in parts:
        fields.append(pa.field(PAYLOAD, pa.string(), nullable=False))
    if sealed:
        fields.append(pa.field(HASHES, pa.binary(HASHES_BYTES), nullable=False))
    return pa.schema(fields)


# Building


def kind_array(kinds: IdKind | Sequence[IdKind], rows: int) -> pa.DictionaryArray:
    """The `id_kind` column: one kind for all rows, or one for each."""
    if isinstance(kinds, IdKind):
        codes = np.full(rows, _KIND_INDEX[kinds], dtype=np.int8)
    else:
        codes = np.fromiter((_KIND_INDEX[kind] for kind in kinds), dtype=np.int8, count=rows)
    return pa.DictionaryArray.from_arrays(pa.array(codes), _kinds())


@functools.cache
def _kinds() -> pa.StringArray:
    # Made on first use: Arrow looks for pandas when it makes its first array, which costs a second at start-up.
    return pa.array([kind.value for kind in IdKind], pa.string())


def dense_array(values: Numbers, present: Mask | None = None) -> pa.FixedSizeListArray:
    """An Arrow column from `(n, dim)` numbers; rows where `present` is false become null. No copy of C order."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    mask = None if present is None or present.all() else pa.array(~present)
    return pa.FixedSizeListArray.from_arrays(flat, type=pa.list_(flat.type, values.shape[1]), mask=mask)


def sparse_array(column: Sparse) -> pa.StructArray:
    """An Arrow struct column of a sparse vector column, each row's indices ascending: their order means nothing."""
    column = _ascending(column)
    offsets = pa.array(column.offsets)
    indices = pa.ListArray.from_arrays(offsets, pa.array(column.indices))
    values = pa.ListArray.from_arrays(offsets, pa.array(column.values))
    mask = None if column.present is None or column.present.all() else pa.array(~column.present)
    return pa.StructArray.from_arrays([indices, values], names=["indices", "values"], mask=mask)


def _ascending(column: Sparse) -> Sparse:
    rows = np.repeat(np.arange(len(column.offsets) - 1), np.diff(column.offsets))
    falling = (np.diff(column.indices.astype(np.int64)) < 0) & (np.diff(rows) == 0)
    if not falling.any():
        return column
    order = np.lexsort((column.indices, rows))
    return Sparse(column.indices[order], column.values[order], column.offsets, column.present)


def multi_array(column: Multi) -> pa.ListArray:
    """An Arrow list column of a multi-vector column."""
    mask = None if column.present is None or column.present.all() else pa.array(~column.present)
    return pa.ListArray.from_arrays(pa.array(column.offsets), dense_array(column.values), mask=mask)


def make(
    ids: pa.Array | Sequence[str],
    kinds: IdKind | Sequence[IdKind] | pa.Array,
    *,
    vectors: Mapping[str, pa.Array] | None = None,
    documents: pa.Array | Sequence[str | None] | None = None,
    payloads: pa.Array | Sequence[bytes] | Sequence[str] | None = None,
) -> pa.RecordBatch:
    """A batch from columns. A part that is None was not read and gets no column.

    `payloads` are canonical JSON texts; bytes are taken as UTF-8.
    """
    columns: dict[str, pa.Array] = {ID: _strings(ids)}
    rows = len(columns[ID])
    columns[ID_KIND] = kinds if isinstance(kinds, pa.Array) else kind_array(kinds, rows)
    for name, array in (vectors or {}).items():
        columns[column_name(name)] = array
    if documents is not None:
        columns[DOCUMENT] = _strings(documents)
    if payloads is not None:
        columns[PAYLOAD] = _strings(payloads)
    not_null = {ID, ID_KIND, PAYLOAD}
    schema = pa.schema([pa.field(name, array.type, nullable=name not in not_null) for name, array in columns.items()])
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


def _strings(values: Any) -> pa.Array:
    if isinstance(values, pa.Array):
        return values if values.type == pa.string() else values.cast(pa.string())
    values = list(values)
    if values and isinstance(values[0], bytes):
        return pa.array(values, pa.binary()).cast(pa.string())
    return pa.array(values, pa.string())


def ids_batch(ids: Iterable[RecordId]) -> pa.RecordBatch:
    """A batch of ids alone, as `fetch` and `delete` take it."""
    listed = list(ids)
    return make([record_id.text for record_id in listed], [record_id.kind for record_id in listed])


def ids_of(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The ids of a batch alone."""
    return batch.select([ID, ID_KIND])


def empty(vectors: Sequence[VectorField], parts: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
    """A batch without rows."""
    return pa.RecordBatch.from_pylist([], schema=arrow_schema(vectors, parts))


# Reading


def parts_of(batch: pa.RecordBatch) -> frozenset[Part]:
    """The parts that were read."""
    found = {Part.VECTORS} if vector_names(batch) else set()
    found |= {part for part, name in ((Part.DOCUMENT, DOCUMENT), (Part.PAYLOAD, PAYLOAD)) if name in batch.schema.names}
    return frozenset(found)


def id_texts(batch: pa.RecordBatch) -> pa.StringArray:
    """Canonical id texts."""
    return batch.column(ID)


def id_kinds(batch: pa.RecordBatch) -> list[str]:
    """The kind of each id, as text."""
    # Cast first: Arrow makes a scalar object of each value of a dictionary, eighty times slower.
    kinds: list[str] = batch.column(ID_KIND).cast(pa.string()).to_pylist()
    return kinds


def single_kind(batch: pa.RecordBatch) -> IdKind | None:
    """The kind that all ids share, or None when they differ (or there are none)."""
    values = pc.unique(batch.column(ID_KIND).cast(pa.string())).to_pylist()
    return IdKind(values[0]) if len(values) == 1 else None


def record_ids(batch: pa.RecordBatch) -> list[RecordId]:
    """Typed ids as objects: for messages and tests, not for hot paths."""
    pairs = zip(id_kinds(batch), id_texts(batch).to_pylist(), strict=True)
    return [RecordId(IdKind(kind), text) for kind, text in pairs]


def documents(batch: pa.RecordBatch) -> pa.StringArray:
    """The document column."""
    return batch.column(DOCUMENT)


def documents_list(batch: pa.RecordBatch) -> list[str | None]:
    """Documents as Python text."""
    listed: list[str | None] = batch.column(DOCUMENT).to_pylist()
    return listed


def payloads(batch: pa.RecordBatch) -> list[bytes]:
    """Canonical payload texts as bytes."""
    listed: list[bytes] = batch.column(PAYLOAD).cast(pa.binary()).to_pylist()
    return listed


def dense_column(batch: pa.RecordBatch, name: str = "") -> Dense:
    """A dense vector column as numbers, without a copy when no row lacks its vector.

    Raises BadRecord when a vector has a null inside.
    """
    array = batch.column(column_name(name))
    flat = array.flatten()
    if flat.null_count:
        raise BadRecord(f"vector {name!r} has a null among its numbers")
    values = flat.to_numpy(zero_copy_only=True).reshape(-1, array.type.list_size)
    present = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
    return Dense(values, present)


def sparse_column(batch: pa.RecordBatch, name: str = "") -> Sparse:
    """A sparse vector column as numbers."""
    array = batch.column(column_name(name))
    present = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
    indices, values = (pc.struct_field(array, field) for field in ("indices", "values"))
    lengths = pc.fill_null(pc.list_value_length(indices), 0).to_numpy(zero_copy_only=False)
    return Sparse(indices.flatten().to_numpy(), values.flatten().to_numpy(), _offsets(lengths), present)


def multi_column(batch: pa.RecordBatch, name: str = "") -> Multi:
    """A multi-vector column as numbers."""
    array = batch.column(column_name(name))
    present = None if array.null_count == 0 else array.is_valid().to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    rows = array.flatten()
    return Multi(rows.flatten().to_numpy().reshape(-1, rows.type.list_size), _offsets(lengths), present)


def _offsets(lengths: Numbers) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def fields_of(schema: pa.Schema) -> list[VectorField]:
    """The vector fields that an Arrow schema shows (it knows no metric)."""
    return [_field_of(name, schema.field(column_name(name)).type) for name in vector_names(schema)]


def _field_of(name: str, kind: pa.DataType) -> VectorField:
    if pa.types.is_struct(kind):
        return VectorField(name, VectorKind.SPARSE, _DTYPE[kind.field("values").type.value_type])
    if pa.types.is_fixed_size_list(kind):
        return VectorField(name, VectorKind.DENSE, _DTYPE[kind.value_type], kind.list_size)
    row = kind.value_type
    return VectorField(name, VectorKind.MULTI, _DTYPE[row.value_type], row.list_size)


def nonfinite_row(batch: pa.RecordBatch) -> tuple[str, int] | None:
    """The first vector name and row whose numbers hold NaN or infinity, or None."""
    for field in fields_of(batch.schema):
        if field.dtype in (DType.UINT8, DType.INT8):
            continue
        row = _first_nonfinite(batch, field)
        if row is not None:
            return field.name, row
    return None


def _first_nonfinite(batch: pa.RecordBatch, field: VectorField) -> int | None:
    if field.kind is VectorKind.DENSE:
        dense = dense_column(batch, field.name)
        bad, present = ~np.isfinite(dense.values).all(axis=1), dense.present
        if not bad.any():
            return None
        rows = np.arange(batch.num_rows) if present is None else np.flatnonzero(present)
        return int(rows[np.argmax(bad)])
    column: Sparse | Multi
    column = sparse_column(batch, field.name) if field.kind is VectorKind.SPARSE else multi_column(batch, field.name)
    bad = ~np.isfinite(column.values)
    bad = bad.any(axis=1) if bad.ndim == 2 else bad
    return int(np.searchsorted(column.offsets, np.argmax(bad), side="right") - 1) if bad.any() else None


def drop_hashes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without its hash column."""
    return batch.drop_columns([HASHES]) if HASHES in batch.schema.names else batch


def with_hashes(batch: pa.RecordBatch, values: npt.NDArray[np.uint8]) -> pa.RecordBatch:
    """The batch with `values` `(n, 48) uint8` as its hash column."""
    array = fixed_binary_array(values)
    return batch.append_column(pa.field(HASHES, array.type, nullable=False), array)


def stored_hashes(batch: pa.RecordBatch) -> npt.NDArray[np.uint8]:
    """The hash column as `(n, 48) uint8`."""
    return fixed_binary(batch.column(HASHES))


def fixed_binary(array: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint8]:
    """A fixed-size binary column as `(n, width) uint8`, without a copy."""
    width = array.type.byte_width
    data = np.frombuffer(array.buffers()[1] or b"", dtype=np.uint8)
    return data[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)


def fixed_binary_array(values: npt.NDArray[np.uint8]) -> pa.FixedSizeBinaryArray:
    """`(n, width) uint8` as an Arrow column, without a copy."""
    count, width = values.shape
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, buffer])


def text_buffers(array: pa.StringArray) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """Bytes of all texts and the borders between them, respecting the offset of a slice."""
    offsets = np.frombuffer(array.buffers()[1] or b"\0" * 4, dtype=np.int32)
    data = array.buffers()[2]
    return memoryview(data or b""), offsets[array.offset : array.offset + len(array) + 1].astype(np.int64)
