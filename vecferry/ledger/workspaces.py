"""Workspaces: the groups of records that a rolling migration moves one by one. Its own state is derived from theirs."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select, update

from vecferry import canonical
from vecferry.errors import ConfigError, NotFound, PlanRefused
from vecferry.ledger import audit, moves
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known, known_workspace, migration_of
from vecferry.ledger.leases import require
from vecferry.ledger.rows import Hold, Migration, Workspace
from vecferry.ledger.schema import migrations, workspaces
from vecferry.ledger.states import State
from vecferry.model import JsonObject

__all__ = [
    "Workspaces",
    "child_columns",
    "child_id",
    "key_of",
    "workspace_columns",
    "workspace_key",
    "workspace_value",
]


def workspace_key(value: Any) -> str:
    """The key of a group, from the value of its field: canonical JSON, so that 1, 1.0, "1", true and null are five.

    Records without the field are `MISSING_WORKSPACE`, all that are in no other group `DEFAULT_WORKSPACE`. Raises
    TypeError for a type that has no canonical form.
    """
    return canonical.encode(value).decode()


def workspace_value(key: str) -> Any:
    """The value of a key that `workspace_key` made. Raises ValueError for the two that stand for no value."""
    return canonical.decode(key)


def key_of(text: str, known: Collection[str] = ()) -> str:
    """The key of a workspace as a person writes it: a known key, a JSON value, or else a text."""
    if text in known:
        return text
    try:
        return workspace_key(json.loads(text))
    except ValueError:
        return workspace_key(text)


def child_id(parent: str, number: int) -> str:
    """The id of the migration that moves one workspace: it sorts, and completes, behind its parent's."""
    return f"{parent}.{number:04d}"


class Workspaces(Database):
    """Storing, ordering, holding and moving workspaces. They are named by number, and by key where routes are asked."""

    def store_workspaces(self, migration_id: str, found: Sequence[Workspace], token: int | None = None) -> None:
        """Enter the groups of a migration, once; its state is theirs from now on. Each gets a migration of its own.

        That has the parent's id with the number behind it. The same keys and numbers again change nothing, whatever
        became of them; others raise PlanRefused.
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            _refuse_doubles(found)
            stored = write.connection.execute(select(workspaces).where(_of(migration_id))).all()
            if stored:
                _refuse_others(migration_id, stored, found)
                return
            if found:
                write.connection.execute(
                    insert(workspaces), [workspace_columns(write, migration_id, one) for one in found]
                )
                parent = known(write.connection, migration_id)
                write.connection.execute(insert(migrations), [child_columns(write, parent, one) for one in found])
                audit.append(write, "workspaces stored", migration_id, {"count": len(found)})
                moves.derive(write, migration_id)

    def workspaces(self, migration_id: str, states: Collection[State] | None = None) -> list[Workspace]:
        """The workspaces of a migration (or those in `states`), in the order of work; none where it is not rolling."""
        query = select(workspaces).where(_of(migration_id)).order_by(workspaces.c.position, workspaces.c.number)
        if states is not None:
            query = query.where(workspaces.c.state.in_([state.value for state in states]))
        with self._read() as connection:
            return [_workspace(row) for row in connection.execute(query)]

    def children(self, migration_id: str) -> list[Migration]:
        """The migrations that move its workspaces, by number; none where it is not rolling."""
        query = select(migrations).where(migrations.c.parent == migration_id).order_by(migrations.c.id)
        with self._read() as connection:
            return [migration_of(row) for row in connection.execute(query)]

    def workspace(self, migration_id: str, key: str) -> Workspace:
        """One workspace, by its key. Raises NotFound."""
        with self._read() as connection:
            return _workspace(known_workspace(connection, migration_id, key))

    def move_workspaces(
        self,
        migration_id: str,
        numbers: Collection[int],
        allowed_from: Collection[State],
        to: State,
        *,
        event: str,
        detail: JsonObject | None = None,
        token: int | None = None,
    ) -> None:
        """Move workspaces to another state, all or none, and the migration's with them.

        A way out of a pause without a switch releases their writes in the same transaction. Raises UnsafeRoute naming
        the first that is elsewhere, NotFound.
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            moves.take(write, moves.Move(migration_id, allowed_from, to, event, detail or {}, tuple(numbers)))

    def move_workspace(
        self,
        migration_id: str,
        number: int,
        allowed_from: Collection[State],
        to: State,
        *,
        event: str,
        detail: JsonObject | None = None,
        token: int | None = None,
    ) -> Workspace:
        """`move_workspaces` for one; the workspace after it."""
        self.move_workspaces(migration_id, [number], allowed_from, to, event=event, detail=detail, token=token)
        with self._read() as connection:
            return _workspace(connection.execute(select(workspaces).where(_is(migration_id, number))).one())

    def begin_attempt(self, migration_id: str, number: int, token: int | None = None) -> int:
        """Count that work on a workspace begins; how often it did."""
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            _change(write, row, attempts=row.attempts + 1)
            audit.append(write, "workspace begun", migration_id, {"number": number, "attempts": row.attempts + 1})
            return int(row.attempts) + 1

    def note_workspace(self, migration_id: str, number: int, note: str, token: int | None = None) -> None:
        """Say how work on a workspace ended; the last note counts."""
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            _change(write, row, note=note)
            audit.append(write, "workspace noted", migration_id, {"number": number, "note": note})

    def hold_workspaces(
        self, migration_id: str, numbers: Collection[int], hold: Hold | None, token: int | None = None
    ) -> None:
        """Let runs leave these workspaces where they are, or (None) take them up again. Raises NotFound."""
        with self._write() as write:
            rows = [_found(write, migration_id, number, token) for number in sorted(set(numbers))]
            for row in rows:
                _change(write, row, hold=None if hold is None else hold.value)
            event = "workspaces taken up" if hold is None else f"workspaces {hold}"
            audit.append(write, event, migration_id, {"numbers": [row.number for row in rows]})

    def order_workspaces(self, migration_id: str, numbers: Sequence[int], token: int | None = None) -> None:
        """Work on these first, in this order; the others follow as before. Raises NotFound."""
        with self._write() as write:
            first = [_found(write, migration_id, number, token).number for number in dict.fromkeys(numbers)]
            query = select(workspaces.c.number).where(_of(migration_id))
            rest = write.connection.scalars(query.order_by(workspaces.c.position, workspaces.c.number)).all()
            for position, number in enumerate(first + [number for number in rest if number not in set(first)], 1):
                changed = update(workspaces).where(_is(migration_id, number)).values(position=position)
                write.connection.execute(changed)
            audit.append(write, "workspaces ordered", migration_id, {"numbers": first})


