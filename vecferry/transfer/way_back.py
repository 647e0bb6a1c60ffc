"""The way back of what the new store received: candidates read again by id, merged, and made a delta in reverse.

The merge itself is `vecferry.transfer.merge`; here is what brings it its batches, and what becomes of its plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import hashing, sealing
from vecferry.archive import Archive, DeltaRows
from vecferry.archive.delta_rows import Before
from vecferry.archive.hash_rows import TARGET_HASH, TARGET_ID, TARGET_ID_KIND
from vecferry.contract import Source
from vecferry.idtable import IdTable
from vecferry.model import IDS_ONLY, Digest, VectorField
from vecferry.transfer import retry
from vecferry.transfer.conflicts import Conflicts
from vecferry.transfer.known import ARCHIVED_HASH, KNOWN_SCHEMA, LIVE
from vecferry.transfer.limits import Limits
from vecferry.transfer.merge import Carried, Intent, Known, MergeCounts, MergePlan, Rules, merge
from vecferry.transfer.subjects import TEXTS, Group, Subjects

__all__ = ["Merged", "Merging", "Outcome", "delta_rows"]

Mask = npt.NDArray[np.bool_]
_HASH = pa.binary(columns.HASHES_BYTES)


@dataclass(slots=True)
class Outcome:
    """What merging all batches came to. `deletes` and `changes` are digests of ids, for the brakes.

    `waiting` records vanished while they were read: the next pass settles them. `aside` holds ids and reasons, `kept`
    ids and what the old side did, `losers` the rows that go to the archive. Memory: these, by record.
    """

    counts: MergeCounts = field(default_factory=MergeCounts)
    deletes: Digest = field(default_factory=Digest)
    changes: Digest = field(default_factory=Digest)
    waiting: int = 0
    conflicts: list[Conflicts] = field(default_factory=list)
    losers: list[pa.RecordBatch] = field(default_factory=list)
    kept: list[pa.RecordBatch] = field(default_factory=list)
    aside: list[pa.RecordBatch] = field(default_factory=list)
    aside_records: list[pa.RecordBatch] = field(default_factory=list)

    @property
    def written(self) -> int:
        """Records that are written to the old store, or removed from it."""
        return self.counts.new + self.counts.changed + self.counts.deleted

    def open_conflicts(self) -> Conflicts:
        """Those that nobody has decided."""
        return Conflicts.all_of(self.conflicts)

    def add(self, plan: MergePlan) -> None:
        """Take in one batch."""
        self.counts += plan.counts
        self.deletes += _digest_of(plan.deletes)
        self.changes += _digest_of(columns.ids_of(plan.upserts.records))
        self.conflicts += [plan.conflicts] if len(plan.conflicts) else []
        self.losers += [plan.losers] if plan.losers.num_rows else []
        self.kept += [plan.kept] if plan.kept.num_rows else []
        if len(plan.aside):
            self.aside.append(plan.aside.ids.append_column("reason", plan.aside.reasons))
            self.aside_records.append(plan.aside.raw.append_column("reason", plan.aside.reasons))


@dataclass(frozen=True, slots=True)
class Merged:
    """One batch: what is known of its records (`KNOWN_SCHEMA`), the plan for them, what the old store has of them."""

    known: pa.RecordBatch
    plan: MergePlan
    old: pa.RecordBatch


def _no_intents(ids: pa.RecordBatch) -> Sequence[Intent]:
    return ()


@dataclass(frozen=True, slots=True)
class Merging:
    """How records are merged: `old` in the source's terms, `new` as stored. `wait` passes between two reads that must
    both miss a record before it counts as gone. `intents`: what open deltas say of some ids."""

    old: Source
    new: Source
    archive: Archive
    rules: Rules
    wait: Callable[[], None]
    limits: Limits
    intents: Callable[[pa.RecordBatch], Sequence[Intent]] = _no_intents

    def run(self, subjects: Subjects, outcome: Outcome) -> Iterator[Merged]:
        """Merge all, batch by batch; `outcome` adds up. Memory: a few copies of a batch, and the ids of what is gone.

        Raises what `fetch` raises, BadRecord for a payload that the mapping cannot bring back at all.
        """
        rows = self.limits.batch_rows
        seen_absent = [self._absent(group, group.gone) for group in subjects.groups(rows)]
        if any(absent.any() for absent in seen_absent):
            self.wait()
        for group, absent_before in zip(subjects.groups(rows), seen_absent, strict=True):
            self.limits.check()
            merged = self._merge(group, absent_before, outcome)
            outcome.add(merged.plan)
            yield merged
            self.limits.moved(group.known.num_rows)

    def _absent(self, group: Group, asked: Mask) -> Mask:
        """`(n, 2) bool`: which of the records asked for are not in the old store, and in the new one."""
        result = np.zeros((len(asked), 2), dtype=np.bool_)
        rows = np.flatnonzero(asked)
        if len(rows):
            known = group.known.take(pa.array(rows))
            places = ((self.old, columns.ids_of(known)), (self.new, self._links(known)))
            for side, (store, ids) in enumerate(places):
                found = retry.call(self.limits.retry_budget_s, partial(store.fetch, ids, IDS_ONLY))
                result[rows, side] = IdTable([sealing.hash_ids(found)]).absent(sealing.hash_ids(ids))
        return result

    def _links(self, known: pa.RecordBatch) -> pa.RecordBatch:
        """Where each record is in the new store: as recorded, else as the mapping would place it."""
        computed = self.rules.mapping.forward(columns.ids_of(known))
        texts = pc.coalesce(known.column(TARGET_ID), computed.column(columns.ID))
        kinds = pc.coalesce(
            known.column(TARGET_ID_KIND).cast(pa.string()), computed.column(columns.ID_KIND).cast(pa.string())
        )
        schema = columns.ids_batch([]).schema
        return pa.RecordBatch.from_arrays([texts, kinds.cast(schema.field(columns.ID_KIND).type)], schema=schema)

    def _merge(self, group: Group, absent_before: Mask, outcome: Outcome) -> Merged:
        budget_s = self.limits.retry_budget_s
        links = self._links(group.known)
        places = _once(pa.concat_batches([links, group.natives]))
        old = retry.call(budget_s, partial(self.old.fetch, columns.ids_of(group.known)))
        new = self._of_these(group, links, retry.call(budget_s, partial(self.new.fetch, places)))
        sure = self._sure(group, links, old, new, absent_before)
        outcome.waiting += int((~sure).sum())
        known = group.known
        if not sure.all():
            known, links = known.filter(pa.array(sure)), links.filter(pa.array(sure))
            old, new = _only(old, known), self._of_these(Group(known, sure[sure], group.natives), links, new)
        live = known.filter(_live(known))
        records = self.archive.fetch(columns.ids_of(live))
        intents = self.intents(columns.ids_of(known))
        return Merged(known, merge(old, new, Known.of(_pairs(known), records), self.rules, intents), old)

    def _sure(
        self, group: Group, links: pa.RecordBatch, old: pa.RecordBatch, new: pa.RecordBatch, before: Mask
    ) -> Mask:
        """Records that are there, or were never there, or that two reads have missed: `(n,) bool`."""
        pairs = ((group.known, old, _live(group.known)), (links, new, group.known.column(TARGET_HASH).is_valid()))
        sure = np.ones(group.known.num_rows, dtype=np.bool_)
        for side, (ids, found, was) in enumerate(pairs):
            gone = IdTable([sealing.hash_ids(found)]).absent(sealing.hash_ids(ids))
            gone &= was.to_numpy(zero_copy_only=False)
            sure &= ~gone | before[:, side]
        return sure

    def _of_these(self, group: Group, links: pa.RecordBatch, new: pa.RecordBatch) -> pa.RecordBatch:
        """The new store's records that stand for one of these ids. One that only lies where the mapping would put an
        id, and stands for another, is that one's."""
        if not new.num_rows:
            return new
        recorded = links.filter(pa.array(group.known.column(TARGET_ID).is_valid())) if len(links) else links
        ours = ~IdTable([sealing.hash_ids(recorded)]).absent(sealing.hash_ids(new))
        names = [*columns.ids_of(new).schema.names, *(name for name in _TEXT_COLUMNS if name in new.schema.names)]
        stands_for = sealing.hash_ids(self.rules.mapping.backward(new.select(names)))
        ours |= ~IdTable([sealing.hash_ids(group.known)]).absent(stands_for)
        return new.filter(pa.array(ours))


