"""Sync: one catch-up pass. What changed in the source since it was read last is carried into the target, and proven."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.ledger import Direction, State
from vecferry.strategies import steps
from vecferry.strategies.catching_up import SYNCED
from vecferry.strategies.following_back import Followed, carry_what_is_open, follow_back
from vecferry.strategies.lease import syncing
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.sync_sheets import sync_sheet
from vecferry.strategies.work import Work, open_work
from vecferry.transfer.brakes import Release
from vecferry.transfer.delta_making import Made
from vecferry.transfer.differences import Differences

__all__ = ["NO_RELEASE", "Synced", "catch_up", "finish_following", "idle_reason", "sync"]

NO_RELEASE = Release()


@dataclass(frozen=True, slots=True)
class Synced:
    """What one sync did. `skipped` says why there was nothing to do (`""`: there was).

    `finished` deltas had been left open by an earlier run. `made` is None where the pass found nothing. `back` is what
    was done after the switch, in reverse.
    """

    skipped: str = ""
    finished: int = 0
    found: Differences | None = None
    made: Made | None = None
    back: Followed | None = None
    workspaces: int | None = None
    rows: int = 0

    @property
    def carried(self) -> int:
        """Records that were carried over, or back."""
        if self.workspaces is not None:
            return self.rows
        if self.back is not None:
            return self.back.carried
        return self.made.rows if self.made else 0


def sync(run: Runner, ref: Ref, release: Release = NO_RELEASE) -> Synced:
    """Carry over what changed, unless the migration is in a state that has nothing to carry; after the switch, back.

    Raises UnsafeRoute where a brake holds, LockHeld while another run works on the migration.
    """
    reason = idle_reason(open_work(ref))
    if not reason and open_work(ref).migration.state is State.SWITCHED:
        return Synced(back=follow_back(run, ref, release))
    if reason:
        done = Synced(reason)
    else:
        with syncing(ref) as held:
            done = catch_up(run, held, release)
    run.show(sync_sheet(ref.migration, done.skipped, done.finished, done.found, done.made))
    return done


def finish_following(run: Runner, held: Ref) -> None:
    """What a sync after the switch had recorded when it was cut off goes to the old store, and so nothing stays open.

    Nothing is done where nothing is open, or where a sync would do nothing.
    """
    work = open_work(held)
    if work.migration.state is State.SWITCHED and not idle_reason(work):
        carry_what_is_open(run, held)


def catch_up(run: Runner, held: Ref, release: Release = NO_RELEASE) -> Synced:
    """Finish what is open, then one pass and its delta, under the lease of `held`."""
    finished = run.run(steps.settle_deltas, held)
    found = look(run, held, release)
    if not found:
        return Synced("", finished, found)
    made = run.run(steps.write_delta, held)
    run.run(steps.load_delta, held)
    run.run(steps.prove_delta, held)
    return Synced("", finished, found, made)


def look(run: Runner, held: Ref, release: Release = NO_RELEASE) -> Differences:
    """One pass over the source; what differs from what is known."""
    numbers = run.run(steps.begin_pass, held)
    work = open_work(held)
    workers = min(work.config.workers, work.source().capabilities().parallel_reads)
    run.map(steps.spool_slice, held, numbers, workers)
    return run.run(steps.find_changes, held, release)


def idle_reason(work: Work) -> str:
    """Why a sync has nothing to do now; `""` where it has."""
    state = work.migration.state
    if not work.switches:
        return "this migration ends without a switch"
    if state in (State.PLANNED, State.COPYING) or (state is State.CATCHING_UP and not work.fact("loaded")):
        return f"it is {state}: the target is not filled yet"
    if state is State.SWITCHED and work.scope is None:
        open_pauses = [one for one in work.ledger.pauses(work.migration.id) if one.released_at is None]
        return "its switch is not over: writes were paused and never released" if open_pauses else ""
    if state not in SYNCED:
        return f"it is {state}: nothing is carried {Direction.FORWARD} any more"
    return ""
