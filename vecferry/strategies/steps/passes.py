"""Catching up: one pass over the source, and what it found changed carried into the target and read back.

A pass is begun anew after a crash; what it laid aside is worth nothing then. A delta, once recorded, is finished by
whichever run comes next.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from vecferry import failpoints, plain
from vecferry.archive import WrittenDelta
from vecferry.errors import UnsafeRoute
from vecferry.idtable import IdTable
from vecferry.ledger import Delta, Direction, Pass, State
from vecferry.model import JsonObject
from vecferry.strategies.catching_up import (
    commit_deltas,
    known_state,
    last_yes,
    open_deltas,
    pass_folder,
    require_direction,
    same_of,
    spool_of,
    way_of,
)
from vecferry.strategies.moved import look_for_moved
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import fence, handles, passes, progress, retry
from vecferry.transfer.brakes import Brakes, Counted, Release, applied
from vecferry.transfer.delta_making import Absence, Made, Making, make_delta
from vecferry.transfer.deltas import load_delta as load_into
from vecferry.transfer.deltas import read_back_delta, require_untouched
from vecferry.transfer.differences import Differences, absent_in, compare
from vecferry.transfer.returned import candidates, count_returned

__all__ = [
    "begin_pass",
    "find_changes",
    "is_as_planned",
    "load_delta",
    "prove_delta",
    "settle_deltas",
    "spool_slice",
    "write_delta",
]

_BRAKE = "brake"


def settle_deltas(ref: Ref) -> int:
    """Load and read back what an earlier run recorded and did not finish; how many deltas that were."""
    work = open_work(ref)
    left = len(open_deltas(work, Direction.FORWARD))
    if left:
        load_delta(ref)
        prove_delta(ref)
    else:
        commit_deltas(work)
    return left


def is_as_planned(ref: Ref) -> bool:
    """Whether a source made of files is, by its fingerprint, bit for bit what it was when it was planned."""
    work = open_work(ref)
    if not work.plan.fingerprint or work.has_deltas():
        return False
    handles.release(work.config.source.address())
    found = retry.call(work.config.retry_budget_s, work.source().fingerprint) == work.plan.fingerprint
    handles.release(work.config.source.address())
    return found


def begin_pass(ref: Ref) -> list[int]:
    """Open the source anew, see that it is the collection that was planned, and cut slices; their numbers."""
    work = open_work(ref)
    require_direction(work, Direction.FORWARD)
    handles.release(work.config.source.address())
    source = work.source()
    found = work.ledger.begin_pass(ref.migration, Direction.FORWARD, ref.token)
    folder, config = pass_folder(work, found.number), work.config
    spool = passes.begin_spool(source, folder, config.slice_rows, config.workers, config.retry_budget_s)
    known = work.once("identity", lambda: {"source": spool.view.identity})["source"]
    described = retry.call(config.retry_budget_s, source.describe)
    passes.require_same_collection(source.url, work.plan.schema, described, known, spool.view.identity)
    _forget_older(work, found.number)
    progress.begin(ref.migration, "sync", spool.view.rows)
    failpoints.reached("pass.begun")
    return [part.number for part in spool.view.slices]


def _forget_older(work: Work, number: int) -> None:
    """Remove what earlier passes laid aside, but for the last one's: absence may have to be seen twice."""
    folder = pass_folder(work, number).parent
    kept = {pass_folder(work, number).name, *(pass_folder(work, one.number).name for one in _ended(work)[-1:])}
    for path in folder.iterdir():
        if path.name not in kept:
            passes.remove(path)


def _ended(work: Work) -> list[Pass]:
    found = work.ledger.passes(work.ref.migration, Direction.FORWARD)
    return [one for one in found if one.ended_at is not None and one.whole]


def _under_way(work: Work) -> Pass:
    return work.ledger.passes(work.ref.migration, Direction.FORWARD)[-1]


def spool_slice(ref: Ref, number: int) -> int:
    """Read one slice and lay its ids and hashes aside. Returns its rows."""
    work = open_work(ref)
    spool = spool_of(work, _under_way(work))
    found = passes.spool_slice(work.source(), number, spool, work.limits("sync"))
    failpoints.reached("pass.slice_spooled")
    return found.rows


def find_changes(ref: Ref, release: Release) -> Differences:
    """Compare all that was read with what is known; the pass ends. Raises UnsafeRoute where a brake holds."""
    work = open_work(ref)
    found, config = _under_way(work), work.config
    spool = spool_of(work, found)
    counted = passes.require_unmoved(work.source(), spool.view, config.retry_budget_s)
    known = known_state(work)
    differences = replace(compare(spool, known, counted, config.sync.memory_mb), again=count_returned(known))
    allowed, refusal = _braked(work, differences, release)
    note = {
        **differences.counts(),
        "rows": differences.rows,
        "counted": counted,
        "complete": differences.complete,
        "fingerprint": spool.view.fingerprint,
        "allowed": allowed,
        "held": refusal is not None,
    }
    work.ledger.end_pass(ref.migration, found.number, differences.unsettled, differences.digest, ref.token, note=note)
    failpoints.reached("pass.ended")
    if refusal is not None:
        work.ledger.set_fact(ref.migration, _BRAKE, _shown(differences), ref.token)
        raise refusal
    return differences


