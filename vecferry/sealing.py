"""The hashes of record batches: computed here, stored by `vecferry.batch`, defined in `vecferry.hashing`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import hashing
from vecferry.model import Digest, Part, VectorField, VectorKind

__all__ = ["PART_ORDER", "digest", "hash_ids", "hash_part", "hash_parts", "of_part", "seal"]

PART_ORDER = (Part.VECTORS, Part.PAYLOAD, Part.DOCUMENT)
"""The order of the parts in the 48 bytes of a record's hashes."""

Mask = npt.NDArray[np.bool_]


def seal(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its hash column; all parts must be here (KeyError else)."""
    return columns.with_hashes(columns.drop_hashes(batch), hash_parts(batch))


def hash_parts(batch: pa.RecordBatch) -> npt.NDArray[np.uint8]:
    """Hashes of the three parts, computed now: `(n, 48) uint8` in the order vectors, payload, document."""
    return np.concatenate([hash_part(batch, part) for part in PART_ORDER], axis=1)


def hash_part(batch: pa.RecordBatch, part: Part) -> npt.NDArray[np.uint8]:
    """Hashes of one part, `(n, 16) uint8`."""
    if part is Part.VECTORS:
        found = [_hash_vector(batch, field) for field in columns.fields_of(batch.schema)]
        return hashing.combine_vectors(found, batch.num_rows)
    if part is Part.PAYLOAD:
        return hashing.hash_payloads(*columns.text_buffers(batch.column(columns.PAYLOAD)))
    document = batch.column(columns.DOCUMENT)
    present = document.is_valid().to_numpy(zero_copy_only=False)
    return hashing.hash_documents(*columns.text_buffers(document), present)


def of_part(hashes: npt.NDArray[np.uint8], part: Part) -> npt.NDArray[np.uint8]:
    """The `(n, 16)` hashes of one part among `(n, 48)`."""
    start = PART_ORDER.index(part) * hashing.HASH_BYTES
    return hashes[:, start : start + hashing.HASH_BYTES]


def hash_ids(batch: pa.RecordBatch) -> npt.NDArray[np.uint8]:
    """Hashes of the typed ids, `(n, 16) uint8`."""
    return hashing.hash_ids(batch.column(columns.ID).cast(pa.binary()).to_pylist(), columns.id_kinds(batch))


def digest(batch: pa.RecordBatch) -> Digest:
    """The digest of a sealed batch."""
    return hashing.digest(hash_ids(batch), columns.stored_hashes(batch))


def _hash_vector(batch: pa.RecordBatch, field: VectorField) -> npt.NDArray[np.uint8]:
    seed = hashing.vector_seed(field.name, field.kind, field.dtype, field.dimension or 0)
    if field.kind is VectorKind.DENSE:
        dense = columns.dense_column(batch, field.name)
        found = hashing.hash_rows(dense.values, seed)
        return found if dense.present is None else _spread(found, dense.present)
    if field.kind is VectorKind.MULTI:
        multi = columns.multi_column(batch, field.name)
        step = multi.values.dtype.itemsize * multi.values.shape[1]
        found = hashing.hash_segments(_bytes(multi.values), multi.offsets.astype(np.int64) * step, seed)
        return _mask(found, multi.present)
    return _hash_sparse(columns.sparse_column(batch, field.name), seed)


def _hash_sparse(column: columns.Sparse, seed: int) -> npt.NDArray[np.uint8]:
    indices, values = _bytes(column.indices), _bytes(column.values)
    size = column.values.dtype.itemsize
    pieces = [
        bytes(indices[4 * start : 4 * end]) + bytes(values[size * start : size * end])
        for start, end in zip(column.offsets[:-1].tolist(), column.offsets[1:].tolist(), strict=True)
    ]
    offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    return _mask(hashing.hash_segments(memoryview(b"".join(pieces)), offsets, seed), column.present)


def _bytes(values: npt.NDArray[np.generic]) -> memoryview:
    return memoryview(b"") if values.size == 0 else np.ascontiguousarray(values).data.cast("B")


def _spread(found: npt.NDArray[np.uint8], present: Mask) -> npt.NDArray[np.uint8]:
    out = np.zeros((len(present), hashing.HASH_BYTES), dtype=np.uint8)
    out[present] = found
    return out


def _mask(found: npt.NDArray[np.uint8], present: Mask | None) -> npt.NDArray[np.uint8]:
    if present is None:
        return found
    out = found.copy()
    out[~present] = 0
    return out
