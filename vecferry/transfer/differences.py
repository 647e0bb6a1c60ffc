"""What a pass saw, compared with what is known: candidates, which whoever acts on them reads once more.

Out of core: nothing is kept in memory but a bounded part of the tables (`compare_hashes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vecferry import batch as columns
from vecferry import hashing, sealing
from vecferry.archive.hash_rows import TARGET_HASH, TARGET_ID, TARGET_ID_KIND
from vecferry.idtable import IdTable
from vecferry.model import Digest
from vecferry.transfer.compare_hashes import HashTables
from vecferry.transfer.known import ARCHIVED_HASH, KNOWN_SCHEMA, LIVE, target_ids
from vecferry.transfer.passes import Spool

__all__ = [
    "CANDIDATES_SCHEMA",
    "CHANGE",
    "Change",
    "Differences",
    "SeenBefore",
    "Side",
    "absent_in",
    "compare",
    "read_candidates",
]

CHANGE, SEEN_HASH = "change", "seen_hash"
MAX_EXAMPLES = 20
_CANDIDATES = "candidates.parquet"
_HASH = pa.binary(columns.HASHES_BYTES)
_BATCH_ROWS = 10_000

CANDIDATES_SCHEMA = pa.schema(
    [pa.field(CHANGE, pa.string()), *(one.with_nullable(True) for one in KNOWN_SCHEMA), pa.field(SEEN_HASH, _HASH)]
)
"""A record that differs: how, what is known of it (null where nothing is), and the hashes that the pass saw.

In a pass over the target the ids of a record that is new there are in `target_id`; `id` is null.
"""


class Change(StrEnum):
    """How a record differs from what is known."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


class Side(StrEnum):
    """Which store a pass looked at."""

    SOURCE = "source"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Kind:
    """The records that differ in one way: how many, some by name, and the digest of their ids."""

    count: int = 0
    examples: tuple[str, ...] = ()
    ids: str = "0-" + 32 * "0"


@dataclass(frozen=True, slots=True)
class Differences:
    """What a pass found. False: nothing differs.

    `rows` were read, of `distinct` ids; `counted` is what the store itself counted afterwards; `torn` ids were seen
    twice with other content. `digest` is that of all rows as read. `again` records are carried over whatever was seen.
    """

    rows: int
    distinct: int
    counted: int
    torn: int
    digest: str
    new: Kind
    changed: Kind
    gone: Kind
    again: int = 0

    def __bool__(self) -> bool:
        return bool(self.total)

    @property
    def total(self) -> int:
        """Records that differ, and those that are carried over all the same."""
        return self.new.count + self.changed.count + self.gone.count + self.again

    @property
    def unsettled(self) -> int:
        """Records that differ, and those by which the store's own count differs: 0 only for a quiet, whole pass."""
        return self.total + (0 if self.complete else max(1, abs(self.counted - self.distinct)))

    @property
    def complete(self) -> bool:
        """Whether each record was seen exactly once: as many ids as the store counts."""
        return self.rows == self.distinct == self.counted

    def __str__(self) -> str:
        pairs = ((Change.NEW, self.new), (Change.CHANGED, self.changed), (Change.GONE, self.gone))
        found = [
            f"{kind.count:,} {change} (for example {', '.join(kind.examples[:5])})"
            for change, kind in pairs
            if kind.count
        ]
        found += [f"{self.again:,} to be carried over once more"] if self.again else []
        return "; ".join(found) or "no changes"

    def counts(self) -> dict[str, int]:
        """The counts alone."""
        return {"new": self.new.count, "changed": self.changed.count, "gone": self.gone.count}


class Known(Protocol):
    """What a pass is compared with: every record once, in batches of `KNOWN_SCHEMA`."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All of it."""
        ...


