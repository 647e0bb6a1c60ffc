"""The last look before a switch, and the first after it: does the new store hold what it must?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.align import align
from vecferry.archive.hash_rows import TARGET_HASH
from vecferry.contract import Target
from vecferry.errors import DataDiffer, VecferryError
from vecferry.idtable import IdTable
from vecferry.ledger import Direction
from vecferry.strategies import telling
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.validate import CARRIED
from vecferry.strategies.strangers import listed_ids
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, retry
from vecferry.transfer.known import target_ids
from vecferry.validation.ids import compare_counts, compare_ids

__all__ = ["check_new_store", "check_serving", "pass_unread"]

_SAMPLE_ROWS = 100
_SHOWN = 5
_KNOWN = "known"


def pass_unread(ref: Ref, token: int) -> bool:
    """Count a pass over files that are, by their fingerprint, bit for bit those of the last one; whether they are.

    The last one must have been under this pause. Raises UnsafeRoute when the pause is over.
    """
    work = open_work(ref)
    pause = work.require_pause(token)
    ended = [one for one in work.ledger.passes(ref.migration, Direction.FORWARD) if one.ended_at is not None]
    last = ended[-1] if ended else None
    if last is None or last.started_at < pause.paused_at or last.digest is None or last.differences != 0:
        return False
    if not last.note.get("fingerprint"):
        return False
    handles.release(work.config.source.address())
    now = retry.call(work.config.retry_budget_s, work.source().fingerprint)
    if now != last.note["fingerprint"]:
        return False
    begun = work.ledger.begin_pass(ref.migration, Direction.FORWARD, ref.token)
    note = dict(last.note) | {"unread": True}
    work.ledger.end_pass(ref.migration, begun.number, 0, last.digest, ref.token, note=note)
    return True


def check_new_store(ref: Ref) -> None:
    """All ids of the target, and every record written since the verdict. Raises DataDiffer, naming records."""
    work = open_work(ref)
    work.release()
    reader, budget_s = work.reader(), work.config.retry_budget_s
    expected = IdTable(work.archive.target_id_hashes())
    listed = retry.call(budget_s, partial(listed_ids, work, reader, expected))
    findings = compare_counts(len(expected), listed.count)
    _, examples = compare_ids(expected, listed.ids)
    told = [f"{one.detail} ({one.record_id})" if one.record_id else one.detail for one in [*findings, *examples]]
    told += [f"{name} is not what was written" for name in islice(_changed(work, reader), _SHOWN)]
    work.release()
    if told:
        raise DataDiffer(
            f"{work.config.target.public()} is not what was proven: {'; '.join(told[:_SHOWN])}",
            advice="nothing was switched. Somebody else writes the new store: find out who, then abort this migration "
            "and start a new one",
        )
    failpoints.reached("cutover.checked")


def _changed(work: Work, reader: Target) -> Iterator[str]:
    """Records of deltas since the verdict that are not as they were read back."""
    done = int((work.fact("verdict") or {}).get(CARRIED, 0))
    overlay = work.archive.overlay()
    for entry in work.archive.manifest().deltas[done:]:
        start = 0
        for batch in work.archive.read_delta_hashes(entry.rows.number):
            last = overlay.last(entry.rows.number, start, sealing.hash_ids(batch))
            start += batch.num_rows
            there = batch.filter(pa.array(last)).filter(batch.column(TARGET_HASH).filter(pa.array(last)).is_valid())
            yield from _differing(work, reader, target_ids(there), there.column(TARGET_HASH))


def _differing(work: Work, reader: Target, ids: pa.RecordBatch, hashes: pa.Array) -> Iterator[str]:
    """The ids of records, given with the hashes that they had, that are not there so."""
    step = work.config.batch_rows
    exact = reader.capabilities().returns_same_bits
    for start in range(0, ids.num_rows, step):
        keyed = ids.slice(start, step).append_column(_KNOWN, hashes.slice(start, step))
        asked = columns.ids_of(keyed)
        found = align(keyed, retry.call(work.config.retry_budget_s, partial(reader.fetch, asked)))
        differs = ~found.found
        if exact:
            known = columns.fixed_binary(found.expected.column(_KNOWN))
            differs[found.found] = (known != sealing.hash_parts(found.actual)).any(axis=1)
        yield from map(str, columns.record_ids(asked.filter(pa.array(differs))))


def check_serving(ref: Ref) -> str:
    """After the switch: does the store that serves now answer, with what is known of it? Why not; `""`: it does.

    While writes are paused its count must be exact and a sample the same bit for bit. Once they have gone on, records
    may have changed.
    """
    work = open_work(ref)
    work.release()
    pause = work.pause()
    is_paused = pause is not None and pause.holds(telling.serving(work).at)
    try:
        problem = _wrong(work, work.reader(), is_paused=is_paused)
    except VecferryError as error:
        problem = str(error)
    work.release()
    return problem


def _wrong(work: Work, reader: Target, *, is_paused: bool) -> str:
    expected = IdTable(work.archive.target_id_hashes())
    counted = listed_ids(work, reader, expected).count
    if not is_paused:
        return "it holds no record" if len(expected) and not counted else ""
    if counted != len(expected):
        return f"it holds {counted:,} records, known are {len(expected):,}"
    missing = list(_sampled(work, reader))
    return f"records are not as they were proven: {', '.join(missing[:_SHOWN])}" if missing else ""


def _sampled(work: Work, reader: Target) -> Iterator[str]:
    """The names of records of a sample, spread over all blocks, that are not served as they are known."""
    current = work.archive.manifest()
    share = max(1, _SAMPLE_ROWS // max(1, len(current.parts) + len(current.deltas)))
    for rows in filter(len, islice(work.archive.target_rows(), _SAMPLE_ROWS)):
        chosen = np.unique(np.linspace(0, len(rows) - 1, share).astype(np.int64))
        take = np.zeros(len(rows), dtype=np.bool_)
        take[chosen] = True
        some = rows.filter(take)
        hashes = columns.fixed_binary_array(some.target_hashes())
        yield from _differing(work, reader, some.target_ids(), hashes)
