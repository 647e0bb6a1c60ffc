"""Blue-green: the new store is filled and proven beside the old one, then one transaction switches the route."""

from __future__ import annotations

from vecferry.errors import Stopped
from vecferry.ledger import State
from vecferry.model import Verdict
from vecferry.strategies import steps
from vecferry.strategies.counting import begin
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.show import show_inventory, show_plan, show_verdict
from vecferry.strategies.sync import require_caught_up
from vecferry.strategies.work import open_work

__all__ = ["blue_green", "copy_and_validate"]


def blue_green(run: Runner, ref: Ref) -> Verdict:
    """Inventory, plan, backup, copy, validate, approve, switch, check. Ends SWITCHED (a trial: READY)."""
    verdict = copy_and_validate(run, ref)
    if open_work(ref).switches:
        cut_over(run, ref)
    return verdict


def cut_over(run: Runner, ref: Ref) -> None:
    """Approve, look at the source again, switch, check. A run that died after the switch only checks."""
    if open_work(ref).migration.state is State.SWITCHED:
        with working(ref) as held:
            run.run(steps.check_route, held)
        return
    approval = ask(run, ref)
    with working(ref) as held:
        look_again(run, held)
        run.run(steps.switch, held, approval)
        run.run(steps.check_route, held)


def look_again(run: Runner, held: Ref) -> None:
    """Raise DataDiffer when the source is not as it was copied, or as the last sync carried it over."""
    if open_work(held).has_deltas():
        require_caught_up(run, held)
        return
    numbers = open_work(held).slice_numbers()
    begin(held, "recheck")
    changes = run.map(steps.recheck_slice, held, numbers, workers(held))
    run.run(steps.require_unchanged, held, changes)


def copy_and_validate(run: Runner, ref: Ref) -> Verdict:
    """Everything up to the verdict. Ends READY, or raises DataDiffer."""
    with working(ref) as held:
        run.run(steps.inventory, held)
        show_inventory(run, held)
        run.run(steps.decide, held)
        show_plan(run, held)
        run.run(steps.back_up, held)
        run.run(steps.prepare, held)
        numbers = open_work(held).slice_numbers()
        begin(held, "export", "load")
        run.map(steps.copy_slice, held, numbers, workers(held))
        run.run(steps.finish_load, held)
        begin(held, "validate")
        run.map(steps.validate_slice, held, numbers, workers(held))
        verdict = run.run(steps.conclude, held)
        show_verdict(run, held, verdict)
        steps.require_same(str(open_work(held).config.target.public()), verdict)
    return verdict


def ask(run: Runner, ref: Ref) -> int:
    """The number of the approval that allows the switch. Raises Stopped when the answer is no, or nobody answers."""
    config = open_work(ref).config
    form = steps.approval_form(ref)
    if config.approve == "auto":
        return steps.record_answer(ref, form, yes=True, by="approve: auto")
    if steps.approved(ref, form):
        return form.number
    if not run.approve(form, config.approve_timeout_s):
        steps.record_answer(ref, form, yes=False, by="a person")
        raise Stopped(
            f"the switch of {ref.migration} was declined; the state stays READY",
            advice=f"vecferry resume {ref.migration} asks again, vecferry abort {ref.migration} ends it",
        )
    return steps.record_answer(ref, form, yes=True, by="a person")


def workers(ref: Ref) -> int:
    """Slices at a time."""
    return open_work(ref).config.workers
