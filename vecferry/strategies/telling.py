"""What is said to the application and asked of it: the ledger's hooks, the route file, the alias."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from vecferry import failpoints
from vecferry.address import above, below, parse
from vecferry.config import Hook
from vecferry.errors import NotFound, RetryLater, VecferryError
from vecferry.ledger import DEFAULT_WORKSPACE, Pause, Route, Serving, State
from vecferry.ledger import Hook as Told
from vecferry.model import JsonObject
from vecferry.routing import hooks, observing, route_file
from vecferry.routing.calls import Action, Call, HookRequest, Outcome, Reply
from vecferry.routing.observing import Observation
from vecferry.strategies.work import Work
from vecferry.transfer import retry

__all__ = [
    "Observed",
    "acknowledged",
    "ask_hook",
    "calls",
    "held_pause",
    "is_file_new",
    "may_be_followed",
    "observe",
    "outcome_of",
    "publish",
    "serving",
    "tell",
]


@dataclass(frozen=True, slots=True)
class Observed:
    """What the ledger says of a route, what the outside says, and in which points they differ."""

    recorded: Serving
    seen: tuple[Observation, ...]
    differences: tuple[str, ...]

    def to_json(self) -> JsonObject:
        """As the ledger keeps it and `--json` prints it."""
        return {
            "at": self.recorded.at.isoformat(),
            "observed": [one.to_json() for one in self.seen],
            "differences": list(self.differences),
        }


def serving(work: Work) -> Serving:
    """What the ledger says now. Raises NotFound where the route is not registered yet."""
    return _recorded(work, work.workspace)


def _recorded(work: Work, workspace: str | None) -> Serving:
    found = work.ledger.ask_route(work.migration.route, workspace)
    if found is None:
        raise NotFound(f"no route is named {work.migration.route!r} yet")
    return found


def held_pause(work: Work) -> Pause | None:
    """The pause of this migration, if it holds now."""
    pause = work.pause()
    mine = pause is not None and pause.migration == work.migration.id and pause.holds(serving(work).at)
    return pause if mine else None


def publish(work: Work) -> None:
    """Let the route file say what the ledger says, where there is one."""
    path, ledger, name = work.config.hooks.route_file, work.ledger, work.migration.route
    if path is None:
        return
    apart = {route.workspace for route in ledger.workspace_routes(name)}
    apart |= {pause.workspace for pause in ledger.pauses(work.owner)}
    parts = [_recorded(work, key) for key in sorted(key for key in apart if key not in (None, DEFAULT_WORKSPACE))]
    route_file.write(path, route_file.content(_recorded(work, None), parts))
    failpoints.reached("hooks.file_written")


def _told_of(work: Work) -> str | None:
    """Which workspace an application is told of: the group of all others moves with the whole collection."""
    return None if work.workspace == DEFAULT_WORKSPACE else work.workspace


def request(work: Work, action: Action, pause: Pause | None) -> HookRequest:
    """What is said of the route as it stands: the same for the same pause and epoch."""
    route = work.ledger.route(work.migration.route, work.workspace)
    now = serving(work)
    lasts_s = None if pause is None else (pause.paused_until - pause.paused_at).total_seconds()
    return HookRequest(
        action,
        migration=work.migration.id,
        route=now.name,
        epoch=now.epoch,
        url=now.url,
        reads_url=now.reads_url,
        token=0 if pause is None else pause.token,
        workspace=_told_of(work),
        previous_url=None if route is None else route.previous_url,
        ttl_s=lasts_s if action is Action.PAUSE else None,
        reason="rollback" if _leads_back(work, now) else "cutover",
    )


def _leads_back(work: Work, now: Serving) -> bool:
    state = work.ledger.migration(work.migration.id).state
    return state in _BACKWARDS or (state is State.READS_NEW and now.reads_url == now.url)


_BACKWARDS = frozenset({State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, State.ROLLED_BACK, State.ROLLED_BACK_UNMERGED})


def tell(work: Work, hook: Hook, made: HookRequest, *, pause_token: int | None = None, budget_s: float = 0.0) -> Reply:
    """Record the intent, call, record what came of it. A webhook that nothing reached is tried again for `budget_s`.

    With `pause_token` the pause must hold as long as the call may take. Raises UnsafeRoute, LeaseLost: then nothing
    was called.
    """
    token = work.ref.token or None
    intent = work.ledger.record_hook_intent(
        work.migration.id,
        made.action,
        made.to_json(),
        epoch=made.epoch,
        token=token,
        workspace=made.workspace,
        pause_token=pause_token,
        needs_s=hook.timeout_s if pause_token is not None else 0.0,
    )
    failpoints.reached("hooks.intended")
    reply = _reached(hook, Call(made, f"{work.migration.id}:{intent.number}"), budget_s)
    failpoints.reached("hooks.called")
    work.ledger.record_hook_outcome(work.migration.id, intent.number, reply.to_json(), token)
    failpoints.reached("hooks.recorded")
    return reply


class _Unreached(RetryLater):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.says)
        self.reply = reply


def _reached(hook: Hook, made: Call, budget_s: float) -> Reply:
    def once() -> Reply:
        reply = hooks.call(hook, made)
        if not reply.sent and hook.webhook is not None:
            raise _Unreached(reply)
        return reply

    try:
        return retry.call(budget_s, once)
    except _Unreached as error:
        return error.reply


def calls(work: Work, action: Action) -> list[Told]:
    """The calls of one kind that the ledger knows, in order."""
    return [one for one in work.ledger.hooks(work.migration.id, action) if one.workspace == _told_of(work)]


def acknowledged(told: list[Told], token: int) -> Told | None:
    """The last of these calls that the application acknowledged under a pause."""
    mine = [one for one in told if one.request["token"] == token and outcome_of(one) is Outcome.ACKNOWLEDGED]
    return mine[-1] if mine else None


def may_be_followed(work: Work) -> bool:
    """Whether the application was told, or the alias moved, since the route has its epoch: new writes may be there.

    Where there is neither hook nor alias, whoever asks for the route follows it at once.
    """
    now, hook = serving(work), work.config.hooks.switch
    told = [one for one in calls(work, Action.SWITCH) if one.epoch == now.epoch]
    if any(outcome_of(one) in (Outcome.ACKNOWLEDGED, Outcome.UNKNOWN) for one in told):
        return True
    alias = _ask_alias(work)
    if alias is not None:
        return bool(alias.error) or _collection(str(alias.url)) == _collection(now.url)
    return hook is None and work.config.hooks.route_file is None


def is_file_new(work: Work) -> bool:
    """Whether the route file names what the ledger's route leads to now."""
    seen = _ask_file(work)
    return seen is not None and (bool(seen.error) or seen.url == serving(work).url)


