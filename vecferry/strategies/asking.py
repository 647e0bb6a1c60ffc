"""The question before a switch, and before reads move."""

from __future__ import annotations

from vecferry.errors import Stopped
from vecferry.strategies import steps
from vecferry.strategies.catching_up import AUTOMATIC
from vecferry.strategies.runner import ApprovalForm, Ref, Runner
from vecferry.strategies.work import open_work

__all__ = ["ask"]


def ask(run: Runner, ref: Ref, form: ApprovalForm | None = None) -> int:
    """The number of the approval of what comes next. Raises Stopped when the answer is no, or nobody answers.

    `form`: the question, where it is another one than that before a switch.
    """
    work = open_work(ref)
    form = form or steps.approval_form(ref)
    if work.config.approve == "auto":
        return steps.record_answer(ref, form, yes=True, by=AUTOMATIC)
    if steps.approved(ref, form):
        return form.number
    if not run.approve(form, work.config.approve_timeout_s):
        steps.record_answer(ref, form, yes=False, by="a person")
        otherwise = "abort" if not work.is_read_from else "rollback"
        what = "ends it" if not work.is_read_from else "sends the reads back"
        raise Stopped(
            f"the switch of {ref.migration} was declined; the state stays {work.migration.state}",
            advice=f"vecferry resume {ref.migration} asks again, vecferry {otherwise} {ref.migration} {what}",
        )
    return steps.record_answer(ref, form, yes=True, by="a person")
