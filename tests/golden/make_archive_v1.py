"""Makes `archive-v1/` and `archive-v1.expected.json`: a tiny archive that holds one of everything.

It ran once, for format version 1.0. What it made is never edited or made again: every later version of
vecferry has to read those very bytes. A new format version gets a script and a folder of its own.

    python -m tests.golden.make_archive_v1 FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical, sealing
from vecferry.archive import Archive, Changes, HashRows
from vecferry.model import CollectionSchema, DType, Feature, IdKind, Metric, VectorField, VectorKind

COLLECTION = "gólden/1"
VECTORS = (
    VectorField("", VectorKind.DENSE, DType.FLOAT32, 4, Metric.COSINE),
    VectorField("half", VectorKind.DENSE, DType.FLOAT16, 3, Metric.DOT),
    VectorField("wide", VectorKind.DENSE, DType.FLOAT64, 2, Metric.EUCLID),
    VectorField("bytes", VectorKind.DENSE, DType.UINT8, 3, Metric.MANHATTAN),
    VectorField("signed", VectorKind.DENSE, DType.INT8, 2, Metric.SQUARED_EUCLID),
    VectorField("sparse", VectorKind.SPARSE, DType.FLOAT32, None, Metric.DOT),
    VectorField("tokens", VectorKind.MULTI, DType.FLOAT16, 2, Metric.COSINE),
)
SCHEMA = CollectionSchema(
    name=COLLECTION,
    vectors=VECTORS,
    id_kinds=frozenset(IdKind),
    has_document=True,
    features=(Feature("index", "city: keyword"),),
    mark={"migration": "m-1", "deep": [1, {"x": None}]},
    missing_vectors=2,
    dialect="made by hand",
    notes=("one of everything",),
)
NAN, INF, TINY = float("nan"), float("inf"), 1e-45

# (id, kind, document, payload, vectors); a vector that is not named is missing.
Record = tuple[str, IdKind, str | None, Any, dict[str, Any]]
FIRST: list[Record] = [
    ("12", IdKind.UINT64, "plain text", {"city": "Berlin", "n": 1, "f": 0.1, "flag": True}, {
        "": [1.0, -0.0, TINY, 0.1], "half": [0.5, -2.0, 65504.0], "wide": [0.1, 1e300], "bytes": [0, 128, 255],
        "signed": [-128, 127], "sparse": ([3, 7], [0.25, -1.0]), "tokens": [[1.0, 2.0], [3.0, 4.0]],
    }),
    ("12", IdKind.STRING, None, {}, {}),
    ("-5", IdKind.INT64, "", {"none": None, "empty": [], "big": 2**70, "small": 4.95e-7}, {
        "": [NAN, INF, -INF, 0.0], "sparse": ([], []), "tokens": [],
    }),
    ("c0ffee00-0000-4000-8000-000000000001", IdKind.UUID, "ünïcode \U0001f6a2 \0 end", {
        "nan": NAN, "inf": [INF, -INF], "bytes": b"\0\xff", "lone": "\ud800", "\ud800": 1,
        "fake": {"$vecferry": ["float", "nan"]}, "deep": {"a": [{"b": [1, "two", 3.0]}]},
    }, {"": [0.0, 0.0, 0.0, 0.0], "half": [NAN, 0.0, -0.0], "tokens": [[0.0, -0.0]]}),
    ("", IdKind.STRING, "the id is empty", {"-0.0": -0.0, "": "empty key"}, {"": [1.0, 2.0, 3.0, 4.0]}),
]  # fmt: skip
SECOND: list[Record] = [
    ("a/../b", IdKind.STRING, "hostile", {"k": "v"}, {"": [5.0, 6.0, 7.0, 8.0], "bytes": [1, 2, 3]}),
    ("18446744073709551615", IdKind.UINT64, "largest", {"max": 2**64 - 1, "min": -(2**63)}, {"wide": [TINY, 5e-324]}),
]


def batch_of(records: list[Record]) -> pa.RecordBatch:
    """Records as a batch."""
    return columns.make(
        [record[0] for record in records],
        [record[1] for record in records],
        vectors={field.name: column_of(field, [record[4].get(field.name) for record in records]) for field in VECTORS},
        documents=[record[2] for record in records],
        payloads=canonical.encode_many(record[3] for record in records),
    )


def column_of(field: VectorField, values: list[Any]) -> pa.Array:
    """One vector's column from Python values; None for a record that lacks it."""
    number = np.dtype(field.dtype.value)
    present = np.array([value is not None for value in values], dtype=bool)
    found = [value for value in values if value is not None]
    if field.kind is VectorKind.DENSE:
        matrix = np.zeros((len(values), field.dimension or 0), number)
        matrix[present] = np.array(found, number).reshape(len(found), field.dimension or 0)
        return columns.dense_array(matrix, present)
    if field.kind is VectorKind.SPARSE:
        offsets = _offsets([len(value[0]) if value else 0 for value in values])
        indices = np.array([index for value in found for index in value[0]], np.uint32)
        numbers = np.array([item for value in found for item in value[1]], number)
        return columns.sparse_array(columns.Sparse(indices, numbers, offsets, present))
    offsets = _offsets([len(value) if value else 0 for value in values])
    rows = np.array([row for value in found for row in value], number).reshape(-1, field.dimension or 0)
    return columns.multi_array(columns.Multi(rows, offsets, present))


def _offsets(lengths: list[int]) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.cumsum([0, *lengths]).astype(np.int32)


def expected(batches: list[pa.RecordBatch]) -> list[dict[str, Any]]:
    """What a reader has to find, as JSON: texts as they are, hashes in hex, vectors as Arrow prints them."""
    result = []
    for batch in batches:
        ids = sealing.hash_ids(batch)
        for row, record in enumerate(sealing.seal(batch).to_pylist()):
            record["id_hash"] = bytes(ids[row]).hex()
            record["source_hash"] = record["source_hash"].hex()
            result.append({name: repr(value) if name.startswith("vector") else value for name, value in record.items()})
    return result


def main(folder: Path) -> None:
    """Write the archive and what must be read from it."""
    archive = Archive.create(folder / "archive-v1", COLLECTION, {"version": 1, "slices": 3})
    types = columns.arrow_schema(VECTORS)
    batches = [batch_of(FIRST), batch_of(SECOND)]
    parts = [archive.write_part(number, types, [batch]) for number, batch in enumerate(batches)]
    parts.append(archive.write_part(2, types, []))
    sealed = sealing.seal(batches[0])
    hashes = columns.stored_hashes(sealed)
    found = np.array([True, True, False, True, True])
    targets = columns.ids_batch(columns.record_ids(sealed))
    rows = HashRows(sealed, targets, hashes, hashes[::-1].copy(), found)
    archive.commit(Changes(schema=SCHEMA, mapping=[{"feature": "metric", "outcome": "exact"}], fingerprint="f-1"))
    archive.commit(Changes(parts=tuple(parts), hashes=(archive.write_hashes(0, [rows]),), complete=True))
    text = json.dumps(expected(batches), indent=1) + "\n"
    (folder / "archive-v1.expected.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
