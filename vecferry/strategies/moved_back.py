"""Records that the application moved, in the new store, into a workspace whose readers still ask the old one.

With `moved: follow` a sync carries them there, by the three-way merge of a way back: against what the workspace that
served them knows of them; or, where no archive knows them, because the application made them in the new store, against
nothing. What is written is a reverse delta of the workspace that they came to, recorded first and read back. From then
on both stores are known to agree, and the record is as any other of that workspace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.archive import Archive, DeltaRows
from vecferry.archive.hash_rows import TARGET_HASH, TARGET_ID, TARGET_ID_KIND
from vecferry.errors import StoreRefused
from vecferry.idtable import IdTable
from vecferry.ledger import Delta, Direction, State, Workspace
from vecferry.strategies.catching_up import SYNCED, commit_deltas, known_state, open_deltas
from vecferry.strategies.moved import ASIDE, BROUGHT, DIFFERING, Found, keep_moved
from vecferry.strategies.returning import left_deltas, merging_of, old_address, old_writer, return_way, seen_path
from vecferry.strategies.runner import Ref
from vecferry.strategies.scope import SERVED_BY_NEW, whole_of
from vecferry.strategies.steps.write_back import Untouched, fence_return, let_calls_end, prove_return
from vecferry.strategies.strangers import all_ids
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles
from vecferry.transfer.conflicts import undecided
from vecferry.transfer.deltas import load_delta
from vecferry.transfer.guarded import GuardedTarget
from vecferry.transfer.intents import Seen
from vecferry.transfer.known import KNOWN_SCHEMA
from vecferry.transfer.subjects import Subjects, gather
from vecferry.transfer.way_back import Merged, Outcome, delta_rows

__all__ = ["carry_to_old", "is_left_open", "is_to_carry"]

_FROM_NEW = SERVED_BY_NEW | {State.ROLLED_BACK}
"""Workspaces whose records the application may have moved in the new store."""


def is_to_carry(work: Work) -> bool:
    """Whether a sync of this workspace looks for such records: its target is filled, and others are, or were, served
    there."""
    if work.scope is None or work.rolling.moved != "follow" or not work.fact("loaded"):
        return False
    return work.migration.state in SYNCED and bool(_siblings(work))


def is_left_open(work: Work) -> bool:
    """Whether a dead run recorded what it was to carry and did not finish: no delta forward is recorded until then."""
    return work.scope is not None and work.migration.state in SYNCED and bool(open_deltas(work, Direction.REVERSE))


def _siblings(work: Work) -> list[Workspace]:
    assert work.scope is not None, "the strategy asked whether it is to carry"
    found = work.ledger.workspaces(work.scope.parent, _FROM_NEW)
    return [one for one in found if one.number != work.scope.number]


def carry_to_old(ref: Ref) -> int:
    """Write to the old store what moved into this workspace in the new one; how many records.

    What a dead run left open is merged anew with it. Conflicts, and what the old store cannot hold, are listed and
    left as they are. Raises DataDiffer where the old store was written meanwhile: the next call merges it anew.
    """
    fence_return(ref)
    work = open_work(ref)
    maker = _Maker(work)
    delta = _recorded(work, maker, left_deltas(work))
    if delta is not None:
        _load(work, delta)
        failpoints.reached("moved.written_back")
        prove_return(work, delta)
        commit_deltas(work)
    found = maker.found()
    keep_moved(work, found, anew=(DIFFERING, ASIDE))
    handles.release(old_address(work))
    work.release()
    return found.counts[BROUGHT]


def _recorded(work: Work, maker: _Maker, left: list[Delta]) -> Delta | None:
    """Merge, and record what is to be written as a delta; None where nothing is. It replaces what was left open."""
    ledger, name, token = work.ledger, work.ref.migration, work.ref.token
    groups = list(_subjects(work))
    number = None
    if groups:
        number = ledger.reserve_delta(name, Direction.REVERSE, token)
        written = work.archive.write_delta(number, work.plan.schema.vectors, maker.rows(groups))
        Seen.save(seen_path(work, number), maker.seen)
        if written.receipt.rows:
            digests = {"added": str(written.shift.added), "removed": str(written.shift.removed)}
            counts = {**maker.outcome.counts.numbers(), "rows": written.receipt.rows, "tombstones": 0, "gone": 0}
            note = {"moved": True, "token": token}
            ledger.record_delta(name, Direction.REVERSE, number, written.receipt, counts | digests, token, note=note)
            failpoints.reached("moved.brought_recorded")
    for delta in left:
        ledger.forget_delta(name, delta.number, token)
    return next((one for one in open_deltas(work, Direction.REVERSE) if one.number == number), None)


def _subjects(work: Work) -> Iterator[tuple[Archive, Subjects]]:
    """The records in the new store that this workspace does not know there, with the archive that does.

    Those that none knows come last, with this workspace's own.
    """
    strange, mapping, budget_s = _strange(work), work.plan.mapping, work.config.retry_budget_s
    for sibling in _siblings(work) if strange.num_rows else ():
        other = open_work(Ref(work.ref.ledger, sibling.child))
        known = known_state(other).find(strange, in_target=True)
        known = known.filter(known.column(TARGET_HASH).is_valid())
        if known.num_rows:
            yield other.archive, gather([known], (), work.reader(), mapping, known_state(other), budget_s)
            placed = known.select([TARGET_ID, TARGET_ID_KIND]).rename_columns([columns.ID, columns.ID_KIND])
            strange = strange.filter(pa.array(IdTable([sealing.hash_ids(placed)]).absent(sealing.hash_ids(strange))))
    if strange.num_rows:
        natives = gather((), [_unknown(strange)], work.reader(), mapping, known_state(work), budget_s)
        yield work.archive, natives


def _strange(work: Work) -> pa.RecordBatch:
    expected, reader = IdTable(work.archive.target_id_hashes()), work.reader()
    found = [columns.ids_batch([])]
    for batch in all_ids(reader):
        ids = columns.ids_of(batch.filter(pa.array(expected.absent(sealing.hash_ids(batch)))))
        found.append(ids.cast(found[0].schema))
    return pa.concat_batches(found)


def _unknown(places: pa.RecordBatch) -> pa.RecordBatch:
    """Records of which nothing is known but where they are in the new store, with the columns of `KNOWN_SCHEMA`."""
    given = {TARGET_ID: places.column(columns.ID), TARGET_ID_KIND: places.column(columns.ID_KIND)}
    schema = pa.schema([one.with_nullable(True) for one in KNOWN_SCHEMA])
    arrays = [given.get(one.name, pa.nulls(places.num_rows, one.type)).cast(one.type) for one in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@dataclass
class _Maker:
    """Makes the rows of a delta while records are merged; `seen` is what the old store held of them."""

    work: Work
    outcome: Outcome = field(default_factory=Outcome)
    seen: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    written: list[pa.RecordBatch] = field(default_factory=list)

    def rows(self, groups: list[tuple[Archive, Subjects]]) -> Iterator[DeltaRows]:
        """What the old store is given, and what both hold already.

        Both stores are asked for the record wherever it is in the old one: the workspace that it left is its old place.
        """
        own, seq = known_state(self.work), 0
        merging = merging_of(self.work, undecided)
        for archive, subjects in groups:
            here = replace(merging, old=whole_of(merging.old), archive=archive)
            for merged in here.run(subjects, self.outcome):
                self.written.append(columns.ids_of(merged.plan.upserts.records))
                mine = Merged(own.find(merged.known), merged.plan, merged.old)
                for rows in delta_rows(mine, self.work.plan.schema.vectors, seq):
                    seq += len(rows)
                    self.seen.append(Seen.row_hashes(rows.ids(), merged.old))
                    yield rows

    def found(self) -> Found:
        """What became of them, for the list."""
        found, workspace = Found(), str(self.work.workspace)
        for ids in self.written:
            found.add(ids, workspace, BROUGHT)
        conflicts = self.outcome.open_conflicts().ids()
        first = IdTable([sealing.hash_ids(conflicts)]).find(sealing.hash_ids(conflicts))
        found.add(conflicts.take(pa.array(np.unique(first))), workspace, DIFFERING)
        for aside in self.outcome.aside:
            found.add(columns.ids_of(aside), workspace, ASIDE, aside.column("reason"))
        return found


def _load(work: Work, delta: Delta) -> None:
    """Write it over what the merge saw, and nothing else."""
    way = return_way(work)  # before the writer: some engines are not read and written by one process at once
    mine = old_writer(work)
    writer = GuardedTarget(mine, work.check)
    look = Untouched(work, Seen.load(seen_path(work, delta.number)), whole_of(mine))
    try:
        done = load_delta(work.archive, delta.number, way, writer, work.limits("delta"), look)
    except StoreRefused:
        if writer.calls <= 1:  # nothing was written: no open delta shall stand in the way of the next pass
            work.ledger.forget_delta(work.ref.migration, delta.number, work.ref.token)
        raise
    if done.unknown_fate:
        let_calls_end(work)
    work.ledger.record_delta_loaded(work.ref.migration, delta.number, work.ref.token)
