"""What a pass costs: a million ids compared with the known state, within a limit of memory.

    python -m bench.passes [RECORDS] [MEMORY_MB]

The process is measured as a whole, so the peak holds Python, Arrow and DuckDB. Nothing is read from a store: the
archive and what the pass laid aside are made first, by another process.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive, Changes, HashRows
from vecferry.contract import Source
from vecferry.model import CollectionSchema, DType, IdKind, Metric, Slice, VectorField, VectorKind
from vecferry.transfer.differences import compare, read_candidates
from vecferry.transfer.known import KnownState
from vecferry.transfer.limits import Limits
from vecferry.transfer.pace import Pace
from vecferry.transfer.passes import begin_spool, open_spool, spool_slice

FIELD = VectorField("", VectorKind.DENSE, DType.FLOAT32, 4, Metric.DOT)
SCHEMA = CollectionSchema("docs", (FIELD,), frozenset({IdKind.STRING}))
ROWS = 10_000
CHANGED = 1000
"""One in so many records differs."""


def records(first: int, *, later: bool = False) -> pa.RecordBatch:
    """Records of a slice, some of them changed later on."""
    numbers = np.arange(first, first + ROWS)
    vectors = np.repeat(numbers[:, np.newaxis], 4, axis=1).astype(np.float32)
    if later:
        vectors[::CHANGED] += 0.5
    return columns.make(
        [f"document-{number:012}" for number in numbers.tolist()],
        IdKind.STRING,
        vectors={"": columns.dense_array(vectors)},
        documents=pa.nulls(ROWS, pa.string()),
        payloads=["{}"] * ROWS,
    )


class Later(Source):
    """The collection as the pass sees it."""

    url = "bench"

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def capabilities(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    def describe(self) -> CollectionSchema:
        return SCHEMA

    def count(self) -> int:
        return self._rows

    def slices(self, n: int) -> list[Slice]:
        return [Slice(number, {}) for number in range(self._rows // ROWS)]

    def read(self, part, columns=frozenset(), batch_rows=1000) -> Iterator[pa.RecordBatch]:  # type: ignore[no-untyped-def]
        yield records(part.number * ROWS, later=True)

    def fetch(self, ids, columns=frozenset()):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def prepare(folder: Path, rows: int) -> None:
    """The archive, and the spool of a pass."""
    archive = Archive.create(folder / "archive", "docs", {"version": 1})
    parts, hashes = [], []
    for number in range(rows // ROWS):
        parts.append(archive.write_part(number, columns.arrow_schema(SCHEMA.vectors), [records(number * ROWS)]))
        sealed = sealing.seal(records(number * ROWS))
        found = columns.stored_hashes(sealed)
        hashes.append(archive.write_hashes(number, [HashRows(sealed, sealed, found, found, np.ones(ROWS, dtype=bool))]))
    archive.commit(Changes(SCHEMA, parts=tuple(parts), hashes=tuple(hashes), complete=True))
    source = Later(rows)
    limits = Limits(ROWS, 0.0, Pace(None), lambda: None, lambda moved: None)
    spool = begin_spool(source, folder / "pass", ROWS, 1, 0.0)
    started = time.perf_counter()
    for part in spool.view.slices:
        spool_slice(source, part.number, spool, limits)
    took_s = time.perf_counter() - started
    print(f"laid aside {rows:,} ids and hashes, made on the way: {took_s:.1f} s, {rows / took_s:,.0f} rows/s")


def main() -> None:
    """Prepare in a process of its own, then compare here."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    memory_mb = int(sys.argv[2]) if len(sys.argv) > 2 else 512
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = multiprocessing.get_context("spawn").Process(target=prepare, args=(folder, rows))
        process.start()
        process.join()
        started = time.perf_counter()
        archive, spool = Archive.open(folder / "archive", "docs"), open_spool(folder / "pass")
        found = compare(spool, KnownState(archive, columns.ids_of), rows, memory_mb)
        took_s = time.perf_counter() - started
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"compared {found.rows:,} with {rows:,} known: {took_s:.1f} s, {rows / took_s:,.0f} rows/s")
        print(f"peak of the process {peak_mb:,.0f} MB, DuckDB's limit {memory_mb} MB; {found}")
        print(f"candidates: {sum(batch.num_rows for batch in read_candidates(spool, ROWS)):,}")


if __name__ == "__main__":
    main()
