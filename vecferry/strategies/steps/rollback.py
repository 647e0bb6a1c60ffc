"""The way back of the route: may it work, the pause, the one transaction, and what follows it."""

from __future__ import annotations

import os
from enum import StrEnum

import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints, plain
from vecferry.contract import Target
from vecferry.errors import NotFound, StoreRefused, UnsafeRoute
from vecferry.ledger import Answer, Kind, State
from vecferry.model import IDS_ONLY, IdKind, RecordId
from vecferry.stores import registry
from vecferry.strategies import following, telling
from vecferry.strategies.returning import (
    WAY_BACK_FACT,
    Settlement,
    copy_address,
    is_of_files,
    old_address,
    old_store,
)
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.hooks import release_writes
from vecferry.strategies.steps.merge import Weighed
from vecferry.strategies.work import Work, open_work
from vecferry.transfer import handles, retry
from vecferry.transfer.late import Late
from vecferry.transfer.merge import MergeCounts

__all__ = [
    "RETURN_FACT",
    "ReturnStage",
    "approve_return",
    "check_return",
    "commit_merge",
    "commit_return",
    "commit_route",
    "end_return",
    "find_return",
    "follow_alias_back",
    "foresee_return",
    "freeze_return",
    "freeze_route",
    "is_return_kept",
    "keep_return",
    "preflight_rollback",
    "probe_rights",
    "require_switched",
    "require_writable_old",
    "undo_return",
]

RETURN_FACT = "returned"
"""What a rollback did, in figures."""


class ReturnStage(StrEnum):
    """How far a rollback is: not begun, begun and not committed, committed, the route alone went back, over.

    `COMMITTED`: the route moved, and the pause has held since. `UNSEEN`: it moved, nobody can have followed it, and
    writes may have gone on in the new store. `FOLLOWED`: it moved, the pause is over, and all follow it.
    """

    NONE = "none"
    BEGUN = "begun"
    COMMITTED = "committed"
    UNSEEN = "unseen"
    FOLLOWED = "followed"
    UNMERGED = "unmerged"
    OVER = "over"


_BEGUN = frozenset({State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING})


def find_return(ref: Ref) -> ReturnStage:
    """How far an earlier run came.

    Raises UnsafeRoute for a state from which there is no way back; and, listing what differs, where some may have
    followed the route back and others did not: then nothing is changed.
    """
    work = open_work(ref)
    state = work.migration.state
    if state in _BEGUN:
        return _committed(work) if _moved(work) else ReturnStage.BEGUN
    ends = {State.ROLLED_BACK: ReturnStage.OVER, State.ROLLED_BACK_UNMERGED: ReturnStage.UNMERGED}
    if state in ends:
        return ends[state]
    if state is not State.SWITCHED:
        raise UnsafeRoute(
            f"migration {ref.migration} is {state}; only a SWITCHED one can be rolled back",
            advice=f"vecferry status {ref.migration} shows what can be done now",
        )
    return ReturnStage.NONE


def _committed(work: Work) -> ReturnStage:
    if following.is_held_since(work):
        return ReturnStage.COMMITTED
    if following.is_unseen(work):
        return ReturnStage.UNSEEN
    following.require_all_follow(work, f"vecferry rollback {work.migration.id}")
    return ReturnStage.FOLLOWED


def require_switched(ref: Ref) -> None:
    """Raise UnsafeRoute unless a rollback, or the merge that follows one of the route alone, could begin now."""
    if open_work(ref).migration.state in _BEGUN or find_return(ref) is ReturnStage.OVER:
        raise UnsafeRoute(
            f"migration {ref.migration} is {open_work(ref).migration.state}: a rollback of it began already",
            advice=f"vecferry rollback {ref.migration} finishes it",
        )


def foresee_return(ref: Ref, found: Weighed) -> tuple[float, str, bool]:
    """About how long writes would pause, where the route would lead, and whether that is a copy to be made.

    Under the pause both stores are read at least twice.
    """
    work = open_work(ref)
    copies = is_of_files(work) and bool(found.written) and work.fact(WAY_BACK_FACT) is None
    leads_to = copy_address(work) if copies else old_address(work)
    return round(work.config.hooks.drain_s + 2 * found.seconds, 3), str(leads_to), copies


def require_writable_old(ref: Ref, late: Late) -> None:
    """Raise UnsafeRoute where the old store is made of files: those that serve are never edited."""
    work = open_work(ref)
    if is_of_files(work):
        raise UnsafeRoute(
            f"{work.config.target.public()} received records after the way back, and the old store is made of files, "
            f"which are never edited: {late}; all are in {late.listed}",
            advice="bring what counts of them into the old files by hand",
        )


def is_return_kept(ref: Ref) -> bool:
    """Whether an earlier run said what the way back did: then it is over."""
    return open_work(ref).fact(RETURN_FACT) is not None


def _moved(work: Work) -> bool:
    return work.route().url != str(work.config.target.public())