class SeenBefore:
    """An earlier pass over the same store as what is known: the later one then tells what changed in between."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Every record that it saw."""
        for batch in self._spool.batches():
            ids = [batch.column(columns.ID), batch.column(columns.ID_KIND)]
            nowhere = [pa.nulls(batch.num_rows, KNOWN_SCHEMA.field(name).type) for name in (TARGET_ID, TARGET_ID_KIND)]
            seen, there = batch.column(columns.HASHES), pa.nulls(batch.num_rows, _HASH)
            live = pa.repeat(pa.scalar(value=True), batch.num_rows)
            yield pa.RecordBatch.from_arrays([*ids, *nowhere, seen, there, seen, live], schema=KNOWN_SCHEMA)


def compare(spool: Spool, known: Known, counted: int, memory_mb: int, side: Side = Side.SOURCE) -> Differences:
    """Compare all rows of a spool with the known state of one side; what differs goes to `read_candidates`.

    `counted`: what the store counts now. Raises Stopped where a slice is missing or memory and disk are too small.
    """
    slices = spool.slices()
    digest = sum((Digest.parse(item.digest) for item in slices), Digest())
    with HashTables(spool.folder, memory_mb) as tables:
        tables.load("spooled", _TIGHT_SPOOL, map(_tight_seen, spool.batches()))
        tables.run(_SEEN)
        distinct, torn = tables.one("SELECT count(*), count(*) FILTER (torn) FROM seen")
        tables.offer("known", _TIGHT_KNOWN, (_tight_known(batch, side) for batch in known.batches()))
        found = _write(spool.folder / _CANDIDATES, tables.batches(_DIFFERENT, _TIGHT_FOUND), side)
    rows = sum(item.rows for item in slices)
    new, changed, gone = (found[change] for change in Change)
    return Differences(rows, distinct, counted, torn, str(digest), new, changed, gone)


