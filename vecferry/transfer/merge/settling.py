"""Conflicts found, shown and settled: what the cases come to once somebody, or nobody, has decided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import hashing, sealing
from vecferry.idtable import IdTable
from vecferry.transfer.conflicts import CONFLICTS_SCHEMA, PART_NAMES, WHOLE, Choice, Conflicts, Decide, shown
from vecferry.transfer.merge.cases import Cases
from vecferry.transfer.merge.comparing import Hashes, Mask, Rows, gathered
from vecferry.transfer.merge.inputs import Known
from vecferry.transfer.merge.returning import Returned
from vecferry.transfer.merge.sides import Sides

__all__ = ["Lost", "Settled", "settle"]

_BOTH_CHANGED = "changed on both sides"
_OLD_GONE = "deleted in the old store, written in the new one"
_NEW_GONE = "deleted in the new store, written in the old one"
_TWINS = "two records of the new store stand for this id"


@dataclass(frozen=True, slots=True)
class Lost:
    """Versions that lost: ids (rows of the sides), and `(k, 4) int8`, the `Choice` that lost each part or the whole."""

    rows: Rows
    losers: npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Settled:
    """What is done with `n` ids. `take`, `(n, 3) bool`: parts taken from the new store; `insert`, `delete`, `(n,)
    bool`: records; `blocked`: records that nothing is done with, since a conflict of theirs is open.

    `conflicts` are the open ones, `lost` the versions that lost the others.
    """

    take: Mask
    insert: Mask
    delete: Mask
    blocked: Mask
    conflicts: Conflicts
    lost: Lost


def settle(
    sides: Sides, cases: Cases, old: pa.RecordBatch, returned: Returned, known: Known, decide: Decide
) -> Settled:
    """Find the conflicts, have them decided, and say what is done. A record with an open conflict stays as it is."""
    twins = gathered(returned.twins, sides.at_new)
    whole = cases.clash_whole | twins
    clash = cases.clash & ~twins[:, np.newaxis]
    rows, parts = np.nonzero(np.column_stack([clash, whole]))
    conflicts = _conflicts(sides, rows, parts, twins, old, returned.records, known)
    choices = decide(conflicts) if len(rows) else np.zeros(0, dtype=np.int8)
    blocked = np.zeros(len(whole), dtype=np.bool_)
    blocked[rows[choices == Choice.OPEN]] = True
    chosen = np.zeros((len(whole), WHOLE + 1), dtype=np.int8)
    chosen[rows, parts] = choices
    chosen[blocked] = Choice.OPEN
    return _settled(sides, cases, chosen, blocked, whole, conflicts.filter(blocked[rows]))


def _settled(
    sides: Sides, cases: Cases, chosen: npt.NDArray[np.int8], blocked: Mask, whole: Mask, conflicts: Conflicts
) -> Settled:
    new_wins, free = chosen[:, WHOLE] == Choice.NEW, ~(blocked | whole)
    take = cases.take & free[:, np.newaxis]
    take |= chosen[:, :WHOLE] == Choice.NEW
    take |= sides.new.changed & (new_wins & sides.old.there)[:, np.newaxis]
    insert = (cases.insert & free) | (new_wins & sides.new.changed.any(axis=1) & ~sides.old.there)
    delete = (cases.delete & free) | (new_wins & sides.new.gone & sides.old.there)
    return Settled(take, insert, delete, blocked, conflicts, _lost(chosen))


def _lost(chosen: npt.NDArray[np.int8]) -> Lost:
    rows = np.flatnonzero(chosen.any(axis=1))
    winners = chosen[rows]
    losers = np.where(winners == Choice.OLD, Choice.NEW, np.where(winners == Choice.NEW, Choice.OLD, Choice.OPEN))
    return Lost(rows, losers.astype(np.int8))


def _conflicts(
    sides: Sides, rows: Rows, parts: Rows, twins: Mask, old: pa.RecordBatch, new: pa.RecordBatch, known: Known
) -> Conflicts:
    if not len(rows):
        return Conflicts.none()
    ids = sides.ids.take(pa.array(rows))
    at_old, at_new = sides.at_old[rows], sides.at_new[rows]
    causes = np.where(sides.old.gone[rows], _OLD_GONE, np.where(sides.new.gone[rows], _NEW_GONE, _BOTH_CHANGED))
    before = columns.drop_hashes(known.records) if known.records is not None else old.slice(0, 0)
    at_before = _rows_in(before, ids)
    arrays = [
        ids.column(columns.ID),
        ids.column(columns.ID_KIND).cast(CONFLICTS_SCHEMA.field(columns.ID_KIND).type),
        pa.array([PART_NAMES[part] for part in parts.tolist()], pa.string()),
        pa.array(np.where(twins[rows], _TWINS, causes).tolist(), pa.string()),
        columns.fixed_binary_array(_part_hashes(old, at_old, parts)),
        columns.fixed_binary_array(_part_hashes(new, at_new, parts)),
        *(_shown(batch, at, parts) for batch, at in ((old, at_old), (new, at_new), (before, at_before))),
    ]
    return Conflicts(pa.RecordBatch.from_arrays(arrays, schema=CONFLICTS_SCHEMA))


def _rows_in(batch: pa.RecordBatch, ids: pa.RecordBatch) -> Rows:
    return IdTable([sealing.hash_ids(batch)]).find(sealing.hash_ids(ids))


def _part_hashes(records: pa.RecordBatch, at: Rows, parts: Rows) -> Hashes:
    """`(c, 16) uint8`: the hash of that part of each record, or of all of it; zeros where it is not there."""
    there = np.flatnonzero(at >= 0)
    result = np.zeros((len(at), hashing.HASH_BYTES), dtype=np.uint8)
    hashes = sealing.hash_parts(records.take(pa.array(at[there])))
    by_part = [sealing.of_part(hashes, part) for part in sealing.PART_ORDER]
    every = np.stack([*by_part, hashing.hash_rows(hashes, 0)], axis=1)
    result[there] = every[np.arange(len(there)), parts[there]]
    return result


def _shown(records: pa.RecordBatch, at: Rows, parts: Rows) -> pa.StringArray:
    pairs = zip(at.tolist(), parts.tolist(), strict=True)
    return pa.array([shown(records, row, part) if row >= 0 else None for row, part in pairs], pa.string())
