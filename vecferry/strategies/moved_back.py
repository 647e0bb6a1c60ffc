"""Records that the application moved, in the new store, into a workspace whose readers still ask the old one.

With `moved: follow` a sync carries them there, where only the new store changed them since both were known to agree. It
is the new store's version; the next pass over the old store finds it, and proves that both hold the same.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.align import align
from vecferry.archive import Archive
from vecferry.contract import Source
from vecferry.idtable import IdTable
from vecferry.ledger import Workspace
from vecferry.strategies.catching_up import SYNCED
from vecferry.strategies.moved import Found, keep_moved
from vecferry.strategies.returning import old_writer, return_way
from vecferry.strategies.runner import Ref
from vecferry.strategies.scope import whole_of
from vecferry.strategies.strangers import all_ids
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, retry
from vecferry.transfer.originals import OriginalSource

__all__ = ["carry_to_old", "is_to_carry"]

Mask = npt.NDArray[np.bool_]


def is_to_carry(work: Work) -> bool:
    """Whether a sync of this workspace looks for such records: its target is filled, and others are served there."""
    if work.scope is None or work.rolling.moved != "follow" or not work.fact("loaded"):
        return False
    return work.migration.state in SYNCED and bool(work.scope.served)


def carry_to_old(ref: Ref) -> int:
    """Write to the old store what moved into this workspace in the new one; how many records."""
    work = open_work(ref)
    assert work.scope is not None, "the strategy asked whether it is to carry"
    found, expected = Found(), IdTable(work.archive.target_id_hashes())
    for batch in list(all_ids(work.reader())):
        strange = columns.ids_of(batch.filter(pa.array(expected.absent(sealing.hash_ids(batch)))))
        for served in work.scope.served if strange.num_rows else ():
            _carry(work, served, strange, found)
    keep_moved(work, found)
    work.release()
    return found.counts["followed"]


def _carry(work: Work, served: Workspace, strange: pa.RecordBatch, found: Found) -> None:
    """Those of these ids in the new store that a served workspace is known to have had."""
    archive = open_work(Ref(work.ref.ledger, served.child)).archive
    known = strange.filter(pa.array(~IdTable(archive.target_id_hashes()).absent(sealing.hash_ids(strange))))
    if not known.num_rows:
        return
    budget_s, mapping = work.config.retry_budget_s, work.plan.mapping
    ids = columns.ids_of(mapping.backward(retry.call(budget_s, partial(whole_of(work.reader()).fetch, known))))
    records = retry.call(budget_s, partial(OriginalSource(whole_of(work.reader()), mapping, archive).fetch, ids))
    untouched, there = _compared(work, archive, records)
    found.add(columns.ids_of(records.filter(pa.array(~untouched & ~there))), str(work.workspace), "conflicts")
    moved = records.filter(pa.array(untouched & ~there))
    if moved.num_rows:
        work.check()
        way = return_way(work)
        writer = old_writer(work)
        retry.call(budget_s, partial(writer.write, moved if way.encoding is None else way.encoding.forward(moved)))
        failpoints.reached("moved.written_back")
        handles.release(work.config.source.address())
        found.add(columns.ids_of(moved), str(work.workspace), "followed")


def _compared(work: Work, archive: Archive, records: pa.RecordBatch) -> tuple[Mask, Mask]:
    """`(n,) bool` twice: whose version in the old store is the known one, or gone; and whose is this very one."""
    whole: Source = whole_of(work.source())
    now = align(records, retry.call(work.config.retry_budget_s, partial(whole.fetch, columns.ids_of(records))))
    untouched, there = ~now.found, np.zeros(records.num_rows, dtype=np.bool_)
    if now.found.any():
        hashes = sealing.hash_parts(now.actual)
        known = align(now.actual, archive.fetch(columns.ids_of(now.actual)))
        same = np.zeros(len(hashes), dtype=np.bool_)
        same[known.found] = (columns.stored_hashes(known.actual) == hashes[known.found]).all(axis=1)
        untouched[now.found] = same
        there[now.found] = (sealing.hash_parts(now.expected) == hashes).all(axis=1)
    return untouched, there
