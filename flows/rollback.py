"""The way back, driven by the ledger and safe to run again: from a blue-green migration, or of any route alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect import flow

from flows.migration import SETTINGS, advised, end_of, show_end
from flows.runner import PrefectRunner
from vecferry.ledger import Ledger
from vecferry.operations import routes
from vecferry.strategies.returning import Settlement
from vecferry.strategies.runner import Ref

__all__ = ["Prefer", "merge", "roll_back", "rollback_blue_green", "rollback_route", "settled"]

Prefer = Literal["", "old", "new"]


@flow(name="rollback-blue-green", flow_run_name="roll back {migration_id}", **SETTINGS)
@advised
def rollback_blue_green(
    migration_id: str, prefer: Prefer = "", conflicts: str = "", allow_deletes: int = 0, allow_changes: int = 0
) -> dict[str, Any]:
    """Write what the new store received to the old one, and send the route back. Drops nothing.

    Where only the reads are new they go back, and nothing is written.

    Starting it is the approval. Records that both stores changed stop it, unless one side is preferred.

    Args:
        migration_id: The migration to take back, as the blue-green run named it.
        prefer: Which side wins where both changed a record; empty: stop, and list them.
        conflicts: File on the worker that decides each such record; the first run that finds any writes it.
        allow_deletes: Let so many deletes through that a brake held and showed; 0: none.
        allow_changes: Let so many changed records through that a brake held and showed; 0: none.
    """
    return roll_back(migration_id, settled(prefer, conflicts, allow_deletes, allow_changes))


@flow(name="rollback-route", flow_run_name="send the route of {migration_id} back alone", **SETTINGS)
@advised
def rollback_route(migration_id: str) -> dict[str, Any]:
    """The new store is the broken one: send the route back at once, without what it received. Merge brings that later.

    Starting it is the approval. The new store is not asked, and no record is written to either.

    Args:
        migration_id: The migration whose route goes back.
    """
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    routes.route_only(PrefectRunner(ledger.url), ref, settled("", "", 0, 0))
    show_end(ledger, ref)
    return end_of(ledger, ref)


@flow(name="merge", flow_run_name="merge what the new store of {migration_id} received", **SETTINGS)
@advised
def merge(
    migration_id: str, prefer: Prefer = "", conflicts: str = "", allow_deletes: int = 0, allow_changes: int = 0
) -> dict[str, Any]:
    """After the route went back alone: write what the new store had received to the old one, which serves meanwhile.

    Starting it is the approval. Records that both stores changed stop it, unless one side is preferred.

    Args:
        migration_id: The migration whose route went back.
        prefer: Which side wins where both changed a record; empty: stop, and list them.
        conflicts: File on the worker that decides each such record; the first run that finds any writes it.
        allow_deletes: Let so many deletes through that a brake held and showed; 0: none.
        allow_changes: Let so many changed records through that a brake held and showed; 0: none.
    """
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    said = settled(prefer, conflicts, allow_deletes, allow_changes)
    found = routes.merge(PrefectRunner(ledger.url), ref, said)
    show_end(ledger, ref)
    return end_of(ledger, ref) | {"way_back": dict(found)}


def settled(prefer: str, conflicts: str, allow_deletes: int, allow_changes: int) -> Settlement:
    """What the form of a way back says."""
    file = Path(conflicts) if conflicts else None
    return routes.settlement(prefer or None, file, allow_deletes or None, allow_changes or None, by="a flow run")


def roll_back(migration_id: str, said: Settlement) -> dict[str, Any]:
    """The way back of any strategy; the state it ended in, and what was taken along."""
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    found = routes.rollback(PrefectRunner(ledger.url), ref, said)
    show_end(ledger, ref)
    return end_of(ledger, ref) | {"way_back": dict(found)}
