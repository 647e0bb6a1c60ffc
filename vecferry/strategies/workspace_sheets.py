"""The workspaces of a rolling migration, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from vecferry.ledger import Workspace
from vecferry.strategies.sheets import Sheet

__all__ = ["workspace_rows", "workspaces_sheet"]

_MAX_SHOWN = 1000


def workspaces_sheet(migration: str, found: Sequence[Workspace]) -> Sheet:
    """One row for each, in the order of work; how many are in which state."""
    rows = tuple(
        (one.key, f"{one.rows:,}", f"{one.state}{f', {one.hold}' if one.hold else ''}", one.child, one.note)
        for one in found[:_MAX_SHOWN]
    )
    counts = Counter(one.state.value for one in found)
    total = sum(one.rows for one in found)
    note = f"{len(found):,} workspaces, {total:,} records: " + ", ".join(
        f"{n:,} {state}" for state, n in counts.items()
    )
    if len(found) > _MAX_SHOWN:
        note += f"; the first {_MAX_SHOWN:,} are shown"
    header = ("workspace", "records", "state", "migration", "note")
    return Sheet("workspaces", f"Workspaces of {migration}", header, rows, note if found else "")


def workspace_rows(found: Sequence[Workspace]) -> list[dict[str, Any]]:
    """The workspaces of a rolling migration, as JSON values."""
    return [
        {
            "workspace": one.key,
            "records": one.rows,
            "state": one.state.value,
            "hold": None if one.hold is None else one.hold.value,
            "attempts": one.attempts,
            "note": one.note,
            "migration": one.child,
        }
        for one in found
    ]
