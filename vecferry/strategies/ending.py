"""The end of a migration: `complete` ends the way back, `decommission` drops the old store, `discard` the new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vecferry.errors import DataDiffer, NotFound, UnsafeRoute
from vecferry.ledger import State
from vecferry.strategies import steps
from vecferry.strategies.lease import working, working_before_sync
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.ending import DECOMMISSIONED_FACT, GONE, was_proven
from vecferry.strategies.sync import finish_following
from vecferry.strategies.work import open_work
from vecferry.transfer.differences import Side
from vecferry.transfer.late import Late

__all__ = ["Ended", "complete", "decommission", "discard", "look", "look_at_old", "require_settled"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an end went. `already`: it had been reached before, and nothing was done now.

    `late` is what the last look found (None: there was none); `dropped` the URL of what was dropped (`""`: nothing).
    """

    already: bool = False
    late: Late | None = None
    dropped: str = ""


def complete(run: Runner, ref: Ref, accepted: str = "") -> Ended:
    """End the way back: look at everything that follows the route, and once more at the old store. Drops nothing.

    A sync that is under way is cut off, and what it had recorded is carried to its end.
    `accepted` is the digest of late records that may stay behind, or `gone` where the old store is not there any more.
    """
    work = open_work(ref)
    if work.migration.state is State.COMPLETED:
        return Ended(already=True)
    with working_before_sync(ref, f"target:{work.config.source.public()}") as held:
        finish_following(run, held)
        run.run(steps.require_completable, held)
        late = look_at_old(held.migration, accepted, lambda: look(run, held, Side.SOURCE))
        if late is not None:
            again = f"vecferry complete {held.migration}"
            require_settled(str(open_work(held).config.source.public()), late, accepted, again)
        run.run(steps.end_way_back, held, late, accepted)
    return Ended(late=late)


def look_at_old(migration: str, accepted: str, looked: Callable[[], Late]) -> Late | None:
    """What a last look finds; None where the old store is gone and a person said so. Else that is UnsafeRoute."""
    try:
        return looked()
    except NotFound as error:
        if accepted == GONE:
            return None
        raise UnsafeRoute(
            f"the old store cannot be looked at once more: {error}",
            advice=f"if it was meant to go: vecferry complete {migration} --accept-late {GONE}",
        ) from error


def decommission(run: Runner, ref: Ref, collection: str, accepted: str = "") -> Ended:
    """Drop the old collection of a completed migration, once a last look found in it only what the archive holds."""
    work = open_work(ref)
    if work.fact(DECOMMISSIONED_FACT) is not None:
        return Ended(already=True)
    old = work.config.source.public()
    with working(ref, f"target:{old}") as held:
        run.run(steps.require_droppable, held, collection)
        if not run.run(steps.old_is_there, held):
            return Ended(dropped=run.run(steps.drop_old, held, GONE))
        late = look(run, held, Side.SOURCE)
        again = f"vecferry decommission {held.migration} --collection {collection}"
        require_settled(str(old), late, accepted, again)
        return Ended(late=late, dropped=run.run(steps.drop_old, held, late.digest))


def discard(run: Runner, ref: Ref, accepted: str = "") -> Ended:
    """Drop the target that an aborted or rolled back migration left behind.

    One that was proven is looked at once more: what it holds beyond the archive may be somebody's only copy.
    """
    with working(ref) as held:
        is_there = run.run(steps.require_discardable, held)
        run.run(steps.wait_out_writes, held)
        proven = is_there and was_proven(held)
        late = look(run, held, Side.TARGET) if proven else None
        if late is not None:
            again = f"vecferry discard {held.migration}"
            require_settled(str(open_work(held).config.target.public()), late, accepted, again)
        return Ended(late=late, dropped=run.run(steps.drop_new, held))


def look(run: Runner, held: Ref, side: Side) -> Late:
    """Read a whole store again and tell what of it nobody knows."""
    numbers = run.run(steps.begin_look, held, side)
    run.map(steps.look_at_slice, held, numbers, open_work(held).config.workers)
    return run.run(steps.end_look, held)


def require_settled(url: str, late: Late, accepted: str, again: str) -> None:
    """Raise DataDiffer for late records, unless a person agreed to exactly these. `again`: the command to repeat."""
    if not late or accepted == late.digest:
        return
    other = f" (not those of {accepted})" if accepted else ""
    raise DataDiffer(
        f"{url} holds what the archive does not know{other}: {late}; all are in {late.listed}",
        advice=f"bring them to where they belong, or let them go: {again} --accept-late {late.digest}",
    )
