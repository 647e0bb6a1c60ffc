"""A look at a whole store after the switch or at the end: does it hold anything that the archive does not know?"""

from __future__ import annotations

from pathlib import Path

from vecferry import failpoints, plain
from vecferry.contract import Source
from vecferry.errors import NotFound, Stopped
from vecferry.ledger import Direction
from vecferry.model import CollectionSchema
from vecferry.strategies.catching_up import known_state, same_of, way_of
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import passes, progress, retry
from vecferry.transfer.delta_making import Same
from vecferry.transfer.differences import Side, compare
from vecferry.transfer.late import Late, Looking, find_late

__all__ = ["LATE_FACT", "begin_look", "end_look", "look_at_slice"]

LATE_FACT = {Side.SOURCE: "late in the old store", Side.TARGET: "late in the new store"}
"""Under which name the ledger keeps what the last look at a store found."""

_LOOK = "look"


def begin_look(ref: Ref, side: Side) -> list[int]:
    """Open one store anew, see that it is the collection that is known, and cut slices; their numbers.

    No slices where files are bit for bit what they were when they were copied. Raises NotFound where it is gone.
    """
    work = open_work(ref)
    work.release()
    store, config = _store(work, side), work.config
    if _is_untouched(work, store, side):
        work.ledger.set_fact(ref.migration, _LOOK, {"side": side.value, "untouched": True}, ref.token)
        return []
    spool = passes.begin_spool(store, _folder(work), config.slice_rows, config.workers, config.retry_budget_s)
    described = retry.call(config.retry_budget_s, store.describe)
    planned, known = _known_collection(work, side)
    passes.require_same_collection(store.url, planned, described, known, spool.view.identity)
    work.ledger.set_fact(ref.migration, _LOOK, {"side": side.value, "untouched": False}, ref.token)
    progress.begin(ref.migration, _LOOK, spool.view.rows)
    failpoints.reached("look.begun")
    return [part.number for part in spool.view.slices]


def look_at_slice(ref: Ref, number: int) -> int:
    """Read one slice and lay its ids and hashes aside. Returns its rows."""
    work = open_work(ref)
    side, _ = _begun(work)
    spool = passes.open_spool(_folder(work))
    return passes.spool_slice(_store(work, side), number, spool, work.limits(_LOOK)).rows


def end_look(ref: Ref) -> Late:
    """Compare all that was read with what is known; what differs is read again by id and listed beside the reports.

    Raises Stopped where the store was written while it was read: then nothing can be said of it.
    """
    work = open_work(ref)
    side, untouched = _begun(work)
    late = Late(work.plan.rows) if untouched else _compared(work, side)
    work.ledger.set_fact(ref.migration, LATE_FACT[side], plain.to_plain(late), ref.token)
    work.release()
    failpoints.reached("look.ended")
    return late


def _compared(work: Work, side: Side) -> Late:
    store, config = _store(work, side), work.config
    spool = passes.open_spool(_folder(work))
    counted = passes.require_unmoved(store, spool.view, config.retry_budget_s)
    found = compare(spool, known_state(work), counted, config.sync.memory_mb, side)
    if not found.complete:
        raise Stopped(
            f"{store.url} was written while it was read: {found.rows:,} records came, of {found.distinct:,} ids, and "
            f"it counts {found.counted:,}",
            advice="find out who writes it, then run the same command again",
        )
    listed = work.archive_folder / "reports" / f"{work.ref.migration}.late-in-{side}.csv"
    looking = Looking(work.archive, side, config.sync.absence_wait_s, _noise(work, store, side))
    late = find_late(store, spool, looking, found.rows, listed, work.limits(_LOOK))
    passes.remove(_folder(work))
    return late


def _noise(work: Work, store: Source, side: Side) -> Same | None:
    if side is Side.TARGET or store.capabilities().returns_same_bits:
        return None
    return same_of(way_of(work, Direction.REVERSE))


def _begun(work: Work) -> tuple[Side, bool]:
    found = work.fact(_LOOK)
    if found is None:
        raise NotFound(f"no look at a store of migration {work.ref.migration} was begun")
    return Side(found["side"]), bool(found["untouched"])


def _store(work: Work, side: Side) -> Source:
    return work.source() if side is Side.SOURCE else work.reader()


def _folder(work: Work) -> Path:
    return Path(work.archive.place) / ".passes" / _LOOK


def _is_untouched(work: Work, store: Source, side: Side) -> bool:
    """Whether a source made of files is as it was when it was planned, and nothing has been carried since."""
    if side is Side.TARGET or not work.plan.fingerprint or work.archive.manifest().deltas:
        return False
    return retry.call(work.config.retry_budget_s, store.fingerprint) == work.plan.fingerprint


def _known_collection(work: Work, side: Side) -> tuple[CollectionSchema, str]:
    """The schema that was planned, and the identity that was recorded (`""`: none was)."""
    if side is Side.SOURCE:
        return work.plan.schema, str((work.fact("identity") or {}).get("source", ""))
    return work.target_schema, str((work.fact("target identity") or {}).get("target", ""))
