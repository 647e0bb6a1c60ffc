"""Rollback of blue-green: the route returns to the old store; the new one is left as it is."""

from __future__ import annotations

from vecferry.ledger import State
from vecferry.strategies import steps
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.work import open_work
from vecferry.transfer.scan import Changes

__all__ = ["rollback"]


def rollback(run: Runner, ref: Ref, *, leave_new_writes: bool = False) -> Changes:
    """Preflight, look for writes in the new store, switch back, check. Returns what stays behind in the new store.

    A rollback that a crash cut after its one transaction is finished by the next one.
    """
    changes = Changes()
    with working(ref) as held:
        if open_work(held).migration.state is not State.ROLLED_BACK:
            run.run(steps.preflight_rollback, held)
            changes = run.run(steps.check_target, held)
            run.run(steps.require_no_new_writes, held, changes, leave=leave_new_writes)
            run.run(steps.switch_back, held, changes)
        run.run(steps.check_route, held)
    return changes
