"""The way back from a blue-green migration: a flow of its own, driven by the ledger, safe to run again."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow

from flows.migration import SETTINGS, advised, end_of, show_end
from flows.runner import PrefectRunner
from vecferry.ledger import Ledger
from vecferry.operations import routes
from vecferry.strategies.runner import Ref

__all__ = ["roll_back", "rollback"]


@flow(name="rollback", flow_run_name="roll back {migration_id}", **SETTINGS)
@advised
def rollback(
    migration_id: str, prefer: Literal["", "old", "new"] = "", allow_deletes: int = 0, allow_changes: int = 0
) -> dict[str, Any]:
    """Write what the new store received to the old one, and send the route back. Drops nothing.

    Where only the reads are new they go back, and nothing is written.

    Starting it is the approval. Records that both stores changed stop it, unless one side is preferred.

    Args:
        migration_id: The migration to take back, as the blue-green run named it.
        prefer: Which side wins where both changed a record; empty: stop, and list them.
        allow_deletes: Let so many deletes through that a brake held and showed; 0: none.
        allow_changes: Let so many changed records through that a brake held and showed; 0: none.
    """
    return roll_back(migration_id, prefer, allow_deletes, allow_changes)


def roll_back(migration_id: str, prefer: str, allow_deletes: int, allow_changes: int) -> dict[str, Any]:
    """The way back of any strategy; the state it ended in, and what was taken along."""
    ledger = Ledger.open()
    ref = Ref(ledger.url, ledger.migration(migration_id).id)
    said = routes.settlement(prefer or None, None, allow_deletes or None, allow_changes or None, by="a flow run")
    found = routes.rollback(PrefectRunner(ledger.url), ref, said)
    show_end(ledger, ref)
    return end_of(ledger, ref) | {"way_back": dict(found)}
