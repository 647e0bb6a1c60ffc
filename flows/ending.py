"""The end of a migration as flows: complete, decommission, discard, abort. Each is safe to run again."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import progress_shown
from flows.migration import SETTINGS, advised, end_of, show_end
from flows.runner import PrefectRunner
from vecferry.ledger import Ledger
from vecferry.operations import ending
from vecferry.strategies.runner import Ref

__all__ = ["abort", "complete", "decommission", "discard"]


@flow(name="complete", flow_run_name="complete {migration_id}", **SETTINGS)
@advised
def complete(migration_id: str, accept_late: str = "") -> dict[str, Any]:
    """End the way back of a switched migration, after a last look at the old store. Drops nothing.

    Args:
        migration_id: The migration to complete, as its run named it.
        accept_late: Digest of the late records that may stay behind, as an earlier run showed it.
    """
    ledger, ref = _named(migration_id)
    with progress_shown():
        done = ending.complete(PrefectRunner(ledger.url), ref, accept_late)
    show_end(ledger, ref)
    return end_of(ledger, ref) | {"already": done.already}


@flow(name="decommission", flow_run_name="decommission {migration_id}", **SETTINGS)
@advised
def decommission(migration_id: str, collection: str, accept_late: str = "") -> dict[str, Any]:
    """Drop the old collection of a completed migration, after one more look at it. Files are never deleted.

    Args:
        migration_id: The completed migration.
        collection: Name of the old collection, typed, so that nothing else is dropped by mistake.
        accept_late: Digest of the late records that may be lost, as an earlier run showed it.
    """
    ledger, ref = _named(migration_id)
    with progress_shown():
        done = ending.decommission(PrefectRunner(ledger.url), ref, collection, accept_late)
    return end_of(ledger, ref) | {"dropped": done.dropped, "already": done.already}


@flow(name="discard", flow_run_name="discard {migration_id}", **SETTINGS)
@advised
def discard(migration_id: str, accept_late: str = "") -> dict[str, Any]:
    """Drop the collection that an aborted or rolled back migration made and left behind.

    Args:
        migration_id: The aborted or rolled back migration.
        accept_late: Digest of records that only the new store has and that may be lost, as an earlier run showed it.
    """
    ledger, ref = _named(migration_id)
    with progress_shown():
        done = ending.discard(PrefectRunner(ledger.url), ref, accept_late)
    return end_of(ledger, ref) | {"dropped": done.dropped}


@flow(name="abort", flow_run_name="abort {migration_id}", **SETTINGS)
@advised
def abort(migration_id: str) -> dict[str, Any]:
    """End a migration before its switch: cut off the run at work, release the writes, end its schedules. Drops nothing.

    Args:
        migration_id: The migration to abort.
    """
    ledger, ref = _named(migration_id)
    done = ending.abort(ledger, ref.migration)
    show_end(ledger, ref)
    if done.error is not None:
        raise done.error
    return end_of(ledger, ref) | {"fenced": list(done.fenced)}


def _named(migration_id: str) -> tuple[Ledger, Ref]:
    ledger = Ledger.open()
    return ledger, Ref(ledger.url, ledger.migration(migration_id).id)
