"""Which store serves, the way back, and removing what was left behind."""

from __future__ import annotations

from vecferry.errors import NotFound, UnsafeRoute
from vecferry.ledger import Ledger, State
from vecferry.operations.serving import route
from vecferry.strategies.lease import working
from vecferry.strategies.rollback import rollback as run_rollback
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.work import open_work
from vecferry.transfer import handles
from vecferry.transfer.scan import Changes

__all__ = ["discard", "rollback", "route"]


def rollback(runner: Runner, ref: Ref, *, leave_new_writes: bool = False) -> Changes:
    """Switch a migration's route back. Drops nothing; refuses (exit 5) where newer writes would be lost from sight."""
    return run_rollback(runner, ref, leave_new_writes=leave_new_writes)


def discard(ledger: Ledger, migration_id: str) -> str:
    """Drop the target that this migration created. Returns its URL.

    Raises UnsafeRoute while a route names it or the migration is live, NotFound when nothing is there.
    """
    migration = ledger.migration(migration_id)
    if migration.state not in (State.ABORTED, State.ROLLED_BACK):
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state}; only what an ended one left behind can be discarded",
            advice=f"vecferry abort {migration.id} ends it before the switch, vecferry rollback {migration.id} after",
        )
    serving = [item.name for item in ledger.routes_naming(migration.target_url)]
    if serving:
        raise UnsafeRoute(f"{migration.target_url} serves the route {serving[0]!r}; it is not dropped")
    with working(Ref(ledger.url, migration.id)) as held:
        work = open_work(held)
        target = handles.target(work.config.target.address())
        if not target.exists():
            raise NotFound(f"{migration.target_url} is not there (any more)")
        mark = (target.mark() or {}).get("migration")
        if mark != migration.id:
            raise UnsafeRoute(f"{migration.target_url} bears the mark of {mark or 'nobody'}; it is not dropped")
        target.drop()
        ledger.set_fact(migration.id, "discarded", {"target": migration.target_url}, held.token)
    return migration.target_url
