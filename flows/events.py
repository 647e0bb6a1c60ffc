"""Sending the ledger's events, as a flow: for what a run that was killed could not send at its end."""

from __future__ import annotations

from prefect import flow

from flows.migration import SETTINGS, advised
from flows.outbox import send
from vecferry.ledger import Ledger

__all__ = ["send_events"]


@flow(name="send-events", flow_run_name="send events", **SETTINGS)
@advised
def send_events(limit: int = 10_000) -> dict[str, int]:
    """Tell Prefect of every step of a migration that it was not told of yet. Flows do so at their ends themselves.

    Args:
        limit: At most so many events in one run.
    """
    return {"sent": send(Ledger.open(), limit)}
