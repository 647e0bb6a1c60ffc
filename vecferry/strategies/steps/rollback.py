"""The way back: is the new store as it was when it was proven, then the route returns."""

from __future__ import annotations

from vecferry import failpoints
from vecferry.errors import NotFound, UnsafeRoute
from vecferry.ledger import State
from vecferry.model import Slice
from vecferry.routing import aliases
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work
from vecferry.transfer import handles, retry
from vecferry.transfer.scan import Changes, target_changes

__all__ = ["check_target", "preflight_rollback", "require_no_new_writes", "switch_back"]


def preflight_rollback(ref: Ref) -> None:
    """Raise UnsafeRoute where a rollback cannot work: wrong state, or the old store is gone."""
    work = open_work(ref)
    if work.migration.state is not State.SWITCHED:
        raise UnsafeRoute(
            f"migration {ref.migration} is {work.migration.state}; only a SWITCHED one can be rolled back",
            advice=f"vecferry status {ref.migration} shows what can be done now",
        )
    handles.release(work.config.source.address())
    try:
        source = work.source()
        retry.call(work.config.retry_budget_s, source.count)
    except NotFound as error:
        raise UnsafeRoute(
            f"the old store {work.config.source.public()} is gone: {error}",
            advice="the route stays on the new store; restore the archive into a new collection: "
            f"vecferry restore {work.archive_folder} URL",
        ) from error


def check_target(ref: Ref) -> Changes:
    """Compare the new store with what was read back for its verdict: rows written since."""
    work = open_work(ref)
    handles.release(work.config.target.address())
    reader = work.reader()
    slices: list[Slice] = reader.slices(1)
    return retry.call(
        work.config.retry_budget_s,
        lambda: target_changes(reader, slices, work.archive, work.config.batch_rows),
    )


def require_no_new_writes(ref: Ref, changes: Changes, *, leave: bool) -> None:
    """Raise UnsafeRoute, listing rows, when the new store was written since its verdict and `leave` is not given."""
    if not changes or leave:
        return
    raise UnsafeRoute(
        f"the new store was written since its verdict: {changes}; the old store does not have these",
        advice="--leave-new-writes rolls back all the same; the rows stay in the new store, which is not dropped",
    )


def switch_back(ref: Ref, left: Changes) -> None:
    """Move the route back in one transaction: SWITCHED -> ROLLED_BACK. Drops nothing."""
    work = open_work(ref)
    if work.migration.state is State.ROLLED_BACK:
        return
    alias = aliases.plan(work.config.source.address(), work.config.target.address(), work.migration.route)
    work.ledger.set_fact(ref.migration, "left behind", left.counts(), ref.token)
    failpoints.reached("rollback.before_switch")
    work.ledger.switch_route(
        ref.migration,
        work.migration.route,
        expected_epoch=work.route().epoch,
        to_url=str(work.config.source.public()),
        state_from=State.SWITCHED,
        state_to=State.ROLLED_BACK,
        token=ref.token,
        event="rolled back",
        alias=alias.intent(work.config.source.public()),
    )
    failpoints.reached("rollback.switched")
