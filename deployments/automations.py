"""What Prefect does by itself: two automations, made or brought up to date by `python -m deployments.automations`.

They are found by name, so that a second run changes nothing and doubles nothing. Whether one is switched on or off in
the UI is left as it is.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import cache

from prefect import Flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

import flows
from deployments.console import complain, say
from deployments.local_server import ServerError
from flows.failed_check import PROBLEM
from flows.outbox import CHOICE, RESOURCE
from vecferry.ledger import State
from vecferry.ledger.outbox import event_name

__all__ = ["BEAT_S", "FAILED_CHECK", "NO_HEARTBEAT", "ROLLBACK", "SWITCHED", "apply", "flow_names", "wanted"]

BEAT_S = 30
"""Between two heartbeats of a flow run, as prefect.yaml sets it; Prefect allows no shorter time."""

SWITCHED = event_name("migration", State.SWITCHED)
"""The event of a switch; with a label `vecferry.problem` where the check after it found something wrong."""

ROLLBACK = "after-failed-check/after-failed-check"
"""The deployment that looks whether a failed check is to be followed by a rollback, and rolls back."""

FAILED_CHECK = "vecferry: roll back after a failed check"
NO_HEARTBEAT = "vecferry: no heartbeat"
BEAT = "prefect.flow-run.heartbeat"
ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
WAITS = ("Paused", "Suspended", "Scheduled", "AwaitingRetry")
"""States in which a run may be without a process. A pause keeps its process, so its heart goes on."""


def wanted(client: SyncPrefectClient) -> list[AutomationCore]:
    """The automations as they should be. Raises ServerError where a deployment is missing."""
    return [_no_heartbeat(), _after_a_failed_check(client)]


def apply(client: SyncPrefectClient) -> list[str]:
    """Make what is missing, bring up to date what differs, remove doubles; what was done, a line for each."""
    return [_apply(client, automation) for automation in wanted(client)]


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> str:
    known = sorted(client.read_automations_by_name(automation.name), key=lambda one: str(one.id))
    if not known:
        client.create_automation(automation)
        return f"made: {automation.name}"
    for double in known[1:]:
        client.delete_automation(double.id)
    kept = known[0]
    if _same(kept, automation):
        return f"unchanged: {automation.name}"
    client.update_automation(kept.id, automation.model_copy(update={"enabled": kept.enabled}))
    return f"updated: {automation.name}"


def _same(known: Automation, automation: AutomationCore) -> bool:
    """Whether the server has what is wanted; it adds ids of its own to triggers."""
    parts = ("description", "trigger", "actions")
    return all(_plain(getattr(known, part)) == _plain(getattr(automation, part)) for part in parts)


def _plain(part: object) -> object:
    if isinstance(part, list):
        return [_plain(one) for one in part]
    # As Python, not as JSON: names of events are sets, whose order as lists is any.
    return part.model_dump(exclude={"id"}) if isinstance(part, BaseModel) else part


def _after_a_failed_check(client: SyncPrefectClient) -> AutomationCore:
    """The one automatic rollback: the approver had chosen it, and the run that was to do it has died."""
    try:
        found = client.read_deployment_by_name(ROLLBACK)
    except ObjectNotFound as error:
        raise ServerError(f"the deployment {ROLLBACK} is missing; first: prefect deploy --all") from error
    migration = {"__prefect_kind": "jinja", "template": "{{ event.payload.migration }}"}
    return AutomationCore(
        name=FAILED_CHECK,
        description="The check after the switch failed, and the approver had chosen to go back by itself.",
        trigger=EventTrigger(
            expect={SWITCHED, event_name("workspace", State.SWITCHED)},
            match={
                "prefect.resource.id": f"{RESOURCE}.*",
                f"vecferry.{PROBLEM}": "*",
                f"vecferry.{CHOICE}": "rollback",
            },
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            RunDeployment(
                source="selected", deployment_id=found.id, parameters={"migration_id": migration}, job_variables=None
            )
        ],
    )


def _no_heartbeat() -> AutomationCore:
    """A run whose process and worker were killed together says nothing: it would be Running for ever."""
    beats = {BEAT, "prefect.flow-run.Running"}
    return AutomationCore(
        name=NO_HEARTBEAT,
        description="A flow run of vecferry missed three heartbeats and neither ended nor waits.",
        trigger=EventTrigger(
            after=beats,
            expect={BEAT, *(f"prefect.flow-run.{state}" for state in (*ENDS, *WAITS))},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": sorted(flow_names())},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=3 * BEAT_S),
        ),
        actions=[
            ChangeFlowRunState(
                name=None,
                state=StateType.CRASHED,
                force=False,
                message="No heartbeat: the process is gone. The ledger knows what is done: run it with migration_id.",
            )
        ],
    )


@cache
def flow_names() -> frozenset[str]:
    """The names of all flows; those that start as part of another one have no tag to know them by."""
    return frozenset(flow.name for module in _modules() for flow in vars(module).values() if isinstance(flow, Flow))


def _modules() -> Iterator[object]:
    for found in pkgutil.iter_modules(flows.__path__):
        yield importlib.import_module(f"{flows.__name__}.{found.name}")


def main() -> int:
    """Apply them to the server that the environment names; the exit code."""
    try:
        with get_client(sync_client=True) as client:
            for line in apply(client):
                say(line)
    except ServerError as error:
        complain(str(error))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
