"""All that a Prefect server must know: `python -m deployments.install`. It may run again at any time.

The work pool, every deployment of prefect.yaml, the block type for stores, the automations. `prefect deploy` alone puts
parameters and schedules back to those of prefect.yaml; what was set on the server since is kept here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse

from deployments import automations, blocks
from deployments.console import complain, say
from deployments.local_server import POOL, PROJECT, ServerError
from deployments.schedules import deployed

__all__ = ["install", "main"]


def install() -> None:
    """Make it known to the server that the environment names. Raises ServerError."""
    with get_client(sync_client=True) as client:
        before = {one.id: one for one in deployed(client)}
        _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
        _prefect("--no-prompt", "deploy", "--all")
        for name in _keep(client, before):
            say(f"kept as it was set: {name}")
        say(f"registered: {blocks.register()}")
        for line in automations.apply(client):
            say(line)


def _keep(client: SyncPrefectClient, before: Mapping[UUID, DeploymentResponse]) -> list[str]:
    """Give deployments back what was set before; the names of those that prefect.yaml would have changed."""
    kept = []
    for now in deployed(client):
        old = before.get(now.id)
        if old is None:
            continue
        wanted = _update(old, now)
        if wanted.model_dump(exclude_unset=True) != _update(now, now).model_dump(exclude_unset=True):
            client.update_deployment(now.id, wanted)
            kept.append(now.name)
    return kept


def _update(old: DeploymentResponse, now: DeploymentResponse) -> DeploymentUpdate:
    """The settings of `old` that `now` can have: parameters may have left the flow."""
    known = (now.parameter_openapi_schema or {}).get("properties", {})
    parameters = {name: value for name, value in old.parameters.items() if name in known}
    schedules = [
        DeploymentScheduleUpdate(schedule=one.schedule, active=one.active, parameters=one.parameters, slug=one.slug)
        for one in old.schedules or now.schedules
    ]
    return DeploymentUpdate(parameters=now.parameters | parameters, paused=old.paused, schedules=schedules)


def _prefect(*arguments: str) -> None:
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"prefect {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    say(f"done: prefect {' '.join(arguments)}")


def main() -> int:
    """Install; the exit code."""
    try:
        install()
    except ServerError as error:
        complain(str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
