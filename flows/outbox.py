"""The ledger's outbox, emptied into Prefect's events: each step of a migration, at least once, under one id."""

from __future__ import annotations

from typing import Any

from httpx import HTTPError
from prefect import get_client, get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import PrefectException

from vecferry.errors import VecferryError
from vecferry.ledger import Event, Ledger

__all__ = ["CHOICE", "RESOURCE", "resource_of", "send", "try_to_send"]

RESOURCE = "vecferry.migration"
"""Events are about `vecferry.migration.ID`."""

CHOICE = "on_check_failed"
"""Field of the configuration in which the approver chose what a failed check leads to."""

BATCH = 100


def send(ledger: Ledger, limit: int | None = None) -> int:
    """Send what waits (at most `limit` events), the oldest first; how many were sent.

    An event is marked as sent once the server has taken it: `emit_event` would hand it to a thread and know nothing
    of its fate. Who dies in between sends it again, and the server drops the second one, by its id.
    """
    sent = 0
    with get_client(sync_client=True) as client:
        while limit is None or sent < limit:
            events = ledger.unsent_events(BATCH if limit is None else min(BATCH, limit - sent))
            if not events:
                break
            _post(client, [_told(ledger, event) for event in events])
            ledger.mark_sent([event.id for event in events])
            sent += len(events)
    return sent


def try_to_send(ledger: Ledger) -> None:
    """Send what waits; if the server is away, it goes on waiting, and nobody is stopped by it."""
    try:
        send(ledger)
    except (HTTPError, PrefectException, VecferryError) as error:
        get_run_logger().warning("events were not sent, the next run sends them: %s", error)


def _post(client: SyncPrefectClient, events: list[dict[str, Any]]) -> None:
    client.request("POST", "/events", json=events).raise_for_status()


def _told(ledger: Ledger, event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "event": event.event,
        "occurred": event.at.isoformat(),
        "resource": resource_of(ledger, event),
        "payload": event.payload,
    }


def resource_of(ledger: Ledger, event: Event) -> dict[str, str]:
    """What the event is about, as labels: automations can ask for labels, not for what is in a payload."""
    if event.migration is None:
        return {"prefect.resource.id": "vecferry.ledger"}
    migration = ledger.migration(event.migration)
    known = {"strategy": migration.strategy, "route": migration.route, CHOICE: migration.config.get(CHOICE)}
    detail = event.payload.get("detail")
    step = {end: event.payload.get(end) for end in ("from", "to")}
    told = {**(detail if isinstance(detail, dict) else {}), **step, **known}
    labels = {name: str(value) for name, value in told.items() if isinstance(value, str | int | float | bool)}
    return {
        "prefect.resource.id": f"{RESOURCE}.{migration.id}",
        "prefect.resource.name": migration.id,
        **{f"vecferry.{name}": value for name, value in labels.items()},
    }
