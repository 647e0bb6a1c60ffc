"""When records that moved across the stores are seen to, for one workspace: each under the lease of that work."""

from __future__ import annotations

from vecferry.errors import DataDiffer
from vecferry.ledger import Direction, State
from vecferry.strategies.catching_up import SERVED_BY_OLD, open_deltas
from vecferry.strategies.lease import working, working_before_sync
from vecferry.strategies.moved import finish_open
from vecferry.strategies.moved_back import carry_to_old, is_left_open, is_to_carry
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work

_SERVED = SERVED_BY_OLD | {State.SWITCHED}

__all__ = ["bring_back", "settle_brought", "settle_followed"]


def bring_back(child: Ref) -> int:
    """Carry to the old store what moved into this workspace in the new one, where that is wanted; how many records."""
    work = open_work(child)
    if not (is_to_carry(work) or is_left_open(work)):
        return 0
    with working(child, f"target:{work.config.source.public()}") as held:
        return carry_to_old(held)


def settle_brought(child: Ref) -> None:
    """Before it is filled further or switched: what a dead run left, and what nobody serves now that all others went
    back. Anything else it serves itself once it has switched."""
    work = open_work(child)
    if is_left_open(work) or (is_to_carry(work) and work.scope is not None and not work.scope.served):
        bring_back(child)


def settle_followed(child: Ref, *, goes_back: bool = False) -> None:
    """Finish what a run of another workspace recorded for this one, which the new store serves, and did not write.

    Where it `goes_back` nothing of that may stand in its way: what cannot be written is left in the old store, which
    is to serve it. Raises DataDiffer otherwise.
    """
    work = open_work(child)
    if work.scope is None or work.migration.state not in _SERVED or not open_deltas(work, Direction.FORWARD):
        return
    with working_before_sync(child) as held:
        goal = open_work(held)
        try:
            if goal.migration.state is State.SWITCHED:
                finish_open(goal, goal.limits("delta"))
        except DataDiffer:
            if not goes_back:
                raise
        for delta in open_deltas(goal, Direction.FORWARD) if goes_back else ():
            goal.ledger.forget_delta(goal.ref.migration, delta.number, goal.ref.token)