def preflight_rollback(ref: Ref) -> None:
    """Raise UnsafeRoute where a rollback cannot work: the old store or the archive is gone. Nothing is written."""
    work = open_work(ref)
    old = old_address(work)
    handles.release(work.config.source.address(), old)
    try:
        retry.call(work.config.retry_budget_s, lambda: old_store(work).count())
    except NotFound as error:
        raise UnsafeRoute(
            f"the old store {old} is gone: {error}",
            advice="the route stays on the new store; restore the archive into a new collection: "
            f"vecferry restore {work.archive_folder} URL",
        ) from error
    try:
        work.archive.manifest()
    except NotFound as error:
        raise UnsafeRoute(
            f"the archive of the migration is gone, and nobody knows any more what changed: {error}",
            advice="the route stays on the new store; put the archive back in its place",
        ) from error


def approve_return(ref: Ref, settlement: Settlement) -> int:
    """Record that a person wants this way back; the number of the approval. The command, or the form, is the yes."""
    work = open_work(ref)
    route, config = work.route(), work.config
    lines = [
        f"route {work.migration.route!r}: {route.url} -> {old_address(work)}",
        "what the new store received is written to the old one"
        if not is_of_files(work)
        else "the old files are copied",
        f"conflicts: {settlement.prefer or settlement.conflicts or 'stop'}",
        f"writes pause for at most {config.hooks.pause_ttl_s:g} s",
    ]
    number = work.ledger.ask_approval(ref.migration, {"lines": lines}, ref.token, kind=Kind.ROLLBACK)
    work.ledger.answer_approval(ref.migration, number, Answer.APPROVED, by=settlement.by)
    return number


def probe_rights(ref: Ref) -> None:
    """Touch the old store for the first time: ask it to delete a record that it has not. Raises UnsafeRoute.

    Of files nothing is touched but the folder's permissions are looked at.
    """
    work = open_work(ref)
    source = work.config.source.public()
    if is_of_files(work):
        if not os.access(source.file.absolute().parent, os.W_OK):
            raise UnsafeRoute(f"nothing can be written beside {source}", advice="give this user the right to")
        return
    if registry.entry(source.scheme).only_read:
        return  # only a way back that has nothing to write can go there; the load says so otherwise
    handles.release(old_address(work))
    writer = handles.target(old_address(work))
    nobody = _nobody(writer)
    try:
        retry.call(work.config.retry_budget_s, lambda: writer.delete(nobody))
    except StoreRefused as error:
        raise UnsafeRoute(
            f"the old store takes no writes: {error}",
            advice=f"nothing was paused or switched; give this user the rights, or {_without_rights(work)}",
        ) from error
    finally:
        handles.release(old_address(work))


def _without_rights(work: Work) -> str:
    if work.migration.state is State.SWITCHED:
        return f"go back without the new rows: vecferry rollback {work.ref.migration} --route-only"
    return "start a migration that writes nothing to the old store: --reverse hold"


def _nobody(writer: Target) -> pa.RecordBatch:
    """An id that the collection has not."""
    kinds = writer.describe().id_kinds or writer.capabilities().id_kinds
    texts = {
        IdKind.STRING: "vecferry-asks-whether-it-may-write",
        IdKind.UUID: "76656366-6572-7279-8a73-6b7320697400",
        IdKind.UINT64: "7595436427914",
    }
    ids = columns.ids_batch([RecordId(kind, text) for kind, text in texts.items() if kind in kinds][:1])
    return ids if not writer.fetch(ids, IDS_ONLY).num_rows else ids.slice(0, 0)


def freeze_return(ref: Ref, approval: int) -> None:
    """A pause of its own, and the state ROLLBACK_FROZEN, in one transaction. A second call finds both."""
    work = open_work(ref)
    if work.migration.state is not State.SWITCHED:
        return
    work.ledger.pause_writes(
        work.migration.route,
        ref.migration,
        work.config.hooks.pause_ttl_s,
        ref.token,
        workspace=work.workspace,
        state_from={State.SWITCHED},
        state_to=State.ROLLBACK_FROZEN,
        approval=approval,
    )
    failpoints.reached("rollback.frozen")


def freeze_route(ref: Ref) -> None:
    """A pause of its own, whatever the state, which stays. One of this run that holds is taken as it is."""
    work = open_work(ref)
    if telling.held_pause(work) is None:
        ttl_s = work.config.hooks.pause_ttl_s
        work.ledger.pause_writes(
            work.migration.route, ref.migration, ttl_s, ref.token, workspace=work.workspace, state_to=None
        )
    failpoints.reached("rollback.route_frozen")


def commit_route(ref: Ref, approval: int) -> None:
    """Move the route back alone, in one transaction: the new store keeps what the old one has not got."""
    work = open_work(ref)
    if not _moved(work):
        _switch(work, State.SWITCHED, State.ROLLED_BACK_UNMERGED, "route moved back, unmerged", approval)
    failpoints.reached("rollback.route_moved")


