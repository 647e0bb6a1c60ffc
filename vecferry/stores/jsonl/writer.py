"""Records as lines of JSON: one point a line, numbers in the shortest text that gives the same bits back.

    {"id":7,"vector":[0.5,1.0],"payload":{...},"document":"..."}

`vector` is an object of names where the vectors have names. `document` and absent vectors are left out;
`id_kind` stands only where the JSON type of the id would say another kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import orjson
import pyarrow as pa

from vecferry import batch as batches
from vecferry.model import IdKind, VectorField, VectorKind
from vecferry.stores.json_ids import default_kind

__all__ = ["lines"]

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The line of each record, with its line break. NaN and infinities must have been refused before."""
    fields = batches.fields_of(batch.schema)
    columns = [_texts(batch, field) for field in fields]
    names = None if [field.name for field in fields] == [""] else [orjson.dumps(field.name) for field in fields]
    ids, kinds = batches.id_texts(batch).to_pylist(), batches.id_kinds(batch)
    documents = batches.documents_list(batch)
    for at, payload in enumerate(batches.payloads(batch)):
        document = b"" if documents[at] is None else b',"document":' + orjson.dumps(documents[at])
        vector = _vector(names, [column[at] for column in columns])
        yield b'{%b%b,"payload":%b%b}\n' % (_id(ids[at], IdKind(kinds[at])), vector, payload, document)


def _id(text: str, kind: IdKind) -> bytes:
    number = kind in (IdKind.UINT64, IdKind.INT64)
    stated = b"" if default_kind(kind, text) else b',"id_kind":"%b"' % kind.value.encode()
    return b'"id":' + (text.encode() if number else orjson.dumps(text)) + stated


def _vector(names: list[bytes] | None, texts: list[bytes | None]) -> bytes:
    if names is None:
        return b"" if texts[0] is None else b',"vector":' + texts[0]
    named = (name + b":" + text for name, text in zip(names, texts, strict=True) if text is not None)
    return b',"vector":{' + b",".join(named) + b"}"


def _texts(batch: pa.RecordBatch, field: VectorField) -> list[bytes | None]:
    """One vector's JSON text in each row, None where it is absent."""
    if field.kind is VectorKind.DENSE:
        dense = batches.dense_column(batch, field.name)
        found = _rows(np.ascontiguousarray(dense.values))
        if dense.present is None:
            return list(found)
        texts = iter(found)
        return [next(texts) if here else None for here in dense.present.tolist()]
    if field.kind is VectorKind.SPARSE:
        sparse = batches.sparse_column(batch, field.name)
        return [_sparse(sparse, at) for at in range(batch.num_rows)]
    multi = batches.multi_column(batch, field.name)
    return [_multi(multi, at) for at in range(batch.num_rows)]


def _rows(matrix: batches.Numbers) -> list[bytes]:
    """The text of each row of `(n, dim)`, from one call for all of them."""
    if not len(matrix):
        return []
    return [b"[" + row + b"]" for row in orjson.dumps(matrix, option=_NUMPY)[2:-2].split(b"],[")]


def _sparse(column: batches.Sparse, at: int) -> bytes | None:
    if column.present is not None and not column.present[at]:
        return None
    start, end = column.offsets[at], column.offsets[at + 1]
    return orjson.dumps({"indices": column.indices[start:end], "values": column.values[start:end]}, option=_NUMPY)


def _multi(column: batches.Multi, at: int) -> bytes | None:
    if column.present is not None and not column.present[at]:
        return None
    rows = column.values[column.offsets[at] : column.offsets[at + 1]]
    return b"[" + b",".join(_rows(rows)) + b"]"
