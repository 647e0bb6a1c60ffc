"""The end of a migration as flows: complete, decommission, discard, abort. Each is safe to run again."""

from __future__ import annotations

from typing import Any

from httpx import HTTPError
from prefect import flow, get_client, get_run_logger
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.exceptions import PrefectException

from flows.artifacts import progress_shown
from flows.migration import SETTINGS, advised, end_of, show_end
from flows.runner import PrefectRunner
from vecferry.ledger import Ledger
from vecferry.operations import ending
from vecferry.strategies.runner import Ref

__all__ = ["abort", "complete", "decommission", "discard"]

_TAG, _PAGE = "vecferry", 200


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
    end_schedules(ref.migration)
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
    end_schedules(ref.migration)
    show_end(ledger, ref)
    if done.error is not None:
        raise done.error
    return end_of(ledger, ref) | {"fenced": list(done.fenced)}


def end_schedules(migration_id: str) -> list[str]:
    """Stop the deployments that are scheduled for this migration alone; their names.

    A run of a schedule that goes on all the same finds nothing to do, so a server out of reach is told, not raised.
    """
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[_TAG]))
    stopped: list[str] = []
    try:
        with get_client(sync_client=True) as client:
            offset = 0
            while page := client.read_deployments(deployment_filter=ours, limit=_PAGE, offset=offset):
                offset += len(page)
                mine = [one for one in page if one.parameters.get("migration_id") == migration_id]
                for one in mine:
                    if one.schedules and not one.paused:
                        client.pause_deployment(one.id)
                        stopped.append(one.name)
    except (HTTPError, PrefectException) as error:
        get_run_logger().warning("schedules of %s were not looked for: %s", migration_id, error)
    for name in stopped:
        get_run_logger().info("the schedule of %s is ended", name)
    return stopped


def _named(migration_id: str) -> tuple[Ledger, Ref]:
    ledger = Ledger.open()
    return ledger, Ref(ledger.url, ledger.migration(migration_id).id)
