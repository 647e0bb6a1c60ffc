"""Forward again after a rollback, from the copy that is there."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import progress_shown
from flows.migration import SETTINGS, advised, end_of, show_end
from flows.runner import PrefectRunner
from vecferry.ledger import Ledger
from vecferry.operations import forward as operations
from vecferry.strategies.runner import Ref

__all__ = ["forward"]


@flow(name="forward", flow_run_name="lead {migration_id} forward again", **SETTINGS)
@advised
def forward(migration_id: str, names: tuple[str, ...] = ()) -> dict[str, Any]:
    """After a rollback: go forward again without another copy. Passes bring the first one up to date, then it asks.

    The new store is read whole first; what nobody knows in it stops the run before anything is changed.

    Args:
        migration_id: The migration that was rolled back, as its run named it.
        names: Of a rolling migration, the workspaces to lead forward; empty for all that were rolled back.
    """
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    try:
        with progress_shown():
            operations.forward(PrefectRunner(ledger.url), ref, names)
    finally:
        show_end(ledger, ref)
    return end_of(ledger, ref)
