"""Phase 6: look at the source once more, switch the route in one transaction, read it back."""

from __future__ import annotations

from collections.abc import Sequence

from vecferry import failpoints
from vecferry.errors import DataDiffer, UnsafeRoute
from vecferry.ledger import Answer, State
from vecferry.routing import aliases
from vecferry.strategies.runner import ApprovalForm, Ref
from vecferry.strategies.work import open_work
from vecferry.transfer import retry
from vecferry.transfer.scan import Changes, changes_in

__all__ = ["approval_form", "approved", "check_route", "recheck_slice", "record_answer", "require_unchanged", "switch"]


def approval_form(ref: Ref) -> ApprovalForm:
    """What a person reads before saying yes."""
    work = open_work(ref)
    config, route = work.config, work.route()
    alias = aliases.plan(config.source.address(), config.target.address(), work.migration.route)
    lines = [
        f"route {work.migration.route!r}: {route.url} -> {config.target.public()} (epoch {route.epoch + 1})",
        f"{work.plan.rows:,} records were compared one by one: verdict same",
        alias.says,
        "nothing is written to the old store; it stays as it is",
        f"way back: vecferry rollback {ref.migration} (the new store stays too)",
    ]
    number = work.ledger.ask_approval(ref.migration, {"lines": lines})
    return ApprovalForm(ref.migration, number, f"Switch {work.migration.route!r} to the new store?", tuple(lines))


def approved(ref: Ref, form: ApprovalForm) -> bool:
    """Whether this very form has its yes already: `vecferry approve` gave it while nobody was running."""
    found = open_work(ref).ledger.approval(ref.migration, form.number)
    return found is not None and found.answer is Answer.APPROVED


def record_answer(ref: Ref, form: ApprovalForm, *, yes: bool, by: str) -> int:
    """Write a person's answer (or the configuration's) into the ledger; the number of the approval."""
    work = open_work(ref)
    answer = Answer.APPROVED if yes else Answer.REJECTED
    work.ledger.answer_approval(ref.migration, form.number, answer, by=by)
    return form.number


def recheck_slice(ref: Ref, number: int) -> Changes:
    """Read one slice of the source again and compare ids and hashes with the archive."""
    work = open_work(ref)
    source = retry.call(work.config.retry_budget_s, work.source)  # closed since the verdict
    return changes_in(source, work.slice(number).slice, work.archive, work.limits("recheck"))


def require_unchanged(ref: Ref, changes: Sequence[Changes]) -> None:
    """Raise DataDiffer, naming records, when the source changed since it was copied. The state stays READY."""
    found = sum(changes, Changes())
    work = open_work(ref)
    work.release()
    if not found:
        return
    raise DataDiffer(
        f"the source changed since it was copied: {found}",
        advice="nothing was switched. Pause the application's writes, abort this migration and start a new one",
    )


def switch(ref: Ref, approval: int) -> None:
    """Move the route in one transaction: READY -> SWITCHED. A second call finds it moved and does nothing."""
    work = open_work(ref)
    if work.migration.state is State.SWITCHED:
        return
    route = work.route()
    alias = aliases.plan(work.config.source.address(), work.config.target.address(), work.migration.route)
    failpoints.reached("cutover.before_switch")
    work.ledger.switch_route(
        ref.migration,
        work.migration.route,
        expected_epoch=route.epoch,
        to_url=str(work.config.target.public()),
        state_from=State.READY,
        state_to=State.SWITCHED,
        token=ref.token,
        event="switched",
        alias=alias.intent(work.config.target.public()),
        approval=approval,
    )
    failpoints.reached("cutover.switched")


def check_route(ref: Ref) -> None:
    """Let the alias follow the route and read both back. Raises UnsafeRoute when they do not say the same."""
    work = open_work(ref)
    route = work.route()
    serving = work.config.target if work.migration.state is State.SWITCHED else work.config.source
    if route.url != str(serving.public()):
        raise UnsafeRoute(
            f"route {work.migration.route!r} serves {route.url}, expected was {serving.public()}",
            advice=f"look at vecferry status {ref.migration} --detailed before anything else",
        )
    plan = aliases.plan(work.config.source.address(), work.config.target.address(), work.migration.route)
    if plan.follows:
        plan.point_at(serving.address())
        failpoints.reached("cutover.alias_set")
        plan.require(serving.address())
        work.ledger.confirm_alias(work.migration.route, route.epoch)
