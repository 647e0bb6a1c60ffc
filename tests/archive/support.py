"""Small archives and records of every kind for the tests of this folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from tests.golden.make_archive_v1 import column_of
from vecferry import batch as columns
from vecferry import canonical
from vecferry.archive import Archive, Changes, HashRows, Manifest
from vecferry.model import CollectionSchema, DType, IdKind, Metric, Receipt, VectorField, VectorKind

FIELDS = (VectorField("", VectorKind.DENSE, DType.FLOAT32, 4, Metric.COSINE),)
TYPES = columns.arrow_schema(FIELDS)
SCHEMA = CollectionSchema("docs", FIELDS, frozenset({IdKind.UINT64}), has_document=True)


def rows(start: int, stop: int, seed: int = 0) -> pa.RecordBatch:
    """Records with the ids `start` to `stop - 1`."""
    numbers = range(start, stop)
    vectors = np.random.default_rng([seed, start]).random((stop - start, 4), dtype=np.float32)
    return columns.make(
        [str(number) for number in numbers],
        IdKind.UINT64,
        vectors={"": columns.dense_array(vectors)},
        documents=[f"document {number}" if number % 3 else None for number in numbers],
        payloads=[b'{"n":%d}' % number for number in numbers],
    )


def as_found(sealed: pa.RecordBatch) -> HashRows:
    """Hashes of records that the target gave back under the same ids with the same bits."""
    hashes = columns.stored_hashes(sealed)
    return HashRows(sealed, sealed, hashes, hashes, np.ones(len(hashes), dtype=bool))


def hash_rows(archive: Archive, number: int) -> list[HashRows]:
    """The hashes of a part, as if the target had given back the same bits."""
    return [as_found(sealed) for sealed in archive.read_part(number, 10_000)]


def filled(folder: Path, parts: Sequence[pa.RecordBatch], *, hashes: bool = True, complete: bool = True) -> Archive:
    """An archive of `docs` with these parts."""
    archive = Archive.create(folder, "docs", {"version": 1})
    receipts = [archive.write_part(number, TYPES, [part]) for number, part in enumerate(parts)]
    numbers = range(len(parts)) if hashes else ()
    written = [archive.write_hashes(number, hash_rows(archive, number)) for number in numbers]
    commit(archive, receipts, written, complete=complete)
    return archive


def commit(archive: Archive, receipts: list[Receipt], hashes: list[Receipt], *, complete: bool = True) -> Manifest:
    """Commit these parts."""
    changes = Changes(schema=SCHEMA, parts=tuple(receipts), hashes=tuple(hashes), complete=complete)
    return archive.commit(changes)


def path_of(archive: Archive, path: str) -> Path:
    """A file of an archive."""
    return Path(archive.storage.place(path))


def _floats(dtype: DType) -> st.SearchStrategy[Any]:
    if dtype in (DType.UINT8, DType.INT8):
        limits = np.iinfo(dtype.value)
        return st.integers(limits.min, limits.max)
    return st.floats(width=8 * np.dtype(dtype.value).itemsize)  # type: ignore[arg-type]


def _vector(field: VectorField) -> st.SearchStrategy[Any]:
    numbers = _floats(field.dtype)
    row = st.lists(numbers, min_size=field.dimension or 0, max_size=field.dimension or 0)
    if field.kind is VectorKind.DENSE:
        return row
    if field.kind is VectorKind.MULTI:
        return st.lists(row, max_size=3)
    entries = st.lists(st.tuples(st.integers(0, 2**32 - 1), numbers), max_size=3)
    return entries.map(lambda pairs: ([index for index, _ in pairs], [value for _, value in pairs]))


KINDS_OF_VECTORS = [
    VectorField(f"{kind.value}-{dtype.value}", kind, dtype, None if kind is VectorKind.SPARSE else 3)
    for kind in VectorKind
    for dtype in DType
]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def collections(draw: st.DrawFn) -> tuple[list[VectorField], pa.RecordBatch]:
    """Vector fields of any kinds, and a batch of records that fit them."""
    fields = draw(st.lists(st.sampled_from(KINDS_OF_VECTORS), max_size=4, unique_by=lambda field: field.name))
    text = st.text(max_size=6)
    keys = draw(st.lists(st.tuples(text, st.sampled_from(list(IdKind))), max_size=12, unique=True))
    count = len(keys)
    vectors = {}
    for field in fields:
        values = draw(st.lists(st.none() | _vector(field), min_size=count, max_size=count))
        vectors[field.name] = column_of(field, values)
    documents = draw(st.lists(st.none() | text, min_size=count, max_size=count))
    payloads = draw(st.lists(st.dictionaries(text, JSON, max_size=3), min_size=count, max_size=count))
    batch = columns.make(
        [key for key, _ in keys],
        [kind for _, kind in keys],
        vectors=vectors,
        documents=documents,
        payloads=canonical.encode_many(payloads),
    )
    return fields, batch


def cut(batch: pa.RecordBatch, sizes: Sequence[int]) -> list[pa.RecordBatch]:
    """The batch in pieces of these sizes, over and over."""
    pieces, start, turn = [], 0, 0
    while start < batch.num_rows:
        pieces.append(batch.slice(start, sizes[turn % len(sizes)]))
        start += sizes[turn % len(sizes)]
        turn += 1
    return pieces


def same_bits(one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    """Whether two batches hold the same, NaN equal to itself and -0.0 different from 0.0."""
    return one.schema == other.schema and list(map(_bits, one.to_pylist())) == list(map(_bits, other.to_pylist()))


def _bits(value: Any) -> Any:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value.hex()
    if isinstance(value, list):
        return [_bits(item) for item in value]
    if isinstance(value, dict):
        return {key: _bits(item) for key, item in value.items()}
    return value
