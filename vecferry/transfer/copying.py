"""A collection of files copied beside itself, bit for bit: what is proven may be written, the original never is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.contract import Source, Target
from vecferry.errors import DataDiffer, TargetNotEmpty
from vecferry.idtable import IdTable
from vecferry.model import CollectionSchema, JsonObject, Metric
from vecferry.transfer.limits import Limits

__all__ = ["COPIED_BY", "copied_schema", "copy_files"]

COPIED_BY = "copied_by"
"""The key of the mark that says which migration made a copy."""

Hashes = npt.NDArray[np.uint8]


def copied_schema(schema: CollectionSchema, metrics: dict[str, Metric]) -> CollectionSchema:
    """The schema for the copy: a file need not say its metric, a collection that is made must."""
    fields = tuple(replace(one, metric=one.metric or metrics.get(one.name)) for one in schema.vectors)
    return replace(schema, vectors=fields, features=(), notes=())


def copy_files(
    old: Source,
    new: Target,
    open_again: Callable[[], Source],
    schema: CollectionSchema,
    mark: JsonObject,
    limits: Limits,
) -> str:
    """Copy all records of `old` into the new collection `new`, read them back and compare; the fingerprint of `old`.

    A half-made copy of the same migration is made anew. Memory: 72 bytes a record. Raises TargetNotEmpty where
    something else is in the way, DataDiffer where the copy is not bit for bit the same, or `old` changed meanwhile.
    """
    fingerprint = old.fingerprint()
    if new.exists():
        if (new.mark() or {}).get(COPIED_BY) != mark[COPIED_BY]:
            raise TargetNotEmpty(f"{new.url} exists, and is no copy of this migration", advice="move it away")
        new.drop()
    new.create(schema, mark)
    blocks = []
    with new.bulk_load():
        for batch in _all(old, limits):
            new.write(batch)
            blocks.append((sealing.hash_ids(batch), sealing.hash_parts(batch)))
            limits.moved(batch.num_rows)
    _compare(_Written(blocks), open_again(), limits)
    if old.fingerprint() != fingerprint:
        raise DataDiffer(
            f"{old.url} was written to while it was copied", advice="find out who writes it, then run again"
        )
    return fingerprint


def _all(store: Source, limits: Limits) -> Iterator[pa.RecordBatch]:
    for part in store.slices(1):
        for batch in store.read(part, batch_rows=limits.batch_rows):
            limits.check()
            yield batch


class _Written:
    """The records that were written: ids, and the hashes of their parts; 72 bytes a record."""

    def __init__(self, blocks: Iterable[tuple[Hashes, Hashes]]) -> None:
        """`blocks` are id hashes `(n, 16)` with part hashes `(n, 48)`, both uint8."""
        pairs = list(blocks)
        self._ids = IdTable(pair[0] for pair in pairs)
        self._parts = np.concatenate([pair[1] for pair in pairs] or [np.zeros((0, columns.HASHES_BYTES), np.uint8)])
        self._seen = np.zeros(len(self._ids), dtype=np.bool_)

    def differing(self, keys: Hashes, parts: Hashes) -> npt.NDArray[np.bool_]:
        """`(n,) bool`: records read back that were not written, or not like this. The others are ticked off."""
        at = self._ids.find(keys)
        known = at >= 0
        self._seen[at[known]] = True
        return ~known | (self._parts[at] != parts).any(axis=1) if len(self._parts) else ~known

    def lost(self) -> int:
        """How many were never read back."""
        return int(np.count_nonzero(~self._seen))


def _compare(written: _Written, copy: Source, limits: Limits) -> None:
    names: list[str] = []
    for batch in _all(copy, limits):
        differing = written.differing(sealing.hash_ids(batch), sealing.hash_parts(batch))
        if differing.any():
            odd = columns.ids_of(batch).filter(pa.array(differing))
            names += map(str, columns.record_ids(odd.slice(0, 5)))
    lost = written.lost()
    if names or lost:
        raise DataDiffer(
            f"{copy.url} is not what was copied: {lost:,} records are missing; other than they were: {names[:5]}",
            advice="the old files stay as they are; restore the archive into another store and roll back by hand",
        )
