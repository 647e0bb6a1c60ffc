"""Pauses within a transaction: looking at them, requiring one, ending them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, select, update

from vecferry.errors import UnsafeRoute
from vecferry.ledger import audit
from vecferry.ledger.database import Write
from vecferry.ledger.rows import DEFAULT_WORKSPACE, Pause
from vecferry.ledger.schema import migrations, pauses
from vecferry.ledger.states import State

__all__ = ["end", "find", "of_subject", "pause_of", "require_pause", "scope"]

_PAUSE = select(pauses).where((pauses.c.route == bindparam("of")) & (pauses.c.workspace == bindparam("asked")))


def scope(workspace: str | None) -> str:
    """What a pause covers, as stored: the default group moves under a pause of the whole collection."""
    return "" if workspace in (None, DEFAULT_WORKSPACE) else str(workspace)


def find(connection: Connection, name: str, workspace: str | None) -> Row[Any] | None:
    """The last pause of a route, or of one workspace of it, whether it holds or not."""
    return connection.execute(_PAUSE, {"of": name, "asked": scope(workspace)}).one_or_none()


def require_pause(
    connection: Connection, now: datetime, name: str, workspace: str | None, token: int, needs_s: float
) -> Pause:
    """The pause of this token, if it holds for `needs_s` yet. Raises UnsafeRoute saying what became of it."""
    row = find(connection, name, workspace)
    reason = _reason_against(row, now, token, needs_s)
    if row is None or reason:
        raise UnsafeRoute(
            f"the pause {token} of route {name} {reason}",
            advice="nothing was switched; writes may have gone on since, so pause again and look again",
        )
    return pause_of(row)


def _reason_against(row: Row[Any] | None, now: datetime, token: int, needs_s: float) -> str:
    if row is None:
        return "does not exist"
    if row.token != token:
        return f"was replaced by {row.token}"
    if row.released_at is not None:
        return f"was released at {row.released_at:%H:%M:%S} UTC by {row.released_by}"
    if row.paused_until <= now:
        return f"ended at {row.paused_until:%H:%M:%S} UTC"
    left_s = (row.paused_until - now).total_seconds()
    return "" if row.paused_until - now >= timedelta(seconds=needs_s) else f"ends in {left_s:g} s, {needs_s:g} s needed"


def of_subject(migration_id: str, workspace: str | None) -> ColumnElement[bool]:
    """Pauses of a migration and of those that move its workspaces; those of one workspace only where one is named."""
    children = select(migrations.c.id).where(migrations.c.parent == migration_id)
    mine = (pauses.c.migration == migration_id) | pauses.c.migration.in_(children)
    return mine if workspace is None else mine & (pauses.c.workspace == scope(workspace))


def end(write: Write, which: ColumnElement[bool], by: str) -> list[Pause]:
    """Release what is not released of these pauses, within a transaction, and tell the trail; those released."""
    rows = write.connection.execute(select(pauses).where(which, pauses.c.released_at.is_(None))).all()
    for row in rows:
        mine = (pauses.c.route == row.route) & (pauses.c.workspace == row.workspace)
        write.connection.execute(update(pauses).where(mine).values(released_at=write.now, released_by=by))
        late = row.paused_until <= write.now
        detail = {"route": row.route, "workspace": row.workspace or None, "pause": row.token, "by": by, "late": late}
        audit.append(write, "writes released", row.migration, detail)
    return [pause_of(row) for row in rows]


def pause_of(row: Row[Any]) -> Pause:
    """A row as data."""
    returns_to = None if row.returns_to is None else State(row.returns_to)
    return Pause(**row._asdict() | {"workspace": row.workspace or None, "returns_to": returns_to})
