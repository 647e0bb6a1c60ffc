"""Sync as a flow: on a schedule it keeps the target close to the source while an approval waits."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger

from flows.artifacts import progress_shown, show_table
from flows.migration import SETTINGS, advised
from flows.runner import PrefectRunner
from flows.schedules import end_schedules
from vecferry.errors import LeaseLost, LockHeld
from vecferry.ledger import Ledger
from vecferry.operations import sync as operations
from vecferry.strategies.runner import Ref
from vecferry.strategies.sync_sheets import sync_sheet

__all__ = ["sync"]


@flow(name="sync", flow_run_name="sync {migration_id}", **SETTINGS)
@advised
def sync(migration_id: str) -> dict[str, Any]:
    """Carry what changed in the source since it was read last into the target, and read it back.

    After the switch it carries what the new store received to the old one (or, on hold, only looks), and keeps the
    table of what a rollback would come to. Does nothing, and says so, where the migration's state has nothing to carry,
    another run works on it, or a rollback or its end went before it. Where the migration is over, however it ended, the
    schedule ends too.

    Args:
        migration_id: The migration whose target is kept close, as its run named it.
    """
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    try:
        with progress_shown():
            done = operations.sync(PrefectRunner(ledger.url), ref)
    except (LockHeld, LeaseLost) as error:
        get_run_logger().info("%s: the next run of the schedule looks again", error)
        show_table(sync_sheet(ref.migration, str(error), 0, None, None))
        return {"migration": ref.migration, "skipped": str(error), "carried": 0}
    end_schedules(ledger, ref.migration)
    if done.back is not None and done.back.problem is not None:
        raise done.back.problem
    return {"migration": ref.migration, "skipped": done.skipped, "carried": done.carried}
