"""The end of a migration: no way back any more, and what is left behind is dropped. Nothing here is done unasked.

A drop needs that nothing names the collection, that it is the one that was recorded, and that a last look found in it
nothing but what the archive holds, or what a person has agreed to lose, by its digest.
"""

from __future__ import annotations

from collections.abc import Sequence

from vecferry import failpoints
from vecferry.address import Address
from vecferry.contract import Target
from vecferry.errors import BadOption, NotFound, StoreRefused, UnsafeRoute
from vecferry.ledger import FORWARD_FACT, LIVE, AuditEntry, Ledger, Migration, State
from vecferry.routing import naming, states
from vecferry.stores import registry
from vecferry.strategies import telling
from vecferry.strategies.catching_up import commit_deltas
from vecferry.strategies.reversing import does_follow
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.hooks import OBSERVED_FACT
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import fence, handles, retry
from vecferry.transfer.late import Late

__all__ = [
    "DECOMMISSIONED_FACT",
    "DISCARDED_FACT",
    "GONE",
    "drop_new",
    "drop_old",
    "end_way_back",
    "old_is_there",
    "require_completable",
    "require_discardable",
    "require_droppable",
    "unsettled_s",
    "wait_out_writes",
    "was_proven",
]

DECOMMISSIONED_FACT, DISCARDED_FACT = "decommissioned", "discarded"
GONE = "gone"
"""What a person agrees to in place of a digest where the old store is not there any more."""

_DISCARDING = "discard intended"
_WITHOUT_SWITCH = ("backup", "export", "load")
_DISCARDABLE = (State.ABORTED, State.ROLLED_BACK)


def require_completable(ref: Ref) -> None:
    """Raise unless the way back may end: all switched, nothing open, nobody paused, and whatever follows does follow.

    UnsafeRoute says which of these it is, and what to do.
    """
    work = open_work(ref)
    _require_switched(work)
    _require_open_writes(work)
    _require_nothing_open(work)
    commit_deltas(work)
    _require_followed(work, "complete")


def _require_followed(work: Work, verb: str) -> None:
    """Look at all that follows the route, and keep what was seen. Raises UnsafeRoute, listing the differences."""
    found = telling.observe(work)
    work.ledger.set_fact(work.ref.migration, OBSERVED_FACT, found.to_json(), work.ref.token or None)
    if found.differences:
        back = "" if verb != "complete" else f"; or go back: vecferry rollback {work.ref.migration}"
        raise UnsafeRoute(
            f"the route and what follows it differ: {'; '.join(found.differences)}",
            advice=f"let all of it serve {found.recorded.url}, then vecferry {verb} {work.ref.migration}{back}",
        )


def _require_switched(work: Work) -> None:
    migration = work.migration
    if not work.switches:
        raise UnsafeRoute(f"migration {migration.id} ends without a switch; there is nothing to complete")
    if migration.state is not State.SWITCHED:
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state}; only a SWITCHED one can be completed",
            advice="; ".join(states.next_commands(migration.state, migration.id)),
        )


def _require_open_writes(work: Work) -> None:
    for pause in work.ledger.pauses(work.migration.id):
        if pause.released_at is None:
            raise UnsafeRoute(
                f"the writes of {work.migration.route!r} were paused and never released",
                advice=f"vecferry resume {work.migration.id} finishes the switch, vecferry unpause {work.migration.id} "
                "releases them by hand",
            )


def _require_nothing_open(work: Work) -> None:
    name = work.migration.id
    deltas = [str(one.number) for one in work.ledger.deltas(name, open_only=True)]
    if deltas:
        raise UnsafeRoute(
            f"changes were recorded and not read back yet: delta {', '.join(deltas)}",
            advice=f"vecferry rollback {name} finishes them"
            if not does_follow(work)
            else f"vecferry complete {name} goes on with them, or vecferry rollback {name} does",
        )
    calls = [f"{one.action} (call {one.number})" for one in work.ledger.open_hook_intents(name)]
    if calls:
        raise UnsafeRoute(
            f"nobody knows what became of a call to the application: {', '.join(calls)}",
            advice=f"vecferry resume {name} asks the application",
        )


def end_way_back(ref: Ref, late: Late | None, accepted: str) -> None:
    """The last step: SWITCHED -> COMPLETED. `late` None: the old store is gone, as a person said. Drops nothing."""
    work = open_work(ref)
    if work.migration.state is State.COMPLETED:
        return
    detail = {"late": GONE if late is None else late.counts, "accepted": accepted}
    token, name = ref.token or None, ref.migration
    failpoints.reached("complete.before")
    work.ledger.transition(name, [State.SWITCHED], State.COMPLETED, event="completed", detail=detail, token=token)
    failpoints.reached("complete.done")


def old_is_there(ref: Ref) -> bool:
    """Whether the old collection is still there."""
    return handles.target(open_work(ref).config.source.address()).exists()


def require_droppable(ref: Ref, collection: str) -> None:
    """Raise unless the old store may be dropped: completed, its name typed, no files, named by nobody."""
    work = open_work(ref)
    migration, old = work.migration, work.config.source.public()
    if migration.state is not State.COMPLETED:
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state}; the old store is dropped only after `complete`",
            advice="; ".join(states.next_commands(migration.state, migration.id)),
        )
    if collection != old.name:
        raise BadOption(
            f"the old collection is named {old.name!r}, not {collection!r}; nothing was dropped",
            advice=f"vecferry decommission {migration.id} --collection NAME, with the name of {old} typed",
        )
    if registry.holds_files(old.scheme) or registry.entry(old.scheme).only_read:
        raise StoreRefused(
            f"{old} is made of files, and files are never deleted by vecferry",
            advice="nothing serves from them any more; remove them yourself when you need the room",
        )
    route = work.ledger.route(migration.route)
    if route is not None and route.migration == migration.id:
        _require_followed(work, "decommission")
    _require_unnamed(work.ledger, migration, old)


