"""Records of a workspace in the new store that its migration did not write: the application did, by way of another one.

While the new store serves other workspaces the application writes it, and may give a record to a workspace that is
served by the old store yet. Such records are listed, never deleted and never replaced; they are no sign of a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.csv as csv

from vecferry import batch as columns
from vecferry import sealing
from vecferry.align import align
from vecferry.contract import Target
from vecferry.errors import DataDiffer
from vecferry.idtable import IdTable
from vecferry.model import IDS_ONLY, Slice
from vecferry.strategies.catching_up import same_of
from vecferry.strategies.work import Work
from vecferry.transfer import retry
from vecferry.transfer.ways import Forward

__all__ = ["STRANGERS_FACT", "Listed", "all_ids", "listed_ids", "require_own"]

STRANGERS_FACT = "strangers in the new store"
"""`{"count": ..., "listed": FILE, "examples": [...]}`: what the last look found of them."""

_SHOWN = 5
_LIST_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Listed:
    """The ids that a target lists of a migration's own records, and the exact count of those."""

    count: int
    ids: Iterator[pa.RecordBatch]


def all_ids(reader: Target) -> Iterator[pa.RecordBatch]:
    """The ids that a target lists."""
    parts: list[Slice] = reader.slices(1)
    for part in parts:
        yield from reader.read(part, IDS_ONLY, _LIST_ROWS)


def listed_ids(work: Work, reader: Target, expected: IdTable) -> Listed:
    """What a target lists and counts, less the strangers where there may be any; those are kept in a list."""
    counted = retry.call(work.config.retry_budget_s, reader.count)
    if work.scope is None or not work.scope.served:
        return Listed(counted, all_ids(reader))
    found = retry.call(work.config.retry_budget_s, partial(_strangers, reader, expected))
    _keep(work, found)
    known = IdTable(map(sealing.hash_ids, found))
    return Listed(counted - len(known), (_without(batch, known) for batch in all_ids(reader)))


def require_own(work: Work, originals: pa.RecordBatch) -> None:
    """Raise DataDiffer where the new store has other versions of these records: the application wrote them."""
    mapping, target = work.plan.mapping, work.target()
    expected = mapping.expected(originals)
    there = retry.call(work.config.retry_budget_s, partial(target.fetch, columns.ids_of(expected)))
    if not there.num_rows:
        return
    pairs = align(expected, there)
    other = ~same_of(Forward(mapping))(pairs.expected, pairs.actual).all(axis=1)
    if other.any():
        names = [str(name) for name in columns.record_ids(columns.ids_of(pairs.actual.filter(pa.array(other))))]
        raise DataDiffer(
            f"{target.url} holds {len(names):,} records of this workspace in another version: "
            f"{', '.join(names[:_SHOWN])}",
            advice="the application wrote them there before its workspace has moved; see which version is right, and "
            "delete the other",
        )


def _strangers(reader: Target, expected: IdTable) -> list[pa.RecordBatch]:
    masked = ((batch, expected.absent(sealing.hash_ids(batch))) for batch in all_ids(reader))
    return [columns.ids_of(batch.filter(pa.array(mask))) for batch, mask in masked if mask.any()]


def _without(batch: pa.RecordBatch, some: IdTable) -> pa.RecordBatch:
    return batch.filter(pa.array(some.absent(sealing.hash_ids(batch)))) if len(some) else batch


def _keep(work: Work, found: list[pa.RecordBatch]) -> None:
    """List them beside the reports, and let the ledger know of the last look alone."""
    path = work.archive_folder / "reports" / f"{work.ref.migration}.strangers.csv"
    path.unlink(missing_ok=True)
    names = [str(name) for batch in found for name in columns.record_ids(batch.slice(0, _SHOWN))]
    count = sum(batch.num_rows for batch in found)
    if found:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = (columns.ID_KIND, columns.ID)
        rows = [[batch.column(name).cast(pa.string()) for name in kept] for batch in found]
        csv.write_csv(
            pa.Table.from_batches([pa.RecordBatch.from_arrays(arrays, names=list(kept)) for arrays in rows]), path
        )
    known = work.fact(STRANGERS_FACT)
    if found or known is not None:
        told = {"count": count, "listed": str(path) if found else None, "examples": names[:_SHOWN]}
        work.ledger.set_fact(work.ref.migration, STRANGERS_FACT, told, work.ref.token or None)