def commit_merge(ref: Ref, approval: int) -> None:
    """The merge is done: state ROLLED_BACK, and where a copy took the place of files, the route leads to it."""
    work = open_work(ref)
    if work.migration.state is State.ROLLED_BACK:
        return
    if work.route().url == str(old_address(work)):
        work.move(State.ROLLED_BACK_UNMERGED, State.ROLLED_BACK, event="merged")
    else:
        _require_old_files(work)
        _switch(work, State.ROLLED_BACK_UNMERGED, State.ROLLED_BACK, "merged", approval)
    failpoints.reached("merge.ended")


def commit_return(ref: Ref) -> None:
    """Move the route back in one transaction, under the pause. A second call finds it moved and does nothing."""
    work = open_work(ref)
    if _moved(work):
        return
    _require_old_files(work)
    work.move(State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, event="about to switch back")
    failpoints.reached("rollback.before_switch")
    _switch(work, State.ROLLBACK_SWITCHING, State.ROLLBACK_SWITCHING, "route moved back")
    failpoints.reached("rollback.switched")


def _switch(work: Work, state_from: State, state_to: State, event: str, approval: int | None = None) -> None:
    """The one transaction, under the pause that holds."""
    old, hook = old_address(work), work.config.hooks.switch
    pause = work.pause()
    work.ledger.switch_route(
        work.migration.id,
        work.migration.route,
        expected_epoch=work.route().epoch,
        to_url=str(old),
        state_from=state_from,
        state_to=state_to,
        token=work.ref.token,
        event=event,
        alias=work.alias_plan().intent(old),
        approval=approval,
        workspace=work.workspace,
        pause_token=None if pause is None else pause.token,
        needs_s=0.0 if hook is None else hook.timeout_s,
    )


def _require_old_files(work: Work) -> None:
    """Raise UnsafeRoute where the old files were written since they were copied."""
    copied = work.fact(WAY_BACK_FACT)
    if copied is None:
        return
    handles.release(work.config.source.address())
    old = handles.source(work.config.source.address())
    if retry.call(work.config.retry_budget_s, old.fingerprint) != copied["fingerprint"]:
        raise UnsafeRoute(
            f"{work.config.source.public()} was written since it was copied to {copied['url']}",
            advice="bring these rows into the copy by hand, or put the old files back as they were",
        )


def follow_alias_back(ref: Ref) -> None:
    """Let the engine's alias follow the route, and read it back. Raises UnsafeRoute."""
    work = open_work(ref)
    plan = work.alias_plan()
    if plan.follows:
        work.check()
        plan.point_at(old_address(work))
        failpoints.reached("rollback.alias_set")
        plan.require(old_address(work))
        work.ledger.confirm_alias(work.migration.route, work.route().epoch)


def check_return(ref: Ref) -> None:
    """The route leads to the old store, and that answers. Raises UnsafeRoute; writes stay paused then."""
    work = open_work(ref)
    old, route = old_address(work), work.route()
    if route.url != str(old):
        raise UnsafeRoute(
            f"route {work.migration.route!r} serves {route.url}, expected was {old}",
            advice=f"look at vecferry status {ref.migration} --detailed before anything else",
        )
    handles.release(old)
    retry.call(work.config.retry_budget_s, lambda: old_store(work).count())


def end_return(ref: Ref) -> None:
    """All follow the route: state ROLLED_BACK."""
    work = open_work(ref)
    work.move(State.ROLLBACK_SWITCHING, State.ROLLED_BACK, event="rolled back")
    failpoints.reached("rollback.ended")


def keep_return(ref: Ref, written: MergeCounts, last: Weighed, late: Late) -> dict[str, object]:
    """Keep what the way back did, once the writes are released and the new store was looked at for the last time."""
    work = open_work(ref)
    pause = work.pause()
    left = ("kept", "conflicts", "aside")
    counts = {**_altogether(work, written), **{name: last.counts.numbers()[name] for name in left}}
    found: dict[str, object] = {**counts, "url": work.route().url, "listed": last.listed}
    if pause is not None and pause.released_at is not None:
        found["paused_s"] = round((pause.released_at - pause.paused_at).total_seconds(), 3)
    found["late"] = plain.to_plain(late.counts)
    found["late_list"] = late.listed
    work.ledger.set_fact(ref.migration, RETURN_FACT, found, ref.token)
    return found


def _altogether(work: Work, written: MergeCounts) -> dict[str, int]:
    """What was written, and by an earlier part of the same way back."""
    before = work.fact(RETURN_FACT) or {}
    return {name: count + int(before.get(name, 0)) for name, count in written.numbers().items()}


def undo_return(ref: Ref) -> None:
    """Back to SWITCHED, and writes released, unless the route moved. Does nothing a second time."""
    work = open_work(ref)
    if _moved(work):
        return
    work.move(State.ROLLBACK_SWITCHING, State.ROLLBACK_FROZEN, event="not switched back")
    work.move(State.ROLLBACK_FROZEN, State.SWITCHED, event="way back undone")
    failpoints.reached("rollback.undone")
    work.release()
    handles.release(old_address(work))
    release_writes(ref)
