"""The application during a switch: checked, paused, told, read back, released.

Before each call its intent is in the ledger, after it what came of it. A call of unknown fate is never made again
before a read-back has said what it did.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

from vecferry.errors import Stopped, UnsafeRoute, VecferryError
from vecferry.ledger import Hook as Told
from vecferry.ledger import Pause, State
from vecferry.routing import observing
from vecferry.routing.calls import Action, Outcome, Reply
from vecferry.strategies import telling
from vecferry.strategies.runner import Ref
from vecferry.strategies.telling import Observed
from vecferry.strategies.work import Work, open_work

__all__ = [
    "OBSERVED_FACT",
    "check_hooks",
    "observe_route",
    "pause_writes",
    "prolong_pause",
    "read_back",
    "release_writes",
    "tell_switch",
    "wait_for_writes",
]

OBSERVED_FACT = "observed route"
"""What the last look at alias, file and application found, with its time."""

_TICK_S = 1.0
_FREEZES = {State.READY: State.FROZEN, State.READS_NEW: State.FROZEN, State.SWITCHED: State.ROLLBACK_FROZEN}
_SWITCHING = frozenset({State.SWITCHING, State.ROLLBACK_SWITCHING})


def check_hooks(ref: Ref) -> None:
    """Before a pause: write the route file, and ask the application what it does. Raises Stopped, UnsafeRoute.

    An application that cannot be read back now could not be after the switch either.
    """
    work = open_work(ref)
    telling.publish(work)
    seen = telling.ask_hook(work)
    if seen is None:
        return
    if seen.error:
        raise Stopped(
            f"the application cannot be read back: {seen.error}",
            advice=f"nothing was paused or switched; mend the hook, then vecferry resume {ref.migration}",
        )
    pause = work.pause()
    # It may never have been told of an epoch, and be paused by us still, or not yet, if an earlier run died.
    unasked = ("epoch", "writes") if pause is not None and pause.migration == ref.migration else ("epoch",)
    other = observing.differences(telling.serving(work), seen, unasked)
    if other:
        raise UnsafeRoute(
            f"the application does not do what the route says: {'; '.join(other)}",
            advice="nothing was paused or switched; let it follow the route before you switch it",
        )


def pause_writes(ref: Ref, approval: int | None = None) -> int:
    """Pause writes in the ledger (with the state, using the approval), the route file and the application.

    A pause of this run that holds is taken as it is. Returns its token. Raises Stopped where the application does not
    confirm it: the caller releases the writes.
    """
    work = open_work(ref)
    work.check()
    pause = telling.held_pause(work) or _new_pause(work, approval)
    telling.publish(work)
    hook = work.config.hooks.pause
    if hook is None or _is_confirmed(work, Action.PAUSE, pause.token, "paused"):
        return pause.token
    reply = telling.tell(work, hook, telling.request(work, Action.PAUSE, pause), pause_token=pause.token)
    _require_writes(work, "paused", reply, "nothing was switched")
    return pause.token


def prolong_pause(ref: Ref, token: int) -> None:
    """Let a pause that holds last `pause_ttl_s` from now, and no longer than `pause_limit_s` altogether.

    The application is told by a second call of the same token. Does nothing while most of its time is left. Raises
    UnsafeRoute where the pause is over or its limit is near, Stopped where the application does not confirm it.
    """
    work = open_work(ref)
    config, pause, now = work.config, work.require_pause(token), telling.serving(work).at
    ttl_s = min(config.hooks.pause_ttl_s, config.pause_limit_s)
    left_s = config.pause_limit_s - (now - pause.paused_at).total_seconds()
    if left_s < ttl_s / 4:
        raise UnsafeRoute(
            f"the pause came near its limit of {config.pause_limit_s:,.0f} s (pause_limit_s)",
            advice=f"nothing was switched. vecferry abort {ref.migration}, then begin anew with a longer "
            "--pause-limit-s or with --strategy blue-green",
        )
    lasts_s = min(ttl_s, left_s)
    if (pause.paused_until - now).total_seconds() >= 0.9 * lasts_s:
        return
    pause = work.ledger.extend_pause(work.migration.route, token, lasts_s, ref.token or None, workspace=work.workspace)
    telling.publish(work)
    hook = config.hooks.pause
    if hook is not None:
        again = replace(pause, paused_at=pause.paused_until - timedelta(seconds=lasts_s))  # told from now on
        made = telling.request(work, Action.PAUSE, again)
        reply = telling.tell(work, hook, made, pause_token=token)
        _require_writes(work, "paused", reply, "nothing was switched")


def _new_pause(work: Work, approval: int | None) -> Pause:
    """Within FROZEN and SWITCHING a pause that is over is renewed; the state and the approval stay."""
    migration, ledger, ttl_s = work.migration, work.ledger, work.config.hooks.pause_ttl_s
    state, workspace = migration.state, work.workspace
    token = work.ref.token or None
    if state not in _FREEZES:
        return ledger.pause_writes(migration.route, migration.id, ttl_s, token, workspace=workspace, state_to=None)
    return ledger.pause_writes(
        migration.route,
        migration.id,
        ttl_s,
        token,
        workspace=workspace,
        state_from={state},
        state_to=_FREEZES[state],
        approval=approval,
    )


def wait_for_writes(ref: Ref) -> None:
    """Wait until no write of before the pause can appear any more. Raises UnsafeRoute if the pause ended meanwhile."""
    work = open_work(ref)
    pause = work.pause()
    if pause is None:
        raise UnsafeRoute(f"the writes of {work.migration.route!r} are not paused", advice="pause them first")
    told = telling.acknowledged(telling.calls(work, Action.PAUSE), pause.token)
    since = pause.paused_at if told is None or told.ended_at is None else max(pause.paused_at, told.ended_at)
    until = since + timedelta(seconds=work.config.hooks.drain_s)
    while (left_s := (until - telling.serving(work).at).total_seconds()) > 0:
        work.check()
        time.sleep(min(left_s, _TICK_S))
    work.require_pause(pause.token)


def tell_switch(ref: Ref) -> None:
    """Let route file and application follow the route that the ledger has moved. Does nothing a second time.

    Raises UnsafeRoute where nobody can say that the application follows: then nothing is changed, and writes go on
    only when the pause ends or a person ends it.
    """
    work = open_work(ref)
    work.check()
    telling.publish(work)
    hook = work.config.hooks.switch
    if hook is None:
        return
    epoch = telling.serving(work).epoch
    action = Action.READS if work.migration.state is State.READS_NEW else Action.SWITCH
    told = [one for one in telling.calls(work, action) if one.epoch == epoch]
    if told and _is_settled(work, told[-1]):
        return
    pause = work.pause()
    if not told and _is_led_by_hand(work, pause):
        return
    reply = telling.tell(work, hook, telling.request(work, action, pause), pause_token=_needed(work, pause))
    if reply.outcome is Outcome.EXPIRED:
        raise _unsafe(work, f"the application refused the switch, its pause being over: {reply.says}")
    if reply.outcome is not Outcome.ACKNOWLEDGED:
        _require_followed(work, reply.says)


def _is_led_by_hand(work: Work, pause: Pause | None) -> bool:
    """Whether a person let the application follow once the pause was over, when it may not be told any more."""
    is_over = pause is not None and not pause.holds(telling.serving(work).at)
    return work.migration.state in _SWITCHING and is_over and _why_not(work) == ""


def _needed(work: Work, pause: Pause | None) -> int | None:
    """The pause under which the application may be told; none where the strategy switches without one."""
    migration = work.migration
    state = migration.state
    if state in _SWITCHING and pause is None:
        raise UnsafeRoute(f"route {migration.route} is switched under a pause only", advice="pause the writes")
    return pause.token if pause is not None and (state in _SWITCHING or pause.released_at is None) else None


def _is_settled(work: Work, last: Told) -> bool:
    """Whether an earlier call did it. A refused one may be made again; one of unknown fate is looked at only."""
    outcome = telling.outcome_of(last)
    if outcome is Outcome.ACKNOWLEDGED:
        return True
    if outcome is not Outcome.UNKNOWN:
        return _why_not(work) == ""
    _require_followed(work, f"call {last.number} was under way when its run ended, or got no answer")
    if last.outcome is None:
        reply = Reply(Outcome.ACKNOWLEDGED, "seen by a read-back", {})
        work.ledger.record_hook_outcome(work.migration.id, last.number, reply.to_json(), work.ref.token or None)
    return True


def _require_followed(work: Work, why: str) -> None:
    """Raise UnsafeRoute, listing what differs, unless a read-back says that the application follows the route."""
    difference = _why_not(work)
    if difference:
        raise _unsafe(work, f"the application may or may not have switched ({why}): {difference}")


def _why_not(work: Work) -> str:
    """In which points the application does not follow the route; `""` where it does. Paused or not is all the same."""
    seen = telling.ask_hook(work)
    assert seen is not None, "a switch hook has a read-back, its configuration says so"
    return "; ".join(observing.differences(telling.serving(work), seen, ("writes",)))


def _unsafe(work: Work, what: str) -> UnsafeRoute:
    name, now = work.migration.id, telling.serving(work)
    back = f"vecferry resume {name}; or go back: vecferry rollback {name}"
    if work.migration.state is State.READS_NEW:
        advice = f"nothing more was changed. Let the application read from {now.reads_url} by hand, then {back}"
        return UnsafeRoute(what, advice=advice)
    return UnsafeRoute(
        what,
        advice=f"nothing more was changed. Let the application serve {now.url} by hand, then {back}. "
        f"vecferry unpause {name} releases the writes",
    )


def observe_route(ref: Ref) -> Observed:
    """What the ledger says of the route, and what alias, file and application say. Changes nothing."""
    return telling.observe(open_work(ref))


def read_back(ref: Ref) -> None:
    """Look at all that follows the route, and keep what was seen. Raises UnsafeRoute, listing the differences."""
    work = open_work(ref)
    found = telling.observe(work)
    work.ledger.set_fact(ref.migration, OBSERVED_FACT, found.to_json(), ref.token or None)
    if found.differences:
        raise _unsafe(work, f"the route and what follows it differ: {'; '.join(found.differences)}")


def release_writes(ref: Ref, by: str = "the run") -> None:
    """Release the writes everywhere: ledger, route file, application. Does nothing where none are paused.

    Needs no lease. Raises Stopped where the application could not be told; its pause then ends by itself.
    """
    work = open_work(ref)
    pause = work.pause()
    if pause is None or pause.migration != ref.migration:
        return
    work.ledger.release_writes(work.migration.route, pause.token, workspace=work.workspace, by=by)
    failed = _published(work)
    _tell_release(work, pause)
    if failed is not None:
        raise failed


def _published(work: Work) -> VecferryError | None:
    """Write the route file; why that did not work. The application is told all the same."""
    try:
        telling.publish(work)
    except VecferryError as error:
        return error
    return None


def _tell_release(work: Work, pause: Pause) -> None:
    hook = work.config.hooks.release
    if hook is None or _is_confirmed(work, Action.RELEASE, pause.token, "open"):
        return
    made = telling.request(work, Action.RELEASE, pause)
    reply = telling.tell(work, hook, made, budget_s=work.config.retry_budget_s)
    if reply.outcome is not Outcome.EXPIRED:  # then a later pause holds, or this one was over anyway
        until = f"its pause ends by itself at {pause.paused_until:%H:%M:%S} UTC"
        _require_writes(work, "open", reply, f"{until}; vecferry unpause {work.migration.id} tells it again")


def _is_confirmed(work: Work, action: Action, token: int, wanted: str) -> bool:
    """Whether an earlier call under this pause was acknowledged, and the application, asked now, agrees."""
    if telling.acknowledged(telling.calls(work, action), token) is None:
        return False
    seen = telling.ask_hook(work)
    return seen is None or seen.writes == wanted


def _require_writes(work: Work, wanted: str, reply: Reply, otherwise: str) -> None:
    """Raise unless the application acknowledged, and where it can be asked says so, or at least says so."""
    seen = telling.ask_hook(work)
    if reply.outcome is Outcome.EXPIRED:
        raise UnsafeRoute(f"the application knows a later pause than this one: {reply.says}", advice=otherwise)
    if seen is None and reply.outcome is Outcome.ACKNOWLEDGED:
        return
    if seen is not None and not seen.error and seen.writes == wanted:
        return
    says = "" if seen is None else f"; asked, it says: {seen.error or f'writes are {seen.writes}'}"
    raise Stopped(f"the application did not confirm that writes are {wanted}: {reply.says}{says}", advice=otherwise)
