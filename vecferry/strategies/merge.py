"""Carrying back: what the new store received goes to the old one, and what only the old one has stays there."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.errors import DataDiffer
from vecferry.ledger import Direction, settled
from vecferry.strategies import steps
from vecferry.strategies.catching_up import open_deltas
from vecferry.strategies.pausing import MAX_LAST_PASSES
from vecferry.strategies.returning import Settlement
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.merge import Weighed
from vecferry.strategies.work import open_work
from vecferry.transfer.conflicts import Decide
from vecferry.transfer.merge import MergeCounts

__all__ = ["Carried", "carry_back", "look_at_both", "until_quiet", "weigh"]


@dataclass(slots=True)
class Carried:
    """What all passes of one way back came to: records written, and what the last pass left where it is."""

    written: MergeCounts
    last: Weighed
    decide: Decide

    def add(self, found: Weighed) -> None:
        """One more pass."""
        self.written += found.counts
        self.last = found


def weigh(run: Runner, held: Ref, settlement: Settlement) -> Weighed:
    """What a way back would do now. Writes to no store."""
    look_at_both(run, held)
    return run.run(steps.weigh_return, held, run.run(steps.decide_conflicts, held, settlement))


def look_at_both(run: Runner, held: Ref) -> None:
    """One pass over both stores."""
    numbers = run.run(steps.begin_return, held)
    run.map(steps.spool_return, held, numbers, open_work(held).config.workers)


def carry_back(run: Runner, held: Ref, settlement: Settlement, before: Carried | None = None) -> Carried:
    """One pass over both stores, and what it found to the old one; what a dead run left open is merged anew with it.

    Conflicts are decided once, by the first pass. Where the old store was written between merge and write, the rest is
    left to the next pass. Raises UnsafeRoute where a conflict is open, or a brake holds.
    """
    run.run(steps.fence_return, held)
    look_at_both(run, held)
    decide = run.run(steps.decide_conflicts, held, settlement) if before is None else before.decide
    found = run.run(steps.write_return, held, decide, settlement)
    run.run(steps.copy_old, held)
    run.run(steps.settle_return, held)
    if before is None:
        return Carried(found.counts, found, decide)
    before.add(found)
    return before


def until_quiet(run: Runner, held: Ref, settlement: Settlement, carried: Carried) -> None:
    """Under the pause: passes until one finds nothing to write and the next one sees the same. Raises DataDiffer."""
    for _ in range(MAX_LAST_PASSES):
        work = open_work(held)
        pause = work.pause()
        assert pause is not None, "the strategy paused the writes"
        work.require_pause(pause.token)
        quiet = settled(work.ledger.passes(held.migration, Direction.REVERSE), pause.paused_at)
        if quiet and not open_deltas(work, Direction.REVERSE):
            return
        carry_back(run, held, settlement, carried)
    raise DataDiffer(
        f"the stores are still being written: {MAX_LAST_PASSES} passes under the pause each found something new",
        advice=f"nothing was switched. Find out who writes without minding the pause, then vecferry rollback "
        f"{held.migration}",
    )
