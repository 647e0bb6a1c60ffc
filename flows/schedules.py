"""Schedules of a migration that is over: its syncs have nothing to do any more, so they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from httpx import HTTPError
from prefect import get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import PrefectException

from vecferry.errors import NotFound
from vecferry.ledger import ENDED, Ledger

__all__ = ["end_schedules"]

_TAG, _PAGE = "vecferry", 200


def end_schedules(ledger: Ledger, migration_id: str) -> list[str]:
    """Switch off what is scheduled for this migration alone, if that has ended; the names of the deployments.

    A deployment as a whole is left as it is: its next migration needs a parameter and the schedule on again, no more.
    A server out of reach is told, not raised: the next run of the schedule ends it, whoever ended the migration.
    """
    if ledger.migration(migration_id).state not in ENDED:
        return []
    stopped: list[str] = []
    try:
        with get_client(sync_client=True) as client:
            for deployment in _deployments(client):
                for schedule in deployment.schedules:
                    given = {**deployment.parameters, **schedule.parameters}.get("migration_id")
                    if schedule.active and _means(ledger, given, migration_id):
                        client.update_deployment_schedule(deployment.id, schedule.id, active=False)
                        stopped.append(deployment.name)
    except (HTTPError, PrefectException) as error:
        get_run_logger().warning("schedules of %s were not looked for: %s", migration_id, error)
    for name in stopped:
        get_run_logger().info("the schedule of %s is ended", name)
    return stopped


def _deployments(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    ours, offset = DeploymentFilter(tags=DeploymentFilterTags(all_=[_TAG])), 0
    while page := client.read_deployments(deployment_filter=ours, limit=_PAGE, offset=offset):
        offset += len(page)
        yield from page


def _means(ledger: Ledger, given: Any, migration_id: str) -> bool:
    """Whether a parameter names this migration, by its id or the start of it."""
    try:
        return bool(given) and ledger.migration(str(given)).id == migration_id
    except NotFound:
        return False
