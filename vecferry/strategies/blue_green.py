"""Blue-green: the new store is filled and proven beside the old one, then one transaction switches the route."""

from __future__ import annotations

from vecferry.ledger import State
from vecferry.model import Verdict
from vecferry.strategies import steps
from vecferry.strategies.counting import begin
from vecferry.strategies.cutover import cut_over
from vecferry.strategies.forward_again import require_unwritten_since
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.show import show_inventory, show_plan, show_verdict
from vecferry.strategies.sync import catch_up
from vecferry.strategies.work import open_work

__all__ = ["blue_green", "copy_and_validate", "fill_and_prove"]

MAX_FIRST_PASSES = 5
_SMALL = 0.001
"""A pass that carried over no more than this share of the records is small: the last ones are for the cutover."""


def blue_green(run: Runner, ref: Ref) -> Verdict:
    """Inventory, plan, backup, copy, catch up, validate, approve, cut over. Ends SWITCHED (a trial: READY)."""
    verdict = copy_and_validate(run, ref)
    if open_work(ref).switches:
        cut_over(run, ref)
    return verdict


def copy_and_validate(run: Runner, ref: Ref) -> Verdict:
    """Everything up to the verdict. Ends READY, or raises DataDiffer."""
    with working(ref) as held:
        run.run(steps.inventory, held)
        show_inventory(run, held)
        run.run(steps.decide, held)
        show_plan(run, held)
        run.run(steps.back_up, held)
        return fill_and_prove(run, held)


def fill_and_prove(run: Runner, held: Ref) -> Verdict:
    """From the plan to the verdict. Ends READY, or raises DataDiffer."""
    run.run(steps.prepare, held)
    numbers, workers = open_work(held).slice_numbers(), open_work(held).config.workers
    begin(held, "export", "load")
    run.map(steps.copy_slice, held, numbers, workers)
    run.run(steps.finish_load, held)
    catch_up_before_verdict(run, held)
    run.run(steps.begin_validation, held)
    begin(held, "validate")
    run.map(steps.validate_slice, held, numbers, workers)
    require_unwritten_since(run, held)
    verdict = run.run(steps.conclude, held)
    show_verdict(run, held, verdict)
    steps.require_same(str(open_work(held).config.target.public()), verdict)
    return verdict


def catch_up_before_verdict(run: Runner, held: Ref) -> None:
    """Passes until what they carry over is small. Files that are as they were when they were planned need none."""
    work = open_work(held)
    if work.migration.state is not State.CATCHING_UP or not work.switches or run.run(steps.is_as_planned, held):
        return
    for _ in range(MAX_FIRST_PASSES):
        if catch_up(run, held).carried <= work.plan.rows * _SMALL:
            return
