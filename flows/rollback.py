"""The way back from a blue-green migration: a flow of its own, driven by the ledger, safe to run again."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.migration import SETTINGS, advised, end_of, show_end
from flows.runner import PrefectRunner
from vecferry.ledger import Ledger
from vecferry.operations import routes
from vecferry.strategies.runner import Ref

__all__ = ["rollback"]


@flow(name="rollback", flow_run_name="roll back {migration_id}", **SETTINGS)
@advised
def rollback(migration_id: str, leave_new_writes: bool = False) -> dict[str, Any]:
    """Send the route back to the old store. Drops nothing: the new store stays as it is.

    Args:
        migration_id: The migration to take back, as the blue-green run named it.
        leave_new_writes: Go back even if the new store was written since its verdict; those records stay there.
    """
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    changes = routes.rollback(PrefectRunner(ledger.url), ref, leave_new_writes=leave_new_writes)
    show_end(ledger, ref)
    return end_of(ledger, ref) | {"left_behind": changes.counts()}