def _braked(work: Work, found: Differences, release: Release) -> tuple[bool, UnsafeRoute | None]:
    """Whether a person allowed what a brake would hold, and the refusal where nobody did."""
    config = work.config.sync
    brakes = Brakes(config.max_deletes, config.max_delete_percent, config.max_changes, config.max_change_percent)
    since = [Counted(delta.counts["gone"], delta.counts["changed"]) for delta in _since_yes(work)]
    now = Counted(found.gone.count, found.changed.count)
    shown, allowance = _shown(found), release.bound_to(work.fact(_BRAKE) or {})
    rows = work.archive.manifest().current.count
    try:
        return applied(brakes, rows, since, now, shown, allowance, work.ref.migration), None
    except UnsafeRoute as error:
        return False, error


def _shown(found: Differences) -> dict[str, str]:
    return {"deletes": found.gone.ids, "changes": found.changed.ids}


def _since_yes(work: Work) -> list[Delta]:
    """Forward deltas since a person said yes last: to an approval, or to what a brake had held."""
    since, found = last_yes(work), list[Delta]()
    for delta in work.ledger.deltas(work.ref.migration, Direction.FORWARD):
        if since is not None and delta.recorded_at <= since:
            continue
        found = [] if delta.note.get("allowed") else [*found, delta]
    return found


def write_delta(ref: Ref) -> Made:
    """Read what the last pass found once more, and record what really differs as a delta: the intent of its writes."""
    work = open_work(ref)
    require_direction(work, Direction.FORWARD)
    found = _under_way(work)
    if found.ended_at is None or found.note.get("held"):
        raise UnsafeRoute("the last pass did not end, or a brake holds it", advice=f"vecferry sync {ref.migration}")
    spool, source, config = spool_of(work, found), work.source(), work.config
    number = work.ledger.reserve_delta(ref.migration, Direction.FORWARD, ref.token)
    found_again = candidates(spool, known_state(work), config.batch_rows)
    written, made = make_delta(source, found_again, work.archive, number, _making(work), work.limits("delta"))
    passes.require_unmoved(source, spool.view, config.retry_budget_s)
    failpoints.reached("delta.written")
    look_for_moved(work, spool)
    if made.rows:
        note = {"pass": found.number, "token": ref.token, "allowed": bool(found.note.get("allowed"))}
        counts = _counts(written, made)
        work.ledger.record_delta(
            ref.migration, Direction.FORWARD, number, written.receipt, counts, ref.token, note=note
        )
    handles.release(work.config.source.address())
    return made


def _counts(written: WrittenDelta, made: Made) -> JsonObject:
    digests = {"added": str(written.shift.added), "removed": str(written.shift.removed)}
    return {**plain.to_plain(made), "rows": written.receipt.rows, "tombstones": written.tombstones, **digests}


def _making(work: Work) -> Making:
    target = work.target()
    source = work.source().capabilities()
    noise = None if source.returns_same_bits else same_of(way_of(work, Direction.REVERSE))
    return Making(
        work.plan.mapping,
        work.plan.schema.vectors,
        target.url,
        target.capabilities().vectors.nonfinite,
        Absence(lambda: fence.wait(work.config.sync.absence_wait_s, work.check), _absent_before(work)),
        noise,
    )


def _absent_before(work: Work) -> IdTable | None:
    """While the new store serves reads: the ids that the pass before found gone. Else one pass is enough."""
    if work.migration.state is not State.READS_NEW:
        return None
    ended = _ended(work)
    there = len(ended) > 1 and pass_folder(work, ended[-2].number).exists()
    return absent_in(spool_of(work, ended[-2])) if there else IdTable([])


def load_delta(ref: Ref) -> int:
    """Write every recorded delta into the target; the rows. A second time changes nothing.

    Where a call failed, or an earlier run may have died in the middle of one, the driver's time-out is waited out.
    """
    work = open_work(ref)
    require_direction(work, Direction.FORWARD)
    way, target, rows = way_of(work, Direction.FORWARD), work.target(), 0
    before = None
    if work.is_read_from or (work.scope is not None and work.scope.served):
        before = partial(require_untouched, work.reader(), way, same_of(way), work.config.retry_budget_s)
    for delta in open_deltas(work, Direction.FORWARD):
        done = load_into(work.archive, delta.number, way, target, work.limits("delta"), before)
        if done.unknown_fate or delta.note.get("token") != ref.token:
            _let_calls_end(work)
        work.ledger.record_delta_loaded(ref.migration, delta.number, ref.token)
        failpoints.reached("delta.loaded")
        rows += done.written + done.removed
    return rows


def _let_calls_end(work: Work) -> None:
    """Wait until no call that was made before can take effect any more; an engine in this process has none."""
    if work.config.target.public().host:
        fence.wait(work.config.sync.driver_timeout_s, work.check)


def prove_delta(ref: Ref) -> int:
    """Read every loaded delta back by another reader, and close it; the rows. Raises DataDiffer, naming records."""
    work = open_work(ref)
    work.release()
    way, reader, rows = way_of(work, Direction.FORWARD), work.reader(), 0
    for delta in open_deltas(work, Direction.FORWARD):
        if delta.loaded_at is None:
            continue
        hashes = read_back_delta(work.archive, delta.number, way, reader, same_of(way), work.limits("delta"))
        failpoints.reached("delta.read_back")
        work.ledger.close_delta(ref.migration, delta.number, hashes, ref.token)
        failpoints.reached("delta.closed")
        rows += hashes.rows
    commit_deltas(work)
    work.release()
    return rows
