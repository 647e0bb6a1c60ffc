"""The question before a switch: what a person is shown, and what is kept of the answer."""

from __future__ import annotations

from datetime import datetime

from vecferry.ledger import Answer, Direction, Pass
from vecferry.routing import aliases
from vecferry.routing.hook_plan import switch_plan
from vecferry.strategies.runner import ApprovalForm, Ref
from vecferry.strategies.work import Work, open_work

__all__ = ["approval_form", "approved", "record_answer"]

_CHECK_FAILED = {
    "hold": "if the check after the switch fails, writes stay paused until a person decides or the pause ends",
    "rollback": "if the check after the switch fails, the route goes back before writes are released",
}


def approval_form(ref: Ref) -> ApprovalForm:
    """What a person reads before saying yes: what pauses and for how long, in which order, and which way leads back."""
    work = open_work(ref)
    config, route = work.config, work.route()
    alias = aliases.plan(config.source.address(), config.target.address(), work.migration.route)
    lines = [
        f"route {work.migration.route!r}: {route.url} -> {config.target.public()} (epoch {route.epoch + 1})",
        f"{work.plan.rows:,} records were compared one by one: verdict same",
        *switch_plan(config.hooks, alias.says),
        *([] if config.hooks.pause else ["no hook pauses the application: it is asked through the route alone"]),
        f"the pause lasts about {_pause_s(work):,.0f} s, by what reading took so far: the old store is read twice, the "
        "ids of the new one once",
        f"what changed since is carried over under the pause, at most {config.max_final_delta:,} records",
        _CHECK_FAILED[config.on_check_failed],
        "nothing is written to the old store; it stays as it is",
        f"way back: vecferry rollback {ref.migration} (the new store stays too)",
        f"a yes is good for one switch, and for {config.approve_valid_s / 3600:,.0f} h",
    ]
    number = work.ledger.ask_approval(
        ref.migration,
        {"lines": lines},
        largest_delta_rows=config.max_final_delta,
        valid_for_s=config.approve_valid_s,
    )
    return ApprovalForm(ref.migration, number, f"Switch {work.migration.route!r} to the new store?", tuple(lines))


def _pause_s(work: Work) -> float:
    """How long a switch will pause writes, from measured times.

    Estimated once, so that the same question keeps its number.
    """

    def estimate() -> dict[str, float]:
        source_s = _longest_s(work.ledger.passes(work.ref.migration, Direction.FORWARD)) or _took_s(work, "copied")
        return {"seconds": work.config.hooks.drain_s + 2 * source_s + _took_s(work, "verified")}

    known = work.fact("expected pause")
    if known is None:
        known = estimate()
        work.ledger.set_fact(work.ref.migration, "expected pause", known)
    return float(known["seconds"])


def _longest_s(found: list[Pass]) -> float:
    return max(((one.ended_at - one.started_at).total_seconds() for one in found if one.ended_at), default=0.0)


def _took_s(work: Work, event: str) -> float:
    """How long the phase took that ended with this event."""
    before: datetime | None = None
    for entry in work.ledger.audit(work.ref.migration):
        if "from" in entry.detail and "to" in entry.detail:
            if entry.event == event and before is not None:
                return (entry.at - before).total_seconds()
            before = entry.at
    return 0.0


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
