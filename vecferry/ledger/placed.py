"""Rows of routes: that of the whole collection, and those of workspaces that were moved apart from it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from vecferry.errors import NotFound
from vecferry.ledger.database import Write
from vecferry.ledger.rows import DEFAULT_WORKSPACE, Route
from vecferry.ledger.schema import routes, workspace_routes

__all__ = ["change", "effective", "entry_route", "known_route", "known_whole", "route_row", "whole"]


def route_row(connection: Connection, name: str) -> Row[Any] | None:
    """The row of the whole collection's route."""
    return connection.execute(select(routes).where(routes.c.name == name)).one_or_none()


def known_route(connection: Connection, name: str) -> Row[Any]:
    """The row of the whole collection's route. Raises NotFound."""
    row = route_row(connection, name)
    if row is None:
        raise NotFound(f"there is no route {name}", advice="`vecferry list` shows the migrations and their routes")
    return row


def whole(row: Row[Any]) -> Route:
    """The route of the whole collection as data."""
    return Route(**row._asdict())


def known_whole(connection: Connection, name: str) -> Route:
    """The route of the whole collection. Raises NotFound."""
    return whole(known_route(connection, name))


def effective(connection: Connection, name: str, workspace: str | None) -> Route | None:
    """What serves a workspace: its own entry, else (the default group, and groups nobody knows) the whole's."""
    row = route_row(connection, name)
    if row is None:
        return None
    own = (workspace_routes.c.route == name) & (workspace_routes.c.workspace == (workspace or ""))
    entry = connection.execute(select(workspace_routes).where(own)).one_or_none()
    return whole(row) if entry is None else entry_route(entry)


def entry_route(row: Row[Any]) -> Route:
    """A workspace's entry as data."""
    content = row._asdict()
    content["name"] = content.pop("route")
    return Route(**content, alias=None, alias_confirmed_at=None)


def change(write: Write, name: str, workspace: str | None, migration_id: str, **values: Any) -> Route:
    """Change the entry of a workspace, or of the whole collection, within a transaction; the route after it."""
    if workspace is None or workspace == DEFAULT_WORKSPACE:
        write.connection.execute(update(routes).where(routes.c.name == name).values(**values))
        return known_whole(write.connection, name)
    own = (workspace_routes.c.route == name) & (workspace_routes.c.workspace == workspace)
    content = {key: value for key, value in values.items() if key in workspace_routes.c} | {"migration": migration_id}
    if not write.connection.execute(update(workspace_routes).where(own).values(**content)).rowcount:
        key = {"route": name, "workspace": workspace}
        write.connection.execute(insert(workspace_routes).values(**key, **content))
    entry = write.connection.execute(select(workspace_routes).where(own)).one()
    return entry_route(entry)
