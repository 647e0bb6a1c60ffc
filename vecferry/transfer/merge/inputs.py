"""What a merge needs to know beside the two stores' records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry.archive.hash_rows import TARGET_HASH, TARGET_ID, TARGET_ID_KIND
from vecferry.ledger import Direction
from vecferry.mapping import Mapping
from vecferry.transfer.conflicts import Decide, undecided
from vecferry.transfer.merge.comparing import Comparator, Hashes, Mask, exactly

__all__ = ["CannotHold", "Intent", "Known", "Rules", "holds_all"]

CannotHold = Callable[[pa.RecordBatch], pa.StringArray]
"""Why the old store cannot hold each of these records, in words; null where it can."""


def holds_all(records: pa.RecordBatch) -> pa.StringArray:
    """A store that can hold everything."""
    return pa.nulls(records.num_rows, pa.string())


@dataclass(frozen=True, slots=True)
class Known:
    """The last known pair of `n` records: what was proven on both sides when they last were made equal.

    `ids` are distinct, in the source's terms; `new_ids` are the recorded links, null where there is none. `old_hashes`
    and `new_hashes` are `(n, 48) uint8`, each of what its own store gave, and count where `in_old` and `in_new`,
    `(n,) bool`, are true: neither is for a tombstone. `records` are the last known records of some of these ids in
    the source's terms: with them a part that its store rounded is still known to be untouched.
    """

    ids: pa.RecordBatch
    new_ids: pa.RecordBatch
    old_hashes: Hashes
    in_old: Mask
    new_hashes: Hashes
    in_new: Mask
    records: pa.RecordBatch | None = None

    @classmethod
    def of(cls, rows: pa.RecordBatch, records: pa.RecordBatch | None = None) -> Self:
        """From columns named as in a `hashes/` file; `source_hash` and `target_hash` are null where nothing was."""
        links = pa.RecordBatch.from_arrays(
            [rows.column(TARGET_ID), rows.column(TARGET_ID_KIND)], names=[columns.ID, columns.ID_KIND]
        )
        old, in_old = _hashes(rows.column(columns.HASHES))
        new, in_new = _hashes(rows.column(TARGET_HASH))
        kept = None if records is None else columns.drop_hashes(records)
        return cls(columns.ids_of(rows), links, old, in_old, new, in_new, kept)


def _hashes(column: pa.FixedSizeBinaryArray) -> tuple[Hashes, Mask]:
    there: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    found = columns.fixed_binary(column)
    if len(found) and not there.all():
        found = np.where(there[:, np.newaxis], found, np.uint8(0))
    return found, there


@dataclass(frozen=True, slots=True)
class Intent:
    """A delta that is recorded: some, all or none of it may have been written; if it is `closed`, all of it was, and
    some of it may arrive once more.

    `records` are its `k` upserts and `gone` the ids of its tombstones, in the source's terms. `forward` leads from the
    old store to the new one, `reverse` back; there `stale`, `(k, 3) bool`, is what `Carried.stale` said: parts that
    are late writes of the old store, not ours (None: no part is).
    """

    direction: Direction
    records: pa.RecordBatch
    gone: pa.RecordBatch
    stale: Mask | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """How one migration merges.

    `same_old` and `same_new` compare where bits differ: `(what was given to the store, what it has)`. A store that is
    `noisy` does not return the same bits twice: there a part counts as changed only if they say so. `cannot_hold`
    judges whole records for the old store; `decide` settles conflicts (by default all stay open).
    """

    mapping: Mapping
    same_old: Comparator = exactly
    same_new: Comparator = exactly
    noisy_old: bool = False
    noisy_new: bool = False
    cannot_hold: CannotHold = holds_all
    decide: Decide = undecided
