"""What a merge comes to: what to write to the old store, what stays there, what a person must see."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.idtable import IdTable
from vecferry.transfer.conflicts import Conflicts
from vecferry.transfer.merge.comparing import Hashes, Mask, gathered
from vecferry.transfer.merge.inputs import Known

__all__ = ["MAX_EXAMPLES", "Aside", "Carried", "Gone", "MergeCounts", "MergePlan", "examples_of", "stale_parts"]

_NO_PART = np.uint8(0xFF)

MAX_EXAMPLES = 20
"""Ids kept of each kind: enough to look at, small enough for an approval form. All are counted."""


def examples_of(ids: pa.RecordBatch) -> tuple[str, ...]:
    """The first ids as text."""
    return tuple(map(str, columns.record_ids(columns.ids_of(ids.slice(0, MAX_EXAMPLES)))))


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """Records by what becomes of them; each is counted once, but for `kept`.

    `new`, `changed`, `deleted`: written to the old store. `same`: both sides did the same. `kept`: late writes of the
    old store, also those that stand beside a part that is taken over. `conflicts` are open, `settled` were decided
    (those that then are written count as `new`, `changed` or `deleted` as well). `aside`: the old store cannot hold
    them. `examples` are ids by the name of the count.
    """

    new: int = 0
    changed: int = 0
    deleted: int = 0
    same: int = 0
    kept: int = 0
    conflicts: int = 0
    settled: int = 0
    aside: int = 0
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __add__(self, other: MergeCounts) -> MergeCounts:
        numbers = {name: getattr(self, name) + getattr(other, name) for name in self.numbers()}
        names = {**self.examples, **other.examples}
        joined = {name: self.examples.get(name, ()) + other.examples.get(name, ()) for name in names}
        return MergeCounts(**numbers, examples={name: ids[:MAX_EXAMPLES] for name, ids in joined.items()})

    def numbers(self) -> dict[str, int]:
        """The counts alone."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "examples"}

    @classmethod
    def of(cls, **ids: pa.RecordBatch) -> MergeCounts:
        """From the ids of each kind."""
        examples = {name: examples_of(batch) for name, batch in ids.items() if batch.num_rows}
        return cls(**{name: batch.num_rows for name, batch in ids.items()}, examples=examples)


@dataclass(frozen=True, slots=True)
class Carried:
    """`n` whole records with the old store's columns, in the source's terms, and what is to be recorded of them.

    `new_ids` and `new_hashes`, `(n, 48) uint8`: their ids in the new store and the hashes of what it has now; a null
    id and zeros where it has nothing (and the old side won).
    `stale`, `(n, 3) bool`: parts in which the old store is ahead of the new one (a late write beside a part that was
    taken over). Once written, record `kept_hashes` for those, not what is read back: only so do they count as late
    writes of the old store from then on, and are carried when the migration goes forward again.
    """

    records: pa.RecordBatch
    new_ids: pa.RecordBatch
    new_hashes: Hashes
    stale: Mask

    def __len__(self) -> int:
        return int(self.records.num_rows)

    def kept_hashes(self, known: Known) -> Hashes:
        """`(n, 48) uint8`: what to record in place of what is read back, for the stale parts; zeros for all others.

        That is the hash that was known, or 16 bytes that no part has where there was none: zeros would mean both "read
        it back" and "there was no document".
        """
        at = IdTable([sealing.hash_ids(known.ids)]).find(sealing.hash_ids(self.records))
        return self.kept_of(gathered(known.old_hashes, at))

    def kept_of(self, before: Hashes) -> Hashes:
        """The same, from what was known of these very records, `(n, 48) uint8`, zeros where there was nothing."""
        parts = before.reshape(len(self), len(sealing.PART_ORDER), -1)
        parts = np.where(parts.any(axis=2, keepdims=True), parts, _NO_PART)
        kept: Hashes = (parts * self.stale[:, :, np.newaxis]).reshape(before.shape)
        return kept


def stale_parts(kept_hashes: Hashes) -> Mask:
    """`(n, 3) bool`: which parts `Carried.kept_hashes` are about, for the `Intent` of a delta that was recorded."""
    parts = (sealing.of_part(kept_hashes, part) for part in sealing.PART_ORDER)
    return np.stack([part.any(axis=1) for part in parts], axis=1)


@dataclass(frozen=True, slots=True)
class Aside:
    """Records of the new store that the old one cannot hold; they stay where they are, and stop nothing.

    `ids` in the source's terms, `raw` as the new store has them, `reasons` in words.
    """

    ids: pa.RecordBatch
    raw: pa.RecordBatch
    reasons: pa.StringArray

    def __len__(self) -> int:
        return int(self.ids.num_rows)


@dataclass(frozen=True, slots=True)
class Gone:
    """Records that the old store has not, and the new one has: their ids, and as in `Carried` what the new one has."""

    ids: pa.RecordBatch
    new_ids: pa.RecordBatch
    new_hashes: Hashes


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What becomes of the records of one batch. Nothing of it is written while a conflict is open, of any batch.

    `upserts` and `deletes` go to the old store. `same` and `same_deletes` are what both sides did alike, `won` and
    `won_gone` records whose conflict the old side won, by keeping or by deleting them: nothing has to be written, but
    writing and recording them with the rest keeps the known state true; if they stay unrecorded, a later change of one
    side is a conflict, and a conflict that was settled is one again. `kept` lists late writes of the old store: ids
    and `what`, in words. `losers` are versions that lost a settled conflict, with the columns of
    `vecferry.archive.conflicts`.
    """

    upserts: Carried
    deletes: pa.RecordBatch
    same: Carried
    same_deletes: pa.RecordBatch
    won: Carried
    won_gone: Gone
    kept: pa.RecordBatch
    conflicts: Conflicts
    losers: pa.RecordBatch
    aside: Aside
    counts: MergeCounts
