"""Deltas as files: what a catch-up pass found changed, and the hashes of what was read back once it was loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import hashing, sealing
from vecferry.archive import layout, reader, writer
from vecferry.archive.delta_rows import (
    BEFORE_HASH,
    DELTA_HASHES_SCHEMA,
    DeltaHashRows,
    DeltaRows,
    delta_schema,
    is_tombstone,
)
from vecferry.archive.grouping import GROUP_ROWS, row_groups
from vecferry.archive.storage import Storage
from vecferry.model import ALL_PARTS, Digest, Part, Receipt, VectorField

__all__ = [
    "Shift",
    "WrittenDelta",
    "read_delta",
    "read_delta_hash_rows",
    "read_delta_hashes",
    "read_delta_rows",
    "shift_of",
    "take_records",
    "write_delta",
    "write_delta_hashes",
]


@dataclass(frozen=True, slots=True)
class Shift:
    """What a delta does to the collection: digests of the records that it puts in, and of those that they replace."""

    added: Digest = field(default_factory=Digest)
    removed: Digest = field(default_factory=Digest)

    def __add__(self, other: Shift) -> Shift:
        return Shift(self.added + other.added, self.removed + other.removed)


@dataclass(frozen=True, slots=True)
class WrittenDelta:
    """A delta's file, how many of its rows are tombstones, and what it does to the collection's digest."""

    receipt: Receipt
    tombstones: int
    shift: Shift


def write_delta(
    storage: Storage, number: int, vectors: Sequence[VectorField], rows: Iterable[DeltaRows]
) -> WrittenDelta:
    """Write the rows of a delta. Errors as for `writer.write_part`; an id may come once."""
    schema = delta_schema(vectors)
    seen = _Seen()
    groups = row_groups(writer.conform(item.batch, schema) for item in rows)
    receipt = writer.write_file(storage, number, layout.delta_path(number), schema, map(seen.add, groups))
    return WrittenDelta(receipt, seen.tombstones, seen.shift)


class _Seen:
    """Adds up row groups on their way."""

    def __init__(self) -> None:
        self.tombstones, self.shift = 0, Shift()

    def add(self, group: pa.RecordBatch) -> pa.RecordBatch:
        self.tombstones += int(is_tombstone(group).sum())
        self.shift += shift_of(group)
        return group


def shift_of(batch: pa.RecordBatch) -> Shift:
    """What some rows of a delta do to the collection."""
    ids = sealing.hash_ids(batch)
    before = batch.column(BEFORE_HASH)
    known: npt.NDArray[np.bool_] = before.is_valid().to_numpy(zero_copy_only=False)
    replaced = columns.fixed_binary(before.drop_null())
    there = ~is_tombstone(batch)
    added = hashing.digest(ids[there], columns.stored_hashes(batch)[there])
    return Shift(added, hashing.digest(ids[known], replaced))


def write_delta_hashes(storage: Storage, number: int, rows: Iterable[DeltaHashRows]) -> Receipt:
    """Write what was read back of a delta. Errors as for `writer.write_part`."""
    groups = row_groups(writer.conform(item.batch, DELTA_HASHES_SCHEMA) for item in rows)
    return writer.write_file(storage, number, layout.delta_hashes_path(number), DELTA_HASHES_SCHEMA, groups)


def read_delta(storage: Storage, number: int, batch_rows: int) -> Iterator[DeltaRows]:
    """The rows of a delta in the order of `seq`, each upsert held against its hash. Raises ArchiveDamaged."""
    path = layout.delta_path(number)
    for batch in reader.whole(storage, path, read_delta_rows(storage, path, batch_rows)):
        rows = DeltaRows(batch)
        reader.refuse_changed(rows.filter(~rows.gone()).records(), storage.place(path))
        yield rows


def take_records(
    storage: Storage, number: int, rows: Sequence[int], parts: frozenset[Part] = ALL_PARTS
) -> Iterator[pa.RecordBatch]:
    """The sealed records of some rows of a delta, by ascending row number; those that are gone left out."""
    wanted, start = np.asarray(rows, dtype=np.int64), 0
    for found in read_delta(storage, number, GROUP_ROWS):
        here = np.zeros(len(found), dtype=np.bool_)
        here[wanted[(wanted >= start) & (wanted < start + len(found))] - start] = True
        start += len(found)
        kept = found.filter(here & ~found.gone()).records()
        if kept.num_rows:
            names = columns.arrow_schema(columns.fields_of(kept.schema), parts, sealed=True).names
            yield kept.select(names)


def read_delta_hashes(storage: Storage, number: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of `DELTA_HASHES_SCHEMA`, which have to add up. Raises ArchiveDamaged."""
    path = layout.delta_hashes_path(number)
    return reader.whole(storage, path, read_delta_hash_rows(storage, path, batch_rows))


def read_delta_rows(storage: Storage, path: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of the delta at `path`, not held against any hash. Raises ArchiveDamaged."""
    with reader.damage(storage.place(path)), reader.opened(storage, path) as file:
        found = file.schema_arrow.remove_metadata()
        try:
            schema = delta_schema(columns.fields_of(found))
        except (AttributeError, KeyError, ValueError):
            schema = None
        if schema is None or not found.equals(schema):
            raise pa.ArrowInvalid("its columns are not those of a delta")
        for batch in file.iter_batches(batch_rows):
            yield reader.as_schema(batch, schema)


def read_delta_hash_rows(storage: Storage, path: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of `DELTA_HASHES_SCHEMA` from the file at `path`, not added up. Raises ArchiveDamaged."""
    with reader.damage(storage.place(path)), reader.opened(storage, path) as file:
        for batch in file.iter_batches(batch_rows):
            yield reader.as_schema(batch, DELTA_HASHES_SCHEMA)
