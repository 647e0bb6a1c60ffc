"""The merge of one batch: both sides judged, the cases told apart, and whole records put together for the old store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical, sealing
from vecferry.archive.conflicts import gone_rows, loser_rows
from vecferry.model import Part
from vecferry.transfer.conflicts import PART_NAMES, WHOLE, Choice
from vecferry.transfer.merge.cases import Cases, judge_cases
from vecferry.transfer.merge.comparing import Hashes, Mask, Rows
from vecferry.transfer.merge.inputs import Intent, Known, Rules
from vecferry.transfer.merge.plan import Aside, Carried, Gone, MergeCounts, MergePlan
from vecferry.transfer.merge.returning import Returned, bring_back
from vecferry.transfer.merge.settling import Lost, Settled, settle
from vecferry.transfer.merge.sides import Sides, judge_sides

__all__ = ["merge"]

_SURPLUS = "another record of the new store stands for the same id"
_VECTORS, _PAYLOAD, _DOCUMENT = map(sealing.PART_ORDER.index, (Part.VECTORS, Part.PAYLOAD, Part.DOCUMENT))
# Ids are the same on both sides, so it does not matter where they are taken from.
_PARTS = {columns.PAYLOAD: _PAYLOAD, columns.DOCUMENT: _DOCUMENT}


def merge(
    old: pa.RecordBatch, new: pa.RecordBatch, known: Known, rules: Rules, intents: Sequence[Intent] = ()
) -> MergePlan:
    """What to write to the old store, so that it has what the new store has and keeps what only itself has.

    `old`: its records now, all parts, in the source's terms; `new`: those of the new store, raw as stored; both in any
    order, present rows only. Together the three must tell everything of each id that they name: an id of `known`
    that is in neither store is one that both deleted. Memory: a few copies of the batch. Raises ValueError for an id
    that comes twice in `old` or `known`.
    """
    old = columns.drop_hashes(old)
    returned = bring_back(new, known, rules.mapping, old.schema)
    sides = judge_sides(old, returned, known, rules, intents)
    cases = judge_cases(sides.old, sides.new, sides.same)
    settled = settle(sides, cases, old, returned, known, rules.decide)
    return _Merged(old, returned, sides, cases, settled).plan(rules)


@dataclass(frozen=True, slots=True)
class _Merged:
    old: pa.RecordBatch
    returned: Returned
    sides: Sides
    cases: Cases
    settled: Settled

    def plan(self, rules: Rules) -> MergePlan:
        """Everything by its kind."""
        done, cases = self.settled, self.cases
        rows = np.flatnonzero(self._written())
        reasons = self._refusals(rows, rules)
        held = reasons.is_null().to_numpy(zero_copy_only=False)
        upserts = self._carried(rows[held])
        left = ~(done.blocked | done.delete | self._written())
        same_rows = np.flatnonzero(cases.alike.any(axis=1) & left)
        won_rows, won_gone_rows = self._won(left)
        aside = self._aside(rows[~held], reasons.drop_null())
        kept = self._kept()
        new_rows = self.sides.at_old[rows[held]] < 0
        counts = MergeCounts.of(
            new=self._ids(rows[held][new_rows]),
            changed=self._ids(rows[held][~new_rows]),
            deleted=self._ids(np.flatnonzero(done.delete)),
            same=self._ids(np.append(same_rows, np.flatnonzero(cases.both_gone))),
            kept=kept,
            conflicts=self._ids(np.flatnonzero(done.blocked)),
            settled=self._ids(done.lost.rows),
            aside=aside.ids,
        )
        deletes, same_deletes = (self._ids(np.flatnonzero(mask)) for mask in (done.delete, cases.both_gone))
        losers = self._losers(done.lost)
        same, won = self._carried(same_rows), self._carried(won_rows)
        won_gone = Gone(self._ids(won_gone_rows), *self._in_new(won_gone_rows))
        return MergePlan(
            upserts, deletes, same, same_deletes, won, won_gone, kept, done.conflicts, losers, aside, counts
        )

    def _won(self, left: Mask) -> tuple[Rows, Rows]:
        """Records that stay as they are, because the old side won a conflict of theirs; those that it has, and others.

        What both sides did alike beside it is recorded with that.
        """
        won = np.zeros(len(left), dtype=np.bool_)
        won[self.settled.lost.rows] = True
        won &= left & ~self.cases.alike.any(axis=1)
        return np.flatnonzero(won & (self.sides.at_old >= 0)), np.flatnonzero(won & (self.sides.at_old < 0))

    def _written(self) -> Mask:
        written: Mask = self.settled.insert | self.settled.take.any(axis=1)
        return written

    def _ids(self, rows: Rows) -> pa.RecordBatch:
        return self.sides.ids.take(pa.array(rows))

    def _refusals(self, rows: Rows, rules: Rules) -> pa.StringArray:
        """Why the old store cannot hold what these ids would become."""
        if not len(rows):
            return pa.nulls(0, pa.string())
        return rules.cannot_hold(self._records(rows, self.settled.take))

    def _records(self, rows: Rows, take: Mask) -> pa.RecordBatch:
        """Whole records: the new store's parts where `take`, `(n, 3) bool`, is true, or where the old one has none."""
        old, new = self.sides.at_old[rows], self.sides.at_new[rows]
        arrays = []
        for name in self.old.schema.names:
            from_new = (old < 0) | ((new >= 0) & take[rows, _PARTS.get(name, _VECTORS)])
            both = pa.concat_arrays([self.old.column(name), self.returned.records.column(name)])
            arrays.append(both.take(pa.array(np.where(from_new, new + self.old.num_rows, old))))
        return pa.RecordBatch.from_arrays(arrays, schema=self.old.schema)

    def _carried(self, rows: Rows) -> Carried:
        take = self.settled.take
        stale = self.sides.old.changed[rows] & ~take[rows] & ~self.cases.alike[rows]
        return Carried(self._records(rows, take), *self._in_new(rows), stale)

    def _in_new(self, rows: Rows) -> tuple[pa.RecordBatch, Hashes]:
        """What the new store has of these ids: their ids there, and part hashes; nulls and zeros for nothing."""
        at = self.sides.at_new[rows]
        there = at >= 0
        raw = self.returned.raw.take(pa.array(at[there]))
        hashes = np.zeros((len(rows), columns.HASHES_BYTES), dtype=np.uint8)
        hashes[there] = sealing.hash_parts(raw)
        places = pa.array(np.cumsum(there) - 1, mask=~there)
        ids = columns.ids_of(raw)
        return pa.RecordBatch.from_arrays([one.take(places) for one in ids.columns], names=ids.schema.names), hashes

    def _kept(self) -> pa.RecordBatch:
        """Late writes of the old store: their ids, and what it did."""
        cases, free = self.cases, ~self.settled.blocked
        parts = cases.keep & free[:, np.newaxis]
        whole, gone = cases.keep_whole & free, cases.keep_gone & free
        rows = np.flatnonzero(parts.any(axis=1) | whole | gone)
        codes = np.where(gone, 0, np.where(whole, 1, 2 + parts @ np.array([1, 2, 4])))[rows]
        what = pa.array(_KEPT, pa.string()).take(pa.array(codes))
        return self._ids(rows).append_column("what", what)

    def _aside(self, rows: Rows, reasons: pa.StringArray) -> Aside:
        """What the old store cannot hold: whole records, rows without a form in its terms, and surplus ones."""
        returned = self.returned
        refused = np.flatnonzero(self.sides.refused)
        raw_rows = np.concatenate(
            [self.sides.at_new[rows], self.sides.at_new[refused], np.flatnonzero(returned.surplus)]
        )
        at = pa.array(raw_rows)
        surplus = pa.array([_SURPLUS] * int(returned.surplus.sum()), pa.string())
        why = [reasons, returned.refused.take(pa.array(self.sides.at_new[refused])), surplus]
        return Aside(columns.ids_of(returned.records.take(at)), returned.raw.take(at), pa.concat_arrays(why))

    def _losers(self, lost: Lost) -> pa.RecordBatch:
        """The other outcome of each settled record: what it would be, had the losing side won."""
        rows, whole = lost.rows, lost.losers[:, WHOLE]
        take = self.settled.take.copy()
        cells, some = lost.losers[:, :WHOLE], (lost.losers[:, :WHOLE] != Choice.OPEN) | (whole != Choice.OPEN)[:, None]
        new_lost = np.where(cells != Choice.OPEN, cells, whole[:, np.newaxis]) == Choice.NEW
        take[rows] = np.where(some, new_lost, take[rows])
        absent = [at[rows] < 0 for at in (self.sides.at_old, self.sides.at_new)]
        gone = ((whole == Choice.OLD) & absent[0]) | ((whole == Choice.NEW) & absent[1])
        texts = pa.array([_lost_text(row) for row in lost.losers.tolist()], pa.string())
        there = loser_rows(self._records(rows[~gone], take), texts.filter(pa.array(~gone)))
        vectors = columns.fields_of(self.old.schema)
        removed = gone_rows(self._ids(rows[gone]), texts.filter(pa.array(gone)), vectors)
        return pa.concat_batches([there, removed])


_KEPT = [
    "deleted",
    "written; the new store does not have it",
    *(
        "changed: " + ", ".join(name for at, name in enumerate(PART_NAMES[:WHOLE]) if code >> at & 1)
        for code in range(8)
    ),
]
"""What the old side did: parts as bits from the third on."""


def _lost_text(losers: list[int]) -> str:
    """Which side lost each part, as JSON."""
    sides = {Choice.OLD: "old", Choice.NEW: "new"}
    found = {PART_NAMES[part]: sides[Choice(side)] for part, side in enumerate(losers) if side != Choice.OPEN}
    return canonical.encode(found).decode()
