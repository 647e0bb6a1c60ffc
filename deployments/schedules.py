"""One place for every schedule: `python -m deployments.schedules list|pause|resume`.

Pausing stops each deployment that has schedules as a whole, so that resuming brings back exactly those schedules that
were on before. Runs that were started by hand go on, and can be started all the while: a rollback is never held up.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from enum import StrEnum

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from deployments.console import say, table
from vecferry.strategies.sheets import Sheet

__all__ = ["Verb", "deployed", "main", "pause", "resume", "scheduled", "sheet"]

TAG = "vecferry"
PAGE = 200


class Verb(StrEnum):
    """What can be done with all schedules."""

    LIST = "list"
    PAUSE = "pause"
    RESUME = "resume"


def deployed(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """All deployments of vecferry, by name."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(deployment_filter=ours, limit=PAGE, offset=len(found)):
        found += page
    return sorted(found, key=lambda one: one.name)


def scheduled(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Those that have a schedule, whether it is on or off."""
    return [one for one in deployed(client) if one.schedules]


def pause(client: SyncPrefectClient) -> list[str]:
    """Stop all of them, and remove the runs that are not due yet; the names of those that were not stopped before."""
    running = [one for one in scheduled(client) if not one.paused]
    for deployment in running:
        client.pause_deployment(deployment.id)
    return [one.name for one in running]


def resume(client: SyncPrefectClient) -> list[str]:
    """Let all of them go on, each schedule as it was; the names of those that were stopped."""
    stopped = [one for one in scheduled(client) if one.paused]
    for deployment in stopped:
        client.resume_deployment(deployment.id)
    return [one.name for one in stopped]


def sheet(deployments: Sequence[DeploymentResponse]) -> Sheet:
    """Each schedule: when it runs, and whether it does now."""
    rows = tuple(
        (one.name, _when(schedule), _state(one, schedule)) for one in deployments for schedule in one.schedules
    )
    return Sheet("schedules", "Schedules", ("deployment", "when", "now"), rows)


def _when(schedule: DeploymentSchedule) -> str:
    match schedule.schedule:
        case CronSchedule(cron=cron, timezone=timezone):
            return f"{cron} ({timezone or 'UTC'})"
        case IntervalSchedule(interval=interval):
            return f"every {interval}"
        case other:
            return str(other)


def _state(deployment: DeploymentResponse, schedule: DeploymentSchedule) -> str:
    if not schedule.active:
        return "off"
    return "paused" if deployment.paused else "on"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it on the server that the environment names; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deployments.schedules", description="All schedules at once.")
    parser.add_argument("verb", type=Verb, choices=list(Verb), help="show them, stop all, or let all go on")
    verb = parser.parse_args(arguments).verb
    with get_client(sync_client=True) as client:
        if verb is not Verb.LIST:
            for name in pause(client) if verb is Verb.PAUSE else resume(client):
                say(f"{name}: {'paused' if verb is Verb.PAUSE else 'resumed'}")
        table(sheet(scheduled(client)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
