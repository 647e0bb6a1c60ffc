"""Forward again after a rollback, without a full copy: the first copy stays, and passes bring it up to date.

The new store is read whole before anything of it is believed, and once more before the new verdict.
"""

from __future__ import annotations

from vecferry.ledger import FORWARD_FACT
from vecferry.strategies import steps
from vecferry.strategies.ending import look
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.work import open_work
from vecferry.transfer.differences import Side

__all__ = ["go_forward_again", "require_unwritten_since"]


def go_forward_again(run: Runner, ref: Ref) -> None:
    """From ROLLED_BACK to CATCHING_UP, where a run goes on. Writes to no store.

    Raises UnsafeRoute where the rollback is not over or something is gone, DataDiffer for records in the new store that
    nobody knows.
    """
    with working(ref) as held:
        run.run(steps.require_returned, held)
        run.run(steps.take_forward_again, held, look(run, held, Side.TARGET))


def require_unwritten_since(run: Runner, held: Ref) -> None:
    """Before the verdict: the copy that was proven once is as it was, but for what passes carried over.

    Raises DataDiffer.
    """
    if open_work(held).fact(FORWARD_FACT) is not None:
        run.run(steps.require_known_alone, held, look(run, held, Side.TARGET))