def read_candidates(spool: Spool, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """What the last comparison of this spool found, in batches of `CANDIDATES_SCHEMA`."""
    with pq.ParquetFile(spool.folder / _CANDIDATES, page_checksum_verification=True, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_rows):
            yield batch.cast(CANDIDATES_SCHEMA)


def absent_in(spool: Spool) -> IdTable:
    """The ids that the last comparison of this spool found gone; none where it came to no end."""
    if not (spool.folder / _CANDIDATES).exists():
        return IdTable([])
    gone = (
        rows.filter(pc.equal(rows.column(CHANGE), Change.GONE.value)) for rows in read_candidates(spool, _BATCH_ROWS)
    )
    return IdTable(map(sealing.hash_ids, gone))


# In the tables a typed id is two columns, the kind as text and the text as bytes: DuckDB need not look into either.

_KEY = [pa.field("kind", pa.string()), pa.field("key", pa.binary())]
_OTHER_KEY = [pa.field("other_kind", pa.string()), pa.field("other", pa.binary())]
_TIGHT_SPOOL = pa.schema([*_KEY, pa.field("hashes", pa.binary())])
_TIGHT_KNOWN = pa.schema(
    [
        *_KEY,
        *_OTHER_KEY,
        *(pa.field(name, pa.binary()) for name in ("source", "target", "archived", "expected")),
        pa.field("there", pa.bool_()),
        pa.field("live", pa.bool_()),
    ]
)
_TIGHT_FOUND = pa.schema([pa.field("change", pa.string()), *_TIGHT_KNOWN, pa.field("hashes", pa.binary())])

_SEEN = """
CREATE TEMP TABLE seen AS
SELECT kind, key, min(hashes) AS hashes, min(hashes) <> max(hashes) AS torn FROM spooled GROUP BY kind, key
"""

_DIFFERENT = """
SELECT
    CASE WHEN s.key IS NULL THEN 'gone' WHEN k.there THEN 'changed' ELSE 'new' END AS change,
    coalesce(s.kind, k.kind) AS kind, coalesce(s.key, k.key) AS key, k.other_kind, k.other,
    k.source, k.target, k.archived, k.expected, k.there, k.live, s.hashes
FROM seen AS s FULL OUTER JOIN known AS k ON s.key = k.key AND s.kind = k.kind
WHERE CASE
    WHEN s.key IS NULL THEN k.there
    WHEN k.there THEN s.torn OR s.hashes <> k.expected
    ELSE true
END
"""


def _tight_seen(batch: pa.RecordBatch) -> pa.RecordBatch:
    arrays = [*_key(batch.column(columns.ID_KIND), batch.column(columns.ID)), _bytes(batch.column(columns.HASHES))]
    return pa.RecordBatch.from_arrays(arrays, schema=_TIGHT_SPOOL)


def _tight_known(batch: pa.RecordBatch, side: Side) -> pa.RecordBatch:
    source = _key(batch.column(columns.ID_KIND), batch.column(columns.ID))
    target = _key(batch.column(TARGET_ID_KIND), batch.column(TARGET_ID))
    hashes = [_bytes(batch.column(name)) for name in (columns.HASHES, TARGET_HASH, ARCHIVED_HASH)]
    live = batch.column(LIVE)
    if side is Side.SOURCE:
        arrays = [*source, *target, *hashes, hashes[0], live, live]
    else:
        arrays = [*target, *source, *hashes, hashes[1], batch.column(TARGET_HASH).is_valid(), live]
    found = pa.RecordBatch.from_arrays(arrays, schema=_TIGHT_KNOWN)
    return found.filter(found.column("key").is_valid()) if side is Side.TARGET else found


def _key(kinds: pa.Array, texts: pa.Array) -> list[pa.Array]:
    return [kinds.cast(pa.string()), texts.cast(pa.binary())]


def _bytes(array: pa.Array) -> pa.Array:
    return array.cast(pa.binary())


def _write(path: Path, found: Iterator[pa.RecordBatch], side: Side) -> dict[Change, Kind]:
    """Lay the candidates aside; what there is of each kind."""
    kinds = {change: Kind() for change in Change}
    aside = path.with_name(f".{path.name}.part")
    with pq.ParquetWriter(aside, CANDIDATES_SCHEMA, write_page_checksum=True) as file:
        for tight in found:
            batch = _loose(tight, side)
            file.write_batch(batch)
            for change in Change:
                rows = batch.filter(pc.equal(batch.column(CHANGE), change.value))
                kinds[change] = _widened(kinds[change], target_ids(rows) if side is Side.TARGET else rows)
    aside.replace(path)
    return kinds


def _loose(batch: pa.RecordBatch, side: Side) -> pa.RecordBatch:
    """A row of the tables in the terms of `CANDIDATES_SCHEMA`."""
    here, there = (batch.column("key"), batch.column("kind")), (batch.column("other"), batch.column("other_kind"))
    source, target = (here, there) if side is Side.SOURCE else (there, here)
    names = ("source", "target", "archived", "live", "hashes")
    arrays = [batch.column("change"), *source, *target, *(batch.column(name) for name in names)]
    typed = [array.cast(field.type) for array, field in zip(arrays, CANDIDATES_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(typed, schema=CANDIDATES_SCHEMA)


def _widened(kind: Kind, rows: pa.RecordBatch) -> Kind:
    if not rows.num_rows:
        return kind
    ids = columns.ids_of(rows)
    names = map(str, columns.record_ids(ids.slice(0, max(0, MAX_EXAMPLES - len(kind.examples)))))
    digest = Digest.parse(kind.ids) + _digest_of_ids(ids)
    return Kind(kind.count + rows.num_rows, (*kind.examples, *names), str(digest))


def _digest_of_ids(ids: pa.RecordBatch) -> Digest:
    """Ids alone as a digest, without any content."""
    none = np.zeros((ids.num_rows, columns.HASHES_BYTES), dtype=np.uint8)
    return hashing.digest(sealing.hash_ids(ids), none)
