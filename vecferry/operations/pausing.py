"""Ending a pause by hand, and looking at all that follows a route."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.errors import VecferryError
from vecferry.ledger import Ledger, Pause
from vecferry.operations.workspaces import children_paused
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.strategies.telling import Observed

__all__ = ["Unpaused", "observe", "unpause"]


@dataclass(frozen=True, slots=True)
class Unpaused:
    """The pauses that were released just now, and why the application could not be told of it, where it could not."""

    released: tuple[Pause, ...]
    error: VecferryError | None


def unpause(ledger: Ledger, migration_id: str, by: str) -> Unpaused:
    """Release every pause of a migration, and tell route file and application, also of pauses that had ended.

    A run that is under way finds its pause gone and does not switch. Raises NotFound.
    """
    migration = ledger.migration(migration_id)
    released = ledger.unpause(migration.id, by)
    failed = None
    for name in children_paused(ledger, migration.id):
        try:
            steps.release_writes(Ref(ledger.url, name), by)
        except VecferryError as error:
            failed = error
    return Unpaused(tuple(released), failed)


def observe(ledger: Ledger, migration_id: str) -> Observed:
    """What the ledger says of a migration's route, and what alias, route file and application say."""
    return steps.observe_route(Ref(ledger.url, migration_id))