_TEXT_COLUMNS = (columns.PAYLOAD, columns.DOCUMENT)
assert len(_TEXT_COLUMNS) == len(TEXTS)


def _once(ids: pa.RecordBatch) -> pa.RecordBatch:
    hashes = sealing.hash_ids(ids)
    return ids.take(pa.array(np.unique(IdTable([hashes]).find(hashes)))) if ids.num_rows else ids


def _only(records: pa.RecordBatch, ids: pa.RecordBatch) -> pa.RecordBatch:
    return records.filter(pa.array(~IdTable([sealing.hash_ids(ids)]).absent(sealing.hash_ids(records))))


def _live(known: pa.RecordBatch) -> pa.BooleanArray:
    return pc.fill_null(known.column(LIVE), False)


def _pairs(known: pa.RecordBatch) -> pa.RecordBatch:
    """The known rows as a merge takes them: what the source has not any more has no hash."""
    hashes = known.column(columns.HASHES)
    there = pc.if_else(_live(known), hashes, pa.scalar(None, hashes.type))
    arrays = [there if name == columns.HASHES else known.column(name) for name in KNOWN_SCHEMA.names]
    return pa.RecordBatch.from_arrays(arrays, names=list(KNOWN_SCHEMA.names))


def _digest_of(ids: pa.RecordBatch) -> Digest:
    none = np.zeros((ids.num_rows, columns.HASHES_BYTES), dtype=np.uint8)
    return hashing.digest(sealing.hash_ids(ids), none)


