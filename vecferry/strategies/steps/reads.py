"""Reads apart from writes: they go to the new store first, and back again while writes stay where they are."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from vecferry import failpoints
from vecferry.errors import DataDiffer, UnsafeRoute
from vecferry.ledger import Direction, Route, State
from vecferry.model import JsonObject
from vecferry.routing.calls import Action, Outcome, Reply
from vecferry.strategies import telling
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import retry
from vecferry.transfer.late import Late

__all__ = [
    "check_reads",
    "commit_reads",
    "end_reads_back",
    "preflight_reads",
    "require_reads_there",
    "require_unwritten",
    "require_watched",
    "return_reads",
    "watch_ends",
    "watch_left_s",
    "watched",
]


def preflight_reads(ref: Ref) -> None:
    """Before reads move: where aliases switch, both are there and lead to the old collection. Raises UnsafeRoute."""
    work = open_work(ref)
    plan, old = work.alias_plan(), work.config.source.address()
    for alias in (plan.alias, plan.reads) if plan.follows else ():
        found = retry.call(work.config.retry_budget_s, partial(plan.serves, old, alias))
        if found != old.collection():
            raise UnsafeRoute(
                f"the alias {alias!r} leads to {found or 'nothing'}, not to {old.collection()!r}: reads and writes "
                "cannot be told apart by it",
                advice=f"point {plan.alias!r} and {plan.reads!r} at {old.collection()!r}, let the application write by "
                f"the first and read by the second, then vecferry resume {ref.migration}",
            )


def commit_reads(ref: Ref, approval: int) -> None:
    """Let reads go to the new store, in one transaction; state READS_NEW. A second call finds it done."""
    work = open_work(ref)
    if work.migration.state is not State.READS_NEW:
        failpoints.reached("reads.before")
        _move(work, new=True, state_from=State.READY, event="reads moved", approval=approval)
    failpoints.reached("reads.moved")


def return_reads(ref: Ref) -> None:
    """Let reads go where writes go, in one transaction; the state stays until all follow. Again changes nothing."""
    work = open_work(ref)
    if work.route().reads_url is not None:
        _move(work, new=False, state_from=State.READS_NEW, event="reads on their way back")
    failpoints.reached("reads.returned")


def _move(work: Work, *, new: bool, state_from: State, event: str, approval: int | None = None) -> Route:
    old, target = work.config.source.public(), work.config.target.public()
    return work.ledger.move_reads(
        work.migration.id,
        work.migration.route,
        expected_epoch=work.route().epoch,
        to_url=str(target) if new else None,
        state_from=state_from,
        state_to=State.READS_NEW,
        event=event,
        token=work.ref.token,
        alias=work.alias_plan().intent(old, target if new else None),
        approval=approval,
        workspace=work.workspace,
    )


def check_reads(ref: Ref) -> None:
    """Let the alias that is read by follow the route, and read both back. Raises UnsafeRoute."""
    work = open_work(ref)
    plan, route, old = work.alias_plan(), work.route(), work.config.source.address()
    if not plan.follows:
        return
    work.check()
    reads = old if route.reads_url is None else work.config.target.address()
    plan.point_reads_at(reads)
    failpoints.reached("reads.alias_set")
    plan.require(old, reads)
    work.ledger.confirm_alias(route.name, route.epoch)


def require_reads_there(ref: Ref) -> None:
    """Raise UnsafeRoute where reads are on their way back: a person asked for that, so nothing leads on from here."""
    work = open_work(ref)
    if work.route().reads_url is None:
        raise UnsafeRoute(
            f"the reads of {ref.migration} are on their way back to the old store, and the run that sent them ended",
            advice=f"vecferry rollback {ref.migration} finishes it",
        )


def end_reads_back(ref: Ref) -> None:
    """All read from the old store again: state READY. Does nothing a second time."""
    work = open_work(ref)
    for told in work.ledger.open_hook_intents(ref.migration):
        if told.action == Action.READS and told.outcome is None:
            reply = Reply(Outcome.EXPIRED, "reads went back, and a read-back has seen it", {})
            work.ledger.record_hook_outcome(ref.migration, told.number, reply.to_json(), ref.token or None)
    work.move(State.READS_NEW, State.READY, event="reads sent back")
    failpoints.reached("reads.back")


def require_unwritten(ref: Ref, late: Late) -> None:
    """Raise DataDiffer where somebody wrote the new store while it served reads alone. `late`: a look at all of it."""
    if not late:
        return
    raise DataDiffer(
        f"{open_work(ref).config.target.public()} was written while it served reads alone: {late}; all are in "
        f"{late.listed}",
        advice="nothing was switched. An application that writes where it reads cannot be switched in two steps: "
        f"vecferry rollback {ref.migration} sends the reads back",
    )


def watch_ends(work: Work) -> datetime | None:
    """When the writes may follow the reads, by the ledger's clock; None where the reads are not new, or at any time.

    A whole second, so that what people are told is not too early.
    """
    route, min_watch_s = work.route(), work.config.min_watch_s
    if not route.reads_url or not min_watch_s:
        return None
    ends = route.changed_at + timedelta(seconds=min_watch_s)
    return ends.replace(microsecond=0) + timedelta(seconds=1 if ends.microsecond else 0)


def watch_left_s(work: Work) -> float:
    """For how many seconds the reads are to be watched yet; 0 where the writes may follow."""
    ends = watch_ends(work)
    return 0.0 if ends is None else max(0.0, (ends - telling.serving(work).at).total_seconds())


def require_watched(ref: Ref) -> None:
    """Raise UnsafeRoute where the writes would follow before the reads were watched for as long as was asked for."""
    work = open_work(ref)
    ends = watch_ends(work)
    if ends is not None and watch_left_s(work):
        raise UnsafeRoute(
            f"reads are watched until {ends:%Y-%m-%d %H:%M:%S} UTC (min_watch_s: {work.config.min_watch_s:g}): nothing "
            "was switched",
            advice=f"the yes is kept while it is good: vecferry resume {ref.migration} from then on; vecferry rollback "
            f"{ref.migration} sends the reads back",
        )


def watched(ref: Ref) -> JsonObject:
    """What a person asks during the watch: since when reads are new, how far behind, and when writes may follow."""
    work = open_work(ref)
    route = work.route()
    last = work.ledger.last_pass(ref.migration, Direction.FORWARD)
    lag_s = work.ledger.lag_s(ref.migration, Direction.FORWARD)
    return {
        "reads": route.reads_url or route.url,
        "writes": route.url,
        "since": route.changed_at.isoformat(),
        "lag_s": None if lag_s is None else round(lag_s, 1),
        "differences": None if last is None else last.differences,
        "ends": None if (ends := watch_ends(work)) is None else ends.isoformat(),
        "left_s": round(watch_left_s(work), 1),
    }
