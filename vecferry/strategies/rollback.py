"""Rollback: what the new store received goes to the old one, then one transaction sends the route back.

Until that transaction every failure goes back to SWITCHED, and writes go on in the new store. After it the way leads
on. Writes are released last of all, and nothing is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.errors import NotFound, UnsafeRoute
from vecferry.strategies import steps
from vecferry.strategies.ending import look
from vecferry.strategies.lease import working, working_before_sync
from vecferry.strategies.merge import Carried, carry_back, until_quiet
from vecferry.strategies.merge import weigh as weigh_both
from vecferry.strategies.pausing import follow, release, released_after_failure, undone_after_failure
from vecferry.strategies.returning import Settlement
from vecferry.strategies.rollback_sheets import rollback_sheet, weighed_sheet
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.merge import Weighed
from vecferry.strategies.steps.rollback import ReturnStage
from vecferry.strategies.work import open_work
from vecferry.transfer.differences import Side
from vecferry.transfer.merge import MergeCounts

__all__ = ["UNDECIDED", "Figures", "dry_run", "merge", "rollback", "route_only"]

UNDECIDED = Settlement()


@dataclass(frozen=True, slots=True)
class Figures:
    """What a rollback would do: `found` by what becomes of each record, and for about how long writes would pause.

    `leads_to` is the store that would serve, `copies` whether it is a copy of files that is made for it.
    """

    found: Weighed
    pause_s: float
    leads_to: str
    copies: bool


def dry_run(run: Runner, ref: Ref, settlement: Settlement = UNDECIDED) -> Figures:
    """Look at both stores and say what a rollback would do. Nothing is written to any store; the old one is read."""
    with working(ref) as held:
        run.run(steps.require_switched, held)
        run.run(steps.preflight_rollback, held)
        found = weigh_both(run, held, settlement)
        figures = Figures(found, *run.run(steps.foresee_return, held, found))
    run.show(weighed_sheet(ref.migration, figures))
    return figures


def rollback(run: Runner, ref: Ref, settlement: Settlement = UNDECIDED) -> None:
    """Carry back, pause, carry back what is left, switch the route, follow, check, release, look for late records.

    What a dead run left is undone and begun anew; where the route has moved it is finished, after one more look at the
    new store where that may have been written.
    """
    work = open_work(ref)
    with working_before_sync(ref, f"target:{work.config.source.public()}") as held:
        stage = run.run(steps.find_return, held)
        if stage is ReturnStage.BEGUN:
            run.run(steps.undo_return, held)
        carried = None
        if stage in (ReturnStage.NONE, ReturnStage.BEGUN):
            carried = return_to_old(run, held, settlement)
        elif stage is ReturnStage.UNSEEN:
            carried = carry_once_more(run, held, settlement)
        elif stage is ReturnStage.FOLLOWED:
            release(run, held)  # in the ledger it is over; the application may wait for this
        elif stage is ReturnStage.UNMERGED:
            raise UnsafeRoute(
                f"the route of {ref.migration} went back already, without what the new store had received",
                advice=f"vecferry merge {ref.migration} carries that over, once the new store is there again",
            )
        finish(run, held, carried)


def route_only(run: Runner, ref: Ref, settlement: Settlement = UNDECIDED) -> None:
    """The new store is the broken one: the route, and all that follows it, goes back at once; `merge` does the rest.

    Nothing is written to the old store and nothing deleted from it. The new store is not even asked. Where a sync that
    wrote to the old store was cut off, the time is waited out in which its last call may still take effect.
    """
    with working_before_sync(ref) as held:
        stage = run.run(steps.find_return, held)
        run.run(steps.fence_return, held)
        if stage is ReturnStage.BEGUN:
            run.run(steps.undo_return, held)
        if stage in (ReturnStage.NONE, ReturnStage.BEGUN):
            run.run(steps.preflight_rollback, held)
            approval = run.run(steps.approve_return, held, settlement)
            run.run(steps.check_hooks, held)
            with released_after_failure(run, held):
                freeze(run, held)
                run.run(steps.commit_route, held, approval)
        elif stage is ReturnStage.UNMERGED and is_unreleased(held):
            with released_after_failure(run, held):
                freeze(run, held)  # the pause of a dead run may be over, and the application is told under one only
        lead_back(run, held)
        release(run, held)


def merge(run: Runner, ref: Ref, settlement: Settlement = UNDECIDED) -> None:
    """After a rollback of the route alone: what the new store received goes to the old one. Ends ROLLED_BACK.

    The old store serves meanwhile: its writes pause, so that nothing is written over that nobody read. After a way back
    that is over, what the new store has received since: writes that came late, or went astray.
    """
    work = open_work(ref)
    with working(ref, f"target:{work.config.source.public()}") as held:
        stage = run.run(steps.find_return, held)
        if stage not in (ReturnStage.UNMERGED, ReturnStage.OVER):
            raise UnsafeRoute(
                f"migration {ref.migration} is {work.migration.state}: there is nothing to merge",
                advice=f"vecferry status {ref.migration} shows what can be done now",
            )
        carried = None
        if stage is ReturnStage.UNMERGED or is_late(run, held):
            carried = merge_into_old(run, held, settlement)
        finish(run, held, carried)


def is_late(run: Runner, held: Ref) -> bool:
    """Whether the new store received anything since a way back that is over. Raises UnsafeRoute where files serve."""
    if not run.run(steps.is_return_kept, held):
        return False
    try:
        found = look(run, held, Side.TARGET)
    except NotFound:
        return False  # it was dropped since
    if found:
        run.run(steps.require_writable_old, held, found)
    return bool(found)


def merge_into_old(run: Runner, held: Ref, settlement: Settlement) -> Carried:
    """Everything up to the state ROLLED_BACK."""
    run.run(steps.preflight_rollback, held)
    approval = run.run(steps.approve_return, held, settlement)
    run.run(steps.probe_rights, held)
    run.run(steps.check_hooks, held)
    run.run(steps.fence_return, held)  # here, because it may take longer than a pause should
    with released_after_failure(run, held):
        freeze(run, held)
        carried = carry_back(run, held, settlement)
        until_quiet(run, held, settlement, carried)
        run.run(steps.commit_merge, held, approval)
    return carried


def freeze(run: Runner, held: Ref) -> None:
    """Pause the writes without a change of state, and wait for the last ones."""
    run.run(steps.freeze_route, held)
    run.run(steps.pause_writes, held, None)
    run.run(steps.wait_for_writes, held)


def is_unreleased(held: Ref) -> bool:
    """Whether nobody has released the last pause, held or over: its run died."""
    pause = open_work(held).pause()
    return pause is not None and pause.released_at is None


def lead_back(run: Runner, held: Ref) -> None:
    """Let alias, file and application follow the route, and read all of it back."""
    run.run(steps.follow_alias_back, held)
    follow(run, held)
    run.run(steps.check_return, held)


def return_to_old(run: Runner, held: Ref, settlement: Settlement) -> Carried:
    """Everything up to the one transaction. Most is carried before the pause, so that it is short."""
    run.run(steps.preflight_rollback, held)
    approval = run.run(steps.approve_return, held, settlement)
    run.run(steps.probe_rights, held)
    carried = carry_back(run, held, settlement)
    run.run(steps.check_hooks, held)
    with undone_after_failure(run, held, steps.undo_return):
        run.run(steps.freeze_return, held, approval)
        run.run(steps.pause_writes, held, None)
        run.run(steps.wait_for_writes, held)
        until_quiet(run, held, settlement, carried)
        run.run(steps.commit_return, held)
    return carried


def carry_once_more(run: Runner, held: Ref, settlement: Settlement) -> Carried:
    """The route moved back, the run died, its pause ended, and nobody can have followed: pause, and look again.

    What the new store has received since goes to the old one, or to the copy of its files, like all before it.
    """
    run.run(steps.fence_return, held)
    with released_after_failure(run, held):
        run.run(steps.pause_writes, held, None)
        run.run(steps.wait_for_writes, held)
        carried = carry_back(run, held, settlement)
        until_quiet(run, held, settlement, carried)
    return carried


def finish(run: Runner, held: Ref, carried: Carried | None) -> None:
    """After the route moved: all follow it and are read back, writes are released, the new store is looked at."""
    lead_back(run, held)
    run.run(steps.end_return, held)
    release(run, held)
    if carried is None and run.run(steps.is_return_kept, held):
        return
    late = look(run, held, Side.TARGET)
    written, last = (carried.written, carried.last) if carried else (MergeCounts(), Weighed())
    run.show(rollback_sheet(held.migration, run.run(steps.keep_return, held, written, last, late)))