# What becomes of a plan


def delta_rows(merged: Merged, vectors: tuple[VectorField, ...], first: int) -> Iterator[DeltaRows]:
    """The rows of a reverse delta: what is written to the old store, what is removed, and what is settled as it is.

    `first` is the `seq` of the first row. Recording what was done alike, or won, keeps the known state true.
    """
    plan = merged.plan
    for carried in (plan.upserts, plan.same, plan.won):
        if len(carried):
            yield _upserts(carried, merged.known, vectors, first)
            first += len(carried)
    for ids in (plan.deletes, plan.same_deletes):
        if ids.num_rows:
            known = _rows_of(merged.known, ids)
            links = [known.column(TARGET_ID), known.column(TARGET_ID_KIND)]
            yield DeltaRows.tombstones(first, vectors, columns.ids_of(ids), _before(known, *links))
            first += ids.num_rows
    if plan.won_gone.ids.num_rows:
        gone = plan.won_gone
        before = _linked(_rows_of(merged.known, gone.ids), gone.new_ids)
        found = columns.fixed_binary_array(gone.new_hashes)
        yield DeltaRows.tombstones(first, vectors, columns.ids_of(gone.ids), before, found)


def _linked(known: pa.RecordBatch, new_ids: pa.RecordBatch) -> Before:
    """What was known, with the place in the new store; the recorded one where the record is not there now."""
    kinds = new_ids.column(columns.ID_KIND).cast(pa.string())
    known_kinds = known.column(TARGET_ID_KIND)
    texts = pc.coalesce(new_ids.column(columns.ID), known.column(TARGET_ID))
    return _before(known, texts, pc.coalesce(kinds, known_kinds.cast(pa.string())).cast(known_kinds.type))


def _upserts(carried: Carried, known: pa.RecordBatch, vectors: tuple[VectorField, ...], first: int) -> DeltaRows:
    names = columns.arrow_schema(vectors).names
    records = carried.records.select([name for name in names if name in carried.records.schema.names])
    rows = _rows_of(known, records)
    found = columns.fixed_binary_array(carried.new_hashes)
    there = carried.new_ids.column(columns.ID).is_valid()
    found = pc.if_else(there, found, pa.scalar(None, _HASH))
    return DeltaRows.upserts(first, records, _linked(rows, carried.new_ids), found, _kept(carried, rows))


def _kept(carried: Carried, known: pa.RecordBatch) -> pa.Array:
    """What to record for parts in which the old store is ahead, also where nothing was known; elsewhere nothing."""
    rows = carried.stale.any(axis=1)
    if not rows.any():
        return pa.nulls(len(carried), _HASH)
    was = pc.fill_null(_pairs(known).column(columns.HASHES), bytes(columns.HASHES_BYTES))
    kept = columns.fixed_binary_array(carried.kept_of(columns.fixed_binary(was)))
    return pc.if_else(pa.array(rows), kept, pa.scalar(None, _HASH))


def _rows_of(known: pa.RecordBatch, ids: pa.RecordBatch) -> pa.RecordBatch:
    """What is known of these ids, in their order; nulls where nothing is."""
    at = IdTable([sealing.hash_ids(known)]).find(sealing.hash_ids(ids))
    return known.take(pa.array(at, mask=at < 0))


def _before(known: pa.RecordBatch, texts: pa.Array, kinds: pa.Array) -> Before:
    archived = known.column(ARCHIVED_HASH)
    there = pc.if_else(_live(known), archived, pa.scalar(None, archived.type))
    return Before(texts, kinds, there, known.column(TARGET_HASH))