def _found(write: Write, migration_id: str, number: int, token: int | None) -> Row[Any]:
    known(write.connection, migration_id)
    require(write, token, migration_id)
    row = write.connection.execute(select(workspaces).where(_is(migration_id, number))).one_or_none()
    if row is None:
        advice = f"`vecferry status {migration_id}` shows its workspaces"
        raise NotFound(f"migration {migration_id} has no workspace {number}", advice=advice)
    return row


def _of(migration_id: str) -> ColumnElement[bool]:
    return workspaces.c.migration == migration_id


def _is(migration_id: str, number: int) -> ColumnElement[bool]:
    return _of(migration_id) & (workspaces.c.number == number)


def _change(write: Write, row: Row[Any], **values: Any) -> None:
    changed = update(workspaces).where(_is(row.migration, row.number))
    write.connection.execute(changed.values(changed_at=write.now, **values))


def _refuse_doubles(found: Sequence[Workspace]) -> None:
    keys, numbers = {one.key for one in found}, {one.number for one in found}
    if len(keys) != len(found) or len(numbers) != len(found):
        raise ConfigError("two workspaces have one key or one number", advice="each group is entered once")


def _refuse_others(migration_id: str, stored: Sequence[Row[Any]], found: Sequence[Workspace]) -> None:
    if {(row.number, row.key) for row in stored} != {(one.number, one.key) for one in found}:
        raise PlanRefused(
            f"migration {migration_id} has other workspaces already, and a plan never changes",
            advice=f"`vecferry resume {migration_id}` goes on with those; new ones belong to the default group",
        )


def workspace_columns(write: Write, migration_id: str, one: Workspace) -> dict[str, Any]:
    """The row of a new workspace."""
    content = {key: getattr(one, key) for key in ("number", "key", "attempts", "note", "condition")}
    position = one.number if one.position is None else one.position
    hold = None if one.hold is None else one.hold.value
    more = {"row_count": one.rows, "position": position, "state": one.state.value, "hold": hold}
    return {"migration": migration_id, "changed_at": write.now, **content, **more}


def child_columns(write: Write, parent: Row[Any], one: Workspace) -> dict[str, Any]:
    """The row of the migration that moves one workspace of another, as long as that has no plan."""
    kept = ("name", "strategy", "source_url", "target_url", "route", "archive", "config")
    moments = {"created_at": write.now, "changed_at": write.now}
    names = {"id": child_id(parent.id, one.number), "parent": parent.id, "workspace": one.key}
    return {**{name: getattr(parent, name) for name in kept}, **names, **moments, "state": one.state.value}


def _workspace(row: Row[Any]) -> Workspace:
    content = row._asdict()
    content["child"] = child_id(content.pop("migration"), row.number)
    content["rows"] = content.pop("row_count")
    del content["approval"]
    hold = None if row.hold is None else Hold(row.hold)
    return Workspace(**content | {"state": State(row.state), "hold": hold})
