"""The way back, written: a recorded reverse delta goes into the old store, or a copy of its files, and is read back.

Only the run that recorded a delta loads it, right after the merge that made it, and only over what that merge saw. What
a dead run left is not loaded again: it tells the next merge what is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints, hashing, sealing
from vecferry.address import Address
from vecferry.archive import DeltaRows
from vecferry.contract import Reader, Source
from vecferry.errors import DataDiffer, StoreRefused
from vecferry.ledger import Delta, Direction, State
from vecferry.model import Metric, Part
from vecferry.strategies.catching_up import SERVED_BY_OLD, commit_deltas, open_deltas, require_direction, same_of
from vecferry.strategies.returning import (
    WAY_BACK_FACT,
    copy_address,
    is_of_files,
    left_deltas,
    mark_left,
    old_address,
    old_writer,
    own_deltas,
    return_way,
    seen_path,
)
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import fence, handles, progress, retry
from vecferry.transfer.copying import COPIED_BY, copied_schema, copy_files
from vecferry.transfer.decoded import MARK_VERSION
from vecferry.transfer.deltas import load_delta, read_back_delta
from vecferry.transfer.guarded import GuardedTarget
from vecferry.transfer.intents import Seen, hashes_among
from vecferry.transfer.originals import in_original_terms

__all__ = ["Untouched", "copy_old", "fence_return", "let_calls_end", "prove_return", "settle_return"]

_PHASE = "merge"
_FENCED = "way back fenced"
_UNDER_WAY = "way back under way"


def fence_return(ref: Ref) -> None:
    """Wait until no write of a dead run can take effect any more, and let the archive list what was closed.

    Before both stores are read, so that a merge sees all that was written. A second time in a run it does not wait.
    """
    work = open_work(ref)
    commit_deltas(work)
    if left_deltas(work) and work.fact(_FENCED) != {"token": ref.token}:
        let_calls_end(work)
        work.ledger.set_fact(ref.migration, _FENCED, {"token": ref.token}, ref.token)


def copy_old(ref: Ref) -> str:
    """Where the old store is made of files and something is to be written: copy them beside themselves, and prove it.

    Returns the URL of the copy, `""` where none is needed. A second time finds it there.
    """
    work = open_work(ref)
    if not is_of_files(work) or not open_deltas(work, Direction.REVERSE):
        return ""
    known = work.fact(WAY_BACK_FACT)
    if known is not None:
        return str(known["url"])
    address = copy_address(work)
    old, new = handles.source(work.config.source.address()), handles.target(address)
    described = old.describe()
    mark = {"vecferry": MARK_VERSION, **(described.mark or {}), COPIED_BY: ref.migration, "copy_of": old.url}
    schema = copied_schema(described, _metrics(work))
    progress.begin(ref.migration, _PHASE, work.plan.rows)
    fingerprint = copy_files(old, new, partial(_opened, address), schema, mark, work.limits(_PHASE))
    failpoints.reached("return.copied")
    work.ledger.set_fact(ref.migration, WAY_BACK_FACT, {"url": str(address), "fingerprint": fingerprint}, ref.token)
    return str(address)


def _opened(address: Address) -> Source:
    handles.release(address)
    return handles.target(address, Reader.PUBLIC)


def _metrics(work: Work) -> dict[str, Metric]:
    """The metric of each vector of the source: as its plan has it, or as the new store uses it."""
    moved = {source.name: target.metric for source, target, _ in work.plan.mapping.vectors.moved()}
    found = {one.name: one.metric or moved.get(one.name) for one in work.plan.schema.vectors}
    return {name: metric for name, metric in found.items() if metric is not None}


def settle_return(ref: Ref) -> int:
    """Load what this run recorded, and read it back; the deltas that were closed.

    Where the old store was written since the merge, the delta is left to the next one. Raises DataDiffer where what
    was written does not come back, UnsafeRoute where the pause under which it must be written is over.
    """
    work = open_work(ref)
    closed = 0
    for delta in own_deltas(work):
        require_direction(work, Direction.REVERSE)
        if delta.loaded_at is None and not _load(work, delta):
            continue
        prove_return(work, delta)
        closed += 1
    commit_deltas(work)
    handles.release(old_address(work))
    return closed


def _load(work: Work, delta: Delta) -> bool:
    """Write one delta; False where the old store is not as the merge saw it: then the rest is not written."""
    ref, again = work.ref, work.fact(_UNDER_WAY) == {"delta": delta.number, "token": work.ref.token}
    work.ledger.set_fact(ref.migration, _UNDER_WAY, {"delta": delta.number, "token": ref.token}, ref.token)
    way = return_way(work)  # before the writer: some engines are not read and written by one process at once
    writer = GuardedTarget(old_writer(work), _pause_check(work))
    before = None if is_of_files(work) else Untouched(work, Seen.load(seen_path(work, delta.number)), writer)
    try:
        done = load_delta(work.archive, delta.number, way, writer, work.limits("delta"), before)
    except DataDiffer:
        if before is None or not before.names:
            raise
        let_calls_end(work)
        mark_left(work, [delta.number])
        return False
    except StoreRefused:
        if writer.calls <= 1:  # nothing was written: no open delta shall stand in the way of another end
            work.ledger.forget_delta(ref.migration, delta.number, ref.token)
        raise
    if (done.unknown_fate or again) and not is_of_files(work):
        let_calls_end(work)
    work.ledger.record_delta_loaded(ref.migration, delta.number, ref.token)
    failpoints.reached("return.loaded")
    return True


def _pause_check(work: Work) -> Callable[[], object]:
    """What must hold before each call: under a pause that, and where the old store serves, as long as a call may take.

    While the new store serves without a pause, nobody writes to the old one but late ones.
    """
    if work.migration.state is State.SWITCHED:
        return lambda: None
    pause, serves = work.pause(), work.migration.state in SERVED_BY_OLD
    needs_s = work.config.sync.driver_timeout_s if serves and _is_remote(work) else 0.0
    return partial(work.require_pause, 0 if pause is None else pause.token, needs_s)


def _is_remote(work: Work) -> bool:
    return bool(work.config.source.public().host)


def let_calls_end(work: Work) -> None:
    """Wait until no call that was made before can take effect any more; an engine in this process has none."""
    if _is_remote(work):
        fence.wait(work.config.sync.driver_timeout_s, work.check)


@dataclass(slots=True)
class Untouched:
    """Looks at what is about to be overwritten: what the merge saw, or what is written already, and nothing else."""

    work: Work
    seen: Seen
    writer: Source
    names: tuple[str, ...] = ()

    def __call__(self, rows: DeltaRows) -> None:
        """Raise DataDiffer for a record that somebody else wrote since."""
        store, ids = in_original_terms(self.writer), rows.ids()
        found = retry.call(self.work.config.retry_budget_s, partial(store.fetch, ids))
        now, seen = hashes_among(ids, found), self.seen.of(ids)
        wanted = np.where(rows.gone()[:, np.newaxis], np.uint8(0), columns.stored_hashes(rows.batch))
        exact = store.capabilities().returns_same_bits
        compared = np.repeat([exact or part is not Part.VECTORS for part in sealing.PART_ORDER], hashing.HASH_BYTES)
        strange = (now != seen)[:, compared].any(axis=1) & (now != wanted)[:, compared].any(axis=1)
        if strange.any():
            self.names = tuple(map(str, columns.record_ids(ids.filter(pa.array(strange)))))
            raise DataDiffer(f"{self.writer.url} was written while it was merged: {', '.join(self.names[:5])}")


def prove_return(work: Work, delta: Delta) -> None:
    """Read one loaded delta back by another reader, and close it. Raises DataDiffer, naming records."""
    handles.release(old_address(work))
    way = return_way(work)
    reader = old_writer(work, Reader.PUBLIC)
    as_known = in_original_terms(reader) if way.encoding is not None else None
    limits = work.limits("delta")
    hashes = read_back_delta(work.archive, delta.number, way, reader, same_of(way), limits, as_known)
    failpoints.reached("return.read_back")
    work.ledger.close_delta(work.ref.migration, delta.number, hashes, work.ref.token)
    seen_path(work, delta.number).unlink(missing_ok=True)
