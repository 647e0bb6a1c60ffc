"""One step of a migration, or of workspaces of it: state, trail, outbox and released writes in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from vecferry.errors import NotFound, UnsafeRoute
from vecferry.ledger import gates
from vecferry.ledger.database import Write
from vecferry.ledger.known import known, known_workspace, within
from vecferry.ledger.outbox import event_name, tell
from vecferry.ledger.schema import migrations, workspaces
from vecferry.ledger.states import State, derived, releases
from vecferry.model import JsonObject

__all__ = ["Move", "derive", "number_of", "take"]


@dataclass(frozen=True, slots=True)
class Move:
    """A step to take: of the migration itself, or of the workspaces of these numbers, all or none.

    `name` is the event's, where it is not that of the state: a route that moved while the state stays.
    """

    migration: str
    allowed_from: Collection[State]
    to: State
    event: str
    detail: JsonObject
    workspaces: tuple[int, ...] | None = None
    name: str | None = None


def number_of(connection: Connection, migration_id: str, key: str | None) -> tuple[int, ...] | None:
    """What `Move.workspaces` says for one workspace's key, None for the migration itself. Raises NotFound.

    The migration of one workspace moves by itself.
    """
    key = within(connection, migration_id, key)
    return None if key is None else (int(known_workspace(connection, migration_id, key).number),)


def take(write: Write, move: Move) -> State:
    """Take a step; the state found (of the first workspace, where there are several). Raises UnsafeRoute, NotFound.

    A workspace and the migration that moves it have one state, whichever of them is named.
    """
    row = known(write.connection, move.migration)
    if row.parent is not None:
        number = int(known_workspace(write.connection, row.parent, row.workspace).number)
        return _move_workspaces(write, replace(move, migration=row.parent, workspaces=(number,)), told_of=row.id)
    return _move_migration(write, move) if move.workspaces is None else _move_workspaces(write, move)


def derive(write: Write, migration_id: str) -> None:
    """Let the migration's state be what those of its workspaces make of it."""
    query = select(workspaces.c.state).where(workspaces.c.migration == migration_id).distinct()
    now = derived({State(state) for state in write.connection.scalars(query)})
    before = State(known(write.connection, migration_id).state)
    if now is not before:
        _set_state(write, migration_id, now)
        detail = {"from": before.value, "to": now.value}
        tell(write, event_name("migration", now), migration_id, "state derived from workspaces", detail)


def _move_migration(write: Write, move: Move) -> State:
    found = State(known(write.connection, move.migration).state)
    if write.connection.scalar(select(exists().where(workspaces.c.migration == move.migration))):
        raise UnsafeRoute(
            f"migration {move.migration} has workspaces: its state is theirs and cannot be set to {move.to}",
            advice=f"name workspaces; `vecferry status {move.migration}` shows them",
        )
    if found not in move.allowed_from:
        raise _refused(f"migration {move.migration}", found, move)
    _set_state(write, move.migration, move.to)
    name = move.name or event_name("migration", move.to)
    tell(write, name, move.migration, move.event, {**move.detail, "from": found.value, "to": move.to.value})
    if releases(found, move.to):
        gates.end(write, gates.of_subject(move.migration, None), by=move.event)
    return found


def _move_workspaces(write: Write, move: Move, told_of: str | None = None) -> State:
    rows = _rows(write.connection, move.migration, move.workspaces or ())
    for row in rows:
        if State(row.state) not in move.allowed_from:
            raise _refused(f"workspace {row.key} of migration {move.migration}", State(row.state), move)
    for row in rows:
        mine = (workspaces.c.migration == row.migration) & (workspaces.c.number == row.number)
        values = {"state": move.to.value, "changed_at": write.now}
        write.connection.execute(update(workspaces).where(mine).values(**values))
        child = (migrations.c.parent == row.migration) & (migrations.c.workspace == row.key)
        write.connection.execute(update(migrations).where(child).values(**values))
    moved = [{"number": row.number, "key": row.key, "from": row.state} for row in rows]
    name = move.name or event_name("workspace", move.to)
    told = {**move.detail, "workspaces": moved, "to": move.to.value}
    if told_of is not None:
        told |= {"from": rows[0].state}
    tell(write, name, told_of or move.migration, move.event, told)
    for row in rows:
        if releases(State(row.state), move.to):
            gates.end(write, gates.of_subject(row.migration, row.key), by=move.event)
    derive(write, move.migration)
    return State(rows[0].state)


def _rows(connection: Connection, migration_id: str, numbers: Collection[int]) -> Sequence[Row[Any]]:
    mine = (workspaces.c.migration == migration_id) & workspaces.c.number.in_(list(numbers))
    rows = connection.execute(select(workspaces).where(mine).order_by(workspaces.c.number)).all()
    unknown = sorted(set(numbers) - {row.number for row in rows})
    if unknown or not rows:
        advice = f"`vecferry status {migration_id}` shows its workspaces"
        raise NotFound(f"migration {migration_id} has no workspace {unknown[0] if unknown else ''}", advice=advice)
    return rows


def _refused(subject: str, found: State, move: Move) -> UnsafeRoute:
    expected = " or ".join(sorted(move.allowed_from)) or "none"
    return UnsafeRoute(
        f"{subject} is {found}, not {expected}: it cannot become {move.to}",
        advice=f"`vecferry status {move.migration}` shows what can be done from here",
    )


def _set_state(write: Write, migration_id: str, state: State) -> None:
    values = {"state": state.value, "changed_at": write.now}
    write.connection.execute(update(migrations).where(migrations.c.id == migration_id).values(**values))
