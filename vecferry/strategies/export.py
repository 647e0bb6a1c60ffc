"""Export: inventory, plan and parts; the archive is whole and verified, nothing is loaded."""

from __future__ import annotations

from vecferry.ledger import State
from vecferry.strategies import steps
from vecferry.strategies.counting import begin
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.show import show_inventory
from vecferry.strategies.work import open_work

__all__ = ["export_archive"]


def export_archive(run: Runner, ref: Ref) -> None:
    """Read every slice into its part, then read the whole archive back."""
    with working(ref) as held:
        run.run(steps.inventory, held)
        show_inventory(run, held)
        run.run(steps.decide, held)
        work = open_work(held)
        work.move(State.PLANNED, State.COPYING, event="copy started")
        begin(held, "export")
        run.map(steps.export_slice, held, work.slice_numbers(), work.config.workers)
        run.run(steps.finish_export, held)
