"""Records as JSON of each form, numbers in the shortest text that gives the same bits back.

A line of points is `{"id":7,"vector":[0.5,1.0],"payload":{...},"document":"..."}`. `vector` is an object of names
where the vectors have names. `document` and absent vectors are left out; `id_kind` stands only where the JSON type
of the id would say another kind.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson
import pyarrow as pa

from vecferry import batch as batches
from vecferry.model import IdKind, VectorField, VectorKind
from vecferry.stores.json_ids import default_kind
from vecferry.stores.jsonl.dialects import CHROMA_COLUMNS, Dialect

__all__ = ["write"]

_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_FRAMES = {
    Dialect.DUMP: (b'{"result":{"points":[', b'],"next_page_offset":null},"status":"ok","time":0.0}\n'),
    Dialect.LIST: (b"[", b"]\n"),
}
_COPY_BYTES = 1 << 20


def write(path: Path, dialect: Dialect, found: Iterable[pa.RecordBatch]) -> None:
    """Write a file of records. NaN and infinities must have been refused before."""
    with path.open("wb", buffering=1 << 20) as stream:
        if dialect is Dialect.COLUMNS:
            _write_columns(stream, path.parent, found)
            return
        start, end = _FRAMES.get(dialect, (b"", b""))
        stream.write(start)
        texts = (text for batch in found for text in _TEXTS[dialect](batch))
        stream.writelines(_listed(texts) if start else (text + b"\n" for text in texts))
        stream.write(end)


def _listed(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The elements of an array, each on a line of its own."""
    for at, text in enumerate(texts):
        yield (b",\n" if at else b"\n") + text


def _write_columns(stream: BinaryIO, folder: Path, found: Iterable[pa.RecordBatch]) -> None:
    """All columns at once, each into a nameless file of its own, which are then joined."""
    with ExitStack() as stack:
        aside = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in CHROMA_COLUMNS]
        for batch in found:
            for part, texts in zip(aside, _columns(batch), strict=True):
                part.writelines(b",\n" + text for text in texts)
        for at, (name, part) in enumerate(zip(CHROMA_COLUMNS, aside, strict=True)):
            stream.write((b",\n" if at else b"{") + orjson.dumps(name) + b":[")
            part.seek(1)  # what comes before the first element is no comma
            shutil.copyfileobj(part, stream, _COPY_BYTES)
            stream.write(b"]")
        stream.write(b"}\n")


def _columns(batch: pa.RecordBatch) -> Iterator[Iterable[bytes]]:
    """The texts of each of Chroma's columns."""
    yield map(orjson.dumps, batches.id_texts(batch).to_pylist())
    yield (text or b"null" for text in _only_vector(batch))
    yield map(orjson.dumps, batches.documents_list(batch))
    yield map(_metadata, batches.payloads(batch))


def _only_vector(batch: pa.RecordBatch) -> list[bytes | None]:
    """The texts of the one unnamed vector."""
    [field] = batches.fields_of(batch.schema)
    return _texts(batch, field)


def _metadata(payload: bytes) -> bytes:
    """Chroma and its tools take no empty object: a record without metadata has null."""
    return b"null" if payload == b"{}" else payload


def _cdp_lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    for texts in zip(*_columns(batch), strict=True):
        record_id, vector, document, metadata = texts
        yield b'{"id":%b,"metadata":%b,"embedding":%b,"text_chunk":%b}' % (record_id, metadata, vector, document)


def _own_lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    documents = batches.documents_list(batch)
    for at, (record_id, kind, vector, payload) in enumerate(_records(batch)):
        stated = b"" if default_kind(kind, record_id) else b',"id_kind":"%b"' % kind.value.encode()
        document = b"" if documents[at] is None else b',"document":' + orjson.dumps(documents[at])
        vector = b"" if vector is None else b',"vector":' + vector
        yield b'{"id":%b%b%b,"payload":%b%b}' % (_id(record_id, kind), stated, vector, payload, document)


def _qdrant_points(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Points as Qdrant gives and takes them: one without a vector has an empty object there."""
    for record_id, kind, vector, payload in _records(batch):
        yield b'{"id":%b,"payload":%b,"vector":%b}' % (_id(record_id, kind), payload, vector or b"{}")


_TEXTS = {
    Dialect.LINES: _own_lines,
    Dialect.DUMP: _qdrant_points,
    Dialect.LIST: _qdrant_points,
    Dialect.CDP: _cdp_lines,
}


def _records(batch: pa.RecordBatch) -> Iterator[tuple[str, IdKind, bytes | None, bytes]]:
    """Id, its kind, the vectors' text (None: an unnamed one is absent) and the payload of each record."""
    fields = batches.fields_of(batch.schema)
    columns = [_texts(batch, field) for field in fields]
    names = None if [field.name for field in fields] == [""] else [orjson.dumps(field.name) for field in fields]
    ids, kinds = batches.id_texts(batch).to_pylist(), batches.id_kinds(batch)
    for at, payload in enumerate(batches.payloads(batch)):
        texts = [column[at] for column in columns]
        yield ids[at], IdKind(kinds[at]), texts[0] if names is None else _named(names, texts), payload


def _id(text: str, kind: IdKind) -> bytes:
    return text.encode() if kind in (IdKind.UINT64, IdKind.INT64) else orjson.dumps(text)


def _named(names: list[bytes], texts: list[bytes | None]) -> bytes:
    found = (name + b":" + text for name, text in zip(names, texts, strict=True) if text is not None)
    return b"{" + b",".join(found) + b"}"


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
