"""The switch itself: what is looked at before, the one transaction, what follows it, and what undoes it."""

from __future__ import annotations

from enum import StrEnum

from vecferry import failpoints, plain
from vecferry.errors import NotFound, UnsafeRoute
from vecferry.ledger import Direction, Pause, State, settled
from vecferry.strategies import following
from vecferry.strategies.catching_up import known_state
from vecferry.strategies.cutover_file import write_cutover_file
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.hooks import release_writes
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, retry, space
from vecferry.transfer.late import Late

__all__ = [
    "CUTOVER_FACT",
    "Stage",
    "check_route",
    "commit_switch",
    "end_cutover",
    "end_switching",
    "find_stage",
    "is_settled",
    "preflight_switch",
    "undo_switch",
    "write_cutover",
]

CUTOVER_FACT = "cutover"
"""What was measured of a switch: the pause, what it carried over, what came late."""

_CHECK_FACT = "post-switch check"


class Stage(StrEnum):
    """How far a switch is that a dead run left.

    `UNMOVED`: the route did not move. `UNSEEN`: it moved, nobody can have followed it, and writes may have gone on in
    the old store. `PAUSED`: it moved, and the pause has held since. `ENDED`: the pause is over, and all follow it.
    """

    UNMOVED = "unmoved"
    UNSEEN = "unseen"
    PAUSED = "paused"
    ENDED = "ended"


def preflight_switch(ref: Ref) -> None:
    """Before anything pauses: there is room, both stores answer, the target is the one that was proven.

    Raises UnsafeRoute, Stopped.
    """
    work = open_work(ref)
    work.check()
    space.require_for_passes(work.archive_folder, work.plan.rows)
    work.release()
    budget_s, source = work.config.retry_budget_s, work.source()
    try:
        retry.call(budget_s, source.count)
    except NotFound as error:
        raise UnsafeRoute(f"the old store is gone: {error}", advice="nothing was paused or switched") from error
    target = work.target()
    mark = (target.mark() or {}).get("migration") if retry.call(budget_s, target.exists) else None
    if mark != work.owner:
        raise UnsafeRoute(
            f"{target.url} is gone, or is not the collection that migration {work.owner} made",
            advice="nothing was paused or switched; abort this migration and start a new one",
        )
    work.release()


def is_settled(ref: Ref, token: int) -> bool:
    """Whether two passes under this pause found nothing and saw the same. Raises UnsafeRoute when the pause is over."""
    work = open_work(ref)
    pause = work.require_pause(token)
    return settled(work.ledger.passes(ref.migration, Direction.FORWARD), pause.paused_at)


def write_cutover(ref: Ref) -> None:
    """Keep in the archive, read back, what the switch stands on."""
    work = open_work(ref)
    work.check()
    route = work.route()
    epoch = route.epoch if _moved(work) else route.epoch + 1
    alias = work.alias_plan().intent(work.config.target.public())
    write_cutover_file(work, known_state(work), epoch=epoch, alias=alias)


def commit_switch(ref: Ref, token: int) -> None:
    """Move the route in one transaction, if pause, epoch and approval hold. The state is SWITCHING then.

    Raises UnsafeRoute; then the route did not move.
    """
    work = open_work(ref)
    if _moved(work):
        return
    work.move(State.FROZEN, State.SWITCHING, event="checked")
    failpoints.reached("cutover.before_switch")
    route, hook = work.route(), work.config.hooks.switch
    pause = work.require_pause(token)
    work.ledger.switch_route(
        ref.migration,
        route.name,
        expected_epoch=route.epoch,
        to_url=str(work.config.target.public()),
        state_from=State.SWITCHING,
        state_to=State.SWITCHING,
        token=ref.token,
        event="route moved",
        alias=work.alias_plan().intent(work.config.target.public()),
        workspace=work.workspace,
        pause_token=token,
        needs_s=0.0 if hook is None else hook.timeout_s,
        delta_rows=_carried(work, pause),
    )
    failpoints.reached("cutover.switched")


def _moved(work: Work) -> bool:
    return work.route().url == str(work.config.target.public())


def _carried(work: Work, pause: Pause) -> int:
    """Records that were carried over since the pause began."""
    found = work.ledger.deltas(work.ref.migration, Direction.FORWARD)
    return sum(delta.receipt.rows for delta in found if delta.recorded_at >= pause.paused_at)


def check_route(ref: Ref) -> None:
    """Let the alias follow the route and read both back. Raises UnsafeRoute when they do not say the same."""
    work = open_work(ref)
    route = work.route()
    is_new = work.migration.state in (State.SWITCHING, State.SWITCHED)
    serving = work.config.target if is_new else work.config.source
    if route.url != str(serving.public()):
        raise UnsafeRoute(
            f"route {work.migration.route!r} serves {route.url}, expected was {serving.public()}",
            advice=f"look at vecferry status {ref.migration} --detailed before anything else",
        )
    plan = work.alias_plan()
    if plan.follows:
        work.check()
        plan.point_at(serving.address())
        failpoints.reached("cutover.alias_set")
        plan.require(serving.address())
        work.ledger.confirm_alias(work.migration.route, route.epoch)


def end_switching(ref: Ref, problem: str) -> None:
    """The route moved and all that follows it was read back: state SWITCHED. `problem`: what the last check found."""
    work = open_work(ref)
    work.ledger.set_fact(ref.migration, _CHECK_FACT, {"problem": problem}, ref.token)
    work.move(State.SWITCHING, State.SWITCHED, event="switched", detail={"problem": problem} if problem else None)
    failpoints.reached("cutover.ended")


def end_cutover(ref: Ref, late: Late) -> dict[str, object]:
    """Keep what was measured, once the writes are released and the old store was looked at for the last time."""
    work = open_work(ref)
    pause = work.pause()
    if pause is None:
        return {}
    ended = pause.paused_until if pause.released_at is None else min(pause.released_at, pause.paused_until)
    found = {
        "paused_s": round((ended - pause.paused_at).total_seconds(), 3),
        "paused_by": "hook" if work.config.hooks.pause is not None else "route",
        "carried_rows": _carried(work, pause),
        "late": plain.to_plain(late.counts),
    }
    work.ledger.set_fact(ref.migration, CUTOVER_FACT, found, ref.token)
    return found


def find_stage(ref: Ref) -> Stage:
    """How far the switch is that an earlier run began.

    Raises UnsafeRoute, listing what differs, where some may have followed the route and others did not: then nothing
    is changed.
    """
    work = open_work(ref)
    if not _moved(work):
        return Stage.UNMOVED
    if following.is_held_since(work):
        return Stage.PAUSED
    if following.is_unseen(work):
        return Stage.UNSEEN
    following.require_all_follow(work, f"vecferry resume {ref.migration}")
    return Stage.ENDED


def undo_switch(ref: Ref) -> None:
    """Back to before the pause, and writes released, unless the route moved. Does nothing a second time."""
    work = open_work(ref)
    if _moved(work):
        return
    pause = work.pause()
    mine = pause is not None and pause.migration == ref.migration
    back = pause.returns_to if pause is not None and mine else None
    work.move(State.SWITCHING, State.FROZEN, event="not switched")
    failpoints.reached("cutover.unswitched")
    work.move(State.FROZEN, back or State.READY, event="undone")
    failpoints.reached("cutover.undone")
    handles.release(work.config.source.address(), work.config.target.address())
    release_writes(ref)
