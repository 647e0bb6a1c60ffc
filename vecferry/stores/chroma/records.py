"""Record batches from what Chroma's client answers, and from what the folder reader gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical
from vecferry.errors import BadRecord
from vecferry.model import IdKind, Part, VectorField
from vecferry.stores.chroma.folder import Rows
from vecferry.stores.chroma.metadata_rows import URI_KEY
from vecferry.stores.chroma.payloads import Unfit, payload_texts

__all__ = ["answer_batch", "empty_batch", "includes", "join", "rows_batch"]


def includes(parts: frozenset[Part]) -> list[str]:
    """What the client is asked for so that these parts can be told."""
    wanted = ["embeddings"] if Part.VECTORS in parts else []
    wanted += ["documents"] if Part.DOCUMENT in parts else []
    return wanted + (["metadatas", "uris"] if Part.PAYLOAD in parts else [])


def empty_batch(field: VectorField, parts: frozenset[Part]) -> pa.RecordBatch:
    """No records. A collection that never had one does not know its dimension: its vectors have none."""
    return columns.empty((replace(field, dimension=field.dimension or 0),), parts)


def join(batches: list[pa.RecordBatch], field: VectorField, parts: frozenset[Part]) -> pa.RecordBatch:
    """Several batches as one."""
    if len(batches) == 1:
        return batches[0]
    return pa.concat_batches(batches) if batches else empty_batch(field, parts)


def answer_batch(
    answer: Mapping[str, Any], field: VectorField, parts: frozenset[Part], url: str, *, lost: bool = False
) -> pa.RecordBatch:
    """An answer of `get`, at least one row, as a batch. `lost`: the rows lack their vector, which was not asked for."""
    ids: list[str] = answer["ids"]
    vectors = None
    if Part.VECTORS in parts:
        vectors = {"": _lost(field, len(ids)) if lost else columns.dense_array(_matrix(answer, field, url))}
    payloads = None
    if Part.PAYLOAD in parts:
        try:
            payloads = payload_texts(answer["metadatas"], answer["uris"] or [None] * len(ids))
        except Unfit as error:
            raise BadRecord(f"{url}: record {ids[error.row]!r} cannot be read: {error}") from error
    documents = pa.array(answer["documents"], pa.string()) if Part.DOCUMENT in parts else None
    return columns.make(ids, IdKind.STRING, vectors=vectors, documents=documents, payloads=payloads)


def _matrix(answer: Mapping[str, Any], field: VectorField, url: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The vectors `(n, dim) float32`, which the client gives as lists of doubles. A null among them becomes NaN."""
    values = np.asarray(answer["embeddings"], dtype=np.float32)
    if values.shape != (len(answer["ids"]), field.dimension):
        raise BadRecord(f"{url} gives vectors of shape {values.shape[1:]}, its dimension is {field.dimension}")
    return values


def _lost(field: VectorField, rows: int) -> pa.FixedSizeListArray:
    zeros = np.zeros((rows, field.dimension or 0), dtype=np.float32)
    return columns.dense_array(zeros, np.zeros(rows, dtype=np.bool_))


def rows_batch(rows: Rows) -> pa.RecordBatch:
    """What the folder reader gives as a batch."""
    vectors = None
    if rows.vectors is not None and rows.lost is not None:
        vectors = {"": columns.dense_array(rows.vectors, ~rows.lost)}
    payloads = rows.metadata
    if payloads is not None and rows.uris is not None and rows.uris.null_count < len(rows.uris):
        payloads = _with_uris(payloads, rows.uris)
    return columns.make(rows.ids, IdKind.STRING, vectors=vectors, documents=rows.documents, payloads=payloads)


def _with_uris(payloads: pa.StringArray, uris: pa.StringArray) -> pa.StringArray:
    texts = payloads.cast(pa.binary()).to_pylist()
    for row, uri in enumerate(uris.to_pylist()):
        if uri is not None:
            texts[row] = canonical.encode({**canonical.decode(texts[row]), URI_KEY: uri})
    return pa.array(texts, pa.binary()).cast(pa.string())