def drop_old(ref: Ref, digest: str) -> str:
    """Drop the old collection, which was looked at just now; its URL. A crash in between is told of as what it was."""
    work = open_work(ref)
    old, store = work.config.source.public(), handles.target(work.config.source.address())
    _require_unnamed(work.ledger, work.migration, old)
    _refuse_aliases(store, old)
    work.ledger.note(ref.migration, "decommission intended", {"collection": str(old), "digest": digest}, ref.token)
    failpoints.reached("decommission.intended")
    _drop(work, store)
    failpoints.reached("decommission.dropped")
    work.ledger.set_fact(
        ref.migration, DECOMMISSIONED_FACT, {"collection": str(old), "digest": digest}, ref.token or None
    )
    return str(old)


def require_discardable(ref: Ref) -> bool:
    """Raise unless the new store may be dropped: ended, this migration's own, named by nobody.

    Whether it is there. It is not where a run died between the drop and its entry; a drop of anybody else is NotFound.
    """
    work = open_work(ref)
    migration, new = work.migration, work.config.target.public()
    if migration.state not in _DISCARDABLE:
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state}; only what an ended one left behind can be discarded",
            advice=f"vecferry abort {migration.id} ends it before the switch, vecferry rollback {migration.id} after",
        )
    _require_unnamed(work.ledger, migration, new)
    target = handles.target(work.config.target.address())
    if not target.exists():
        if not _was_being_discarded(work):
            raise NotFound(f"{new} is not there (any more)")
        return False
    mark = (target.mark() or {}).get("migration")
    if mark != migration.id:
        raise UnsafeRoute(f"{new} bears the mark of {mark or 'nobody'}; it is not dropped")
    return True


def was_proven(ref: Ref) -> bool:
    """Whether the new store had a verdict, now or before it went forward again: then somebody may have written it."""
    work = open_work(ref)
    return work.fact("verdict") is not None or work.fact(FORWARD_FACT) is not None


def _was_being_discarded(work: Work) -> bool:
    begun = any(entry.event == _DISCARDING for entry in work.ledger.audit(work.ref.migration))
    return begun and work.fact(DISCARDED_FACT) is None


def wait_out_writes(ref: Ref) -> None:
    """Wait until no call of a run that was cut off can still take effect, so that it never enters another target."""
    work = open_work(ref)
    if work.config.target.public().host:  # an engine in the run's own process has ended with it
        left_s = unsettled_s(work.ledger.audit(ref.migration), work.config.sync.driver_timeout_s)
        fence.wait(left_s, work.check)


def unsettled_s(trail: Sequence[AuditEntry], driver_timeout_s: float) -> float:
    """For how long, from the last entry of a migration's trail, a call of a run that was cut off may take effect."""
    cut_off = [entry.at for entry in trail if entry.event == "lease taken" and entry.detail.get("displaced")]
    if not cut_off:
        return 0.0
    return max(0.0, driver_timeout_s - (trail[-1].at - cut_off[-1]).total_seconds())


def drop_new(ref: Ref) -> str:
    """Drop the collection that this migration created, and whatever a broken load left; its URL."""
    work = open_work(ref)
    require_discardable(ref)
    new, target = work.config.target.public(), handles.target(work.config.target.address())
    _refuse_aliases(target, new)
    work.ledger.note(ref.migration, _DISCARDING, {"target": str(new)}, ref.token or None)
    failpoints.reached("discard.intended")
    _drop(work, target)
    failpoints.reached("discard.dropped")
    work.ledger.set_fact(ref.migration, DISCARDED_FACT, {"target": str(new)}, ref.token or None)
    return str(new)


def _require_unnamed(ledger: Ledger, migration: Migration, collection: Address) -> None:
    routes = ledger.routes()
    every = [*routes, *(part for route in routes for part in ledger.workspace_routes(route.name))]
    live = [one for one in ledger.migrations(LIVE) if one.id != migration.id and not _is_done(one)]
    found = naming.names_of(collection, every, live)
    if found:
        raise UnsafeRoute(
            f"{collection} is named by {found[0]}; it is not dropped",
            advice="`vecferry list --live` and `vecferry route NAME` show who uses it",
        )


def _is_done(migration: Migration) -> bool:
    """Whether it has reached its own end: an export, a load or a trial has no switch to come."""
    switches = migration.strategy not in _WITHOUT_SWITCH and migration.limit is None
    return migration.state is State.READY and not switches


def _refuse_aliases(store: Target, collection: Address) -> None:
    if not store.exists():
        return
    found = naming.aliases_of(store.describe().features)
    if found:
        raise UnsafeRoute(
            f"the alias {found[0]!r} leads to {collection}; it is not dropped",
            advice="point the alias elsewhere, or remove it, with the engine's own tools",
        )


def _drop(work: Work, store: Target) -> None:
    work.check()
    retry.call(work.config.retry_budget_s, store.drop)
    work.release()