def outcome_of(told: Told) -> Outcome:
    """What is known of a recorded call; one without an outcome was under way when its run died."""
    return Outcome.UNKNOWN if told.outcome is None else Outcome(told.outcome["outcome"])


def ask_hook(work: Work) -> Observation | None:
    """What the application says that it does now; None where it cannot be asked."""
    hook = work.config.hooks.read_back
    if hook is None:
        return None
    made = request(work, Action.READ_BACK, None)
    reply = _reached(hook, Call(made, f"{work.migration.id}:read-back"), work.config.retry_budget_s)
    at = serving(work).at
    if reply.outcome is not Outcome.ACKNOWLEDGED:
        return observing.failed("hook", at, reply.says)
    return observing.answered("hook", at, reply.answer)


def observe(work: Work) -> Observed:
    """Look at all that follows the route: alias, file, application."""
    seen = tuple(filter(None, (_ask_alias(work), _ask_file(work), ask_hook(work))))
    recorded = serving(work)
    told = tuple(line for one in seen for line in observing.differences(recorded, one))
    return Observed(recorded, seen, told)


def _ask_file(work: Work) -> Observation | None:
    path = work.config.hooks.route_file
    return None if path is None else route_file.observe(path, serving(work).at, work.workspace)


def _ask_alias(work: Work) -> Observation | None:
    """The engine's alias, once a switch has meant it to follow."""
    route = work.ledger.route(work.migration.route)
    if route is None or route.alias is None or work.workspace not in (None, DEFAULT_WORKSPACE):
        return None
    target, now, plan = work.config.target.address(), serving(work), work.alias_plan()
    found: list[str] = []
    for alias in filter(None, (plan.alias, plan.reads)):
        try:
            leads_to = retry.call(work.config.retry_budget_s, partial(plan.serves, target, alias))
        except VecferryError as error:
            return observing.failed("alias", now.at, str(error))
        if leads_to is None:
            return observing.failed("alias", now.at, f"there is no alias {alias!r}")
        found.append(_meant(work, route, leads_to))
    return Observation("alias", now.at, found[0], found[1] if plan.reads else None)


def _meant(work: Work, route: Route, collection: str) -> str:
    """The URL of a collection that an alias leads to, as the route spells it where it is one of the route's."""
    known = (url for url in (route.url, route.reads_url, route.previous_url) if url and _collection(url) == collection)
    return next(known, None) or str(below(above(work.config.target.public()), collection))


def _collection(url: str) -> str:
    return parse(url).collection()
