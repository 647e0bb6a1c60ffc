"""Rows that a change is about, or one clear error."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from vecferry.errors import NotFound
from vecferry.ledger.rows import Migration
from vecferry.ledger.schema import migrations, workspaces
from vecferry.ledger.states import State

__all__ = ["known", "known_workspace", "migration_of", "migration_row", "within"]

# Asked some hundred times for each workspace that moves: to make a statement anew costs more than to run it.
_WITHOUT_PLAN = [column for column in migrations.c if column is not migrations.c.plan]
_MIGRATION = select(*_WITHOUT_PLAN).where(migrations.c.id == bindparam("asked"))
_WORKSPACE = select(workspaces).where(
    (workspaces.c.migration == bindparam("of")) & (workspaces.c.key == bindparam("asked"))
)


def known(connection: Connection, migration_id: str) -> Row[Any]:
    """The row of a migration, without its plan. Raises NotFound."""
    row = migration_row(connection, migration_id)
    if row is None:
        raise NotFound(f"there is no migration {migration_id}", advice="`vecferry list` shows them")
    return row


def migration_row(connection: Connection, migration_id: str) -> Row[Any] | None:
    """The row of a migration, if there is one, without its plan."""
    return connection.execute(_MIGRATION, {"asked": migration_id}).one_or_none()


def migration_of(row: Row[Any]) -> Migration:
    """A row as data."""
    content = row._asdict()
    content["limit"] = content.pop("row_limit")
    content.pop("plan", None)
    return Migration(**content | {"state": State(row.state)})


def known_workspace(connection: Connection, migration_id: str, key: str) -> Row[Any]:
    """The row of a workspace, by its key. Raises NotFound."""
    row = connection.execute(_WORKSPACE, {"of": migration_id, "asked": key}).one_or_none()
    if row is None:
        advice = f"`vecferry status {migration_id}` shows its workspaces"
        raise NotFound(f"migration {migration_id} has no workspace {key}", advice=advice)
    return row


def within(connection: Connection, migration_id: str, key: str | None) -> str | None:
    """The workspace of a migration that a step names, None where it means the migration itself.

    A migration of one workspace means itself by that one's key. Raises NotFound for another key.
    """
    row = known(connection, migration_id)
    if row.parent is None or key is None:
        return key
    if key != row.workspace:
        raise NotFound(f"migration {migration_id} moves the workspace {row.workspace}, not {key}")
    return None
