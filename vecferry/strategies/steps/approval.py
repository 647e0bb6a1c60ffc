"""The question before a switch: what a person is shown, and what is kept of the answer."""

from __future__ import annotations

from datetime import datetime

from vecferry.ledger import Answer, Direction, Pass
from vecferry.routing.hook_plan import reads_plan, switch_plan
from vecferry.strategies.reversing import reversed_words
from vecferry.strategies.runner import ApprovalForm, Ref
from vecferry.strategies.steps.reads import watch_ends
from vecferry.strategies.work import Work, open_work

__all__ = ["CHECK_FAILED", "approval_form", "approved", "pause_s", "record_answer"]

CHECK_FAILED = {
    "hold": "if the check after the switch fails, writes stay paused until a person decides or the pause ends",
    "rollback": "if the check after the switch fails, the route goes back before writes are released",
}
"""What becomes of a switch whose last check fails, in words."""


def approval_form(ref: Ref) -> ApprovalForm:
    """What a person reads before saying yes: what pauses and for how long, in which order, and which way leads back.

    In two steps the first question is about the reads alone.
    """
    work = open_work(ref)
    about_reads = work.in_two_steps and not work.is_read_from
    lines = _of_reads(work) if about_reads else _of_switch(work)
    lines.append(f"a yes is good for one switch, and for {work.config.approve_valid_s / 3600:,.0f} h")
    number = work.ledger.ask_approval(
        ref.migration,
        {"lines": lines},
        largest_delta_rows=work.config.max_final_delta,
        valid_for_s=work.config.approve_valid_s,
    )
    what = "Let the reads of {!r} go to the new store?" if about_reads else "Switch {!r} to the new store?"
    title = what.format(work.migration.route)
    return ApprovalForm(
        ref.migration, number, title if work.workspace is None else f"{title} ({work.workspace})", tuple(lines)
    )


def _of_switch(work: Work) -> list[str]:
    config, route, name = work.config, work.route(), work.ref.migration
    before = f"; reads go there since {route.changed_at:%Y-%m-%d %H:%M:%S} UTC" if route.reads_url else ""
    way_back = "the new store stays too" if not route.reads_url else "before the switch it sends the reads back"
    return [
        f"route {work.subject}: {route.url} -> {config.target.public()} (epoch {route.epoch + 1}){before}",
        *_of_watch(work),
        f"{work.plan.rows:,} records were compared one by one: verdict same",
        *switch_plan(config.hooks, work.alias_plan().says),
        *([] if config.hooks.pause else ["no hook pauses the application: it is asked through the route alone"]),
        *_of_workspace(work),
        f"the pause lasts about {pause_s(work):,.0f} s, by what reading took so far: the old store is read twice, the "
        f"{'new one' if route.reads_url else 'ids of the new one'} once",
        f"what changed since is carried over under the pause, at most {config.max_final_delta:,} records",
        CHECK_FAILED[config.on_check_failed],
        *reversed_words(config, name),
        f"way back: vecferry rollback {name} ({way_back})",
    ]


def _of_reads(work: Work) -> list[str]:
    config, route, name = work.config, work.route(), work.ref.migration
    earliest = f", {config.min_watch_s:,.0f} s after the reads at the earliest" if config.min_watch_s else ""
    ids = "the application maps ids" if config.application_maps_ids else "ids are the same in both stores"
    return [
        f"reads of {work.migration.route!r}: {route.url} -> {config.target.public()} (epoch {route.epoch + 1}); writes "
        f"stay in {route.url}",
        f"{work.plan.rows:,} records were compared one by one: verdict same",
        *reads_plan(config.hooks, work.alias_plan().says),
        f"reads lag behind writes from now on: by the age of the last pass; vecferry sync {name} makes it young",
        f"declared: {ids}, and the application never writes back what it read",
        "nothing is written to the old store, and nobody else writes the new one",
        f"way back: vecferry rollback {name} sends the reads back; writes switch after a second question{earliest}",
    ]


def _of_watch(work: Work) -> list[str]:
    """A moment and no rest of time: the text of a question is the same whenever it is looked at."""
    ends = watch_ends(work)
    if ends is None:
        return []
    return [
        f"before {ends:%Y-%m-%d %H:%M:%S} UTC a switch is refused: reads are watched for at least "
        f"{work.config.min_watch_s:,.0f} s"
    ]


def _of_workspace(work: Work) -> list[str]:
    if work.scope is None:
        return []
    if work.scope.is_default:
        return ["the pause is one of the whole collection, and its route moves; workspaces that moved stay as they are"]
    return ["the pause has to cover every writer that can move records into or out of this workspace"]


def pause_s(work: Work) -> float:
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
