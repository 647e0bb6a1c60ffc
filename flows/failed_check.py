"""The one automatic rollback, for a run that died between a failed check and its own way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import flow, get_run_logger

from flows.migration import SETTINGS, advised
from flows.outbox import CHOICE
from flows.rollback import rollback_blue_green
from flows.rolling import rollback_workspaces
from flows.snapshot_restore import rollback_snapshot_restore
from vecferry.ledger import Ledger, Migration, State

__all__ = ["PROBLEM", "ROLLBACKS", "after_failed_check"]

PROBLEM = "problem"
"""Detail of the step to SWITCHED: what the check found, absent where it found nothing."""

ROLLBACKS: dict[str, Callable[..., Any]] = {
    "blue-green": rollback_blue_green,
    "snapshot-restore": rollback_snapshot_restore,
}
"""The way back of each strategy."""


@flow(name="after-failed-check", flow_run_name="after the failed check of {migration_id}", **SETTINGS)
@advised
def after_failed_check(migration_id: str) -> dict[str, Any]:
    """Roll back if the check after the switch failed, the approver had chosen so, and no write came in between.

    Started by an automation, whose event may be old: what is true now decides.

    Args:
        migration_id: The migration whose check failed, or that of a single workspace.
    """
    ledger = Ledger.open()
    migration = ledger.migration(migration_id)
    why_not = _why_not(ledger, migration)
    if why_not:
        get_run_logger().info("%s: nothing is rolled back, %s", migration.id, why_not)
        return {"migration": migration.id, "rolled_back": False, "why_not": why_not}
    if migration.parent is not None:
        rollback_workspaces(migration.parent, names=(str(migration.workspace),))
    else:
        ROLLBACKS[migration.strategy](migration.id)
    return {"migration": migration.id, "rolled_back": True, "why_not": ""}


def _why_not(ledger: Ledger, migration: Migration) -> str:
    """Why nothing is to be done without a person; `""` if it is."""
    if migration.config.get(CHOICE) != "rollback":
        return "because nobody had chosen that"
    if migration.state is not State.SWITCHED:
        return f"because it is {migration.state}"
    steps = [entry.detail for entry in ledger.audit(migration.id) if entry.detail.get("to") == State.SWITCHED]
    if not (steps and steps[-1].get(PROBLEM)):
        return "because the check of its last switch found nothing"
    asked = ledger.ask_route(migration.route, migration.workspace)
    if asked is None or asked.pause is None:
        return "because writes go on in the new store: a person decides what becomes of them"
    known = migration.parent is not None or migration.strategy in ROLLBACKS
    return "" if known else f"because {migration.strategy} has no way back by itself"
