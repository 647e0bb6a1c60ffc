"""Migrations entered anew, as their archives tell them: for a ledger that was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, insert, select, update

from vecferry import address, plain
from vecferry.errors import PlanRefused
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known, migration_of, migration_row
from vecferry.ledger.outbox import event_name, tell
from vecferry.ledger.rows import DEFAULT_WORKSPACE, Delta, Entry, Migration, SliceRow, Workspace
from vecferry.ledger.schema import (
    counters,
    deltas,
    facts,
    migrations,
    routes,
    slices,
    workspace_routes,
    workspaces,
)
from vecferry.ledger.states import State, derived
from vecferry.ledger.workspaces import child_columns, workspace_columns
from vecferry.model import JsonObject

__all__ = ["Restored", "RestoredWhole", "RestoredWorkspace", "Restoring"]


@dataclass(frozen=True, slots=True)
class Restored:
    """What is entered: a migration that has switched its route, with everything that its way back asks for.

    `route_epoch` is what the route had after the switch. `deltas` are closed ones.
    """

    id: str
    entry: Entry
    created_at: datetime
    plan: JsonObject
    slices: Sequence[SliceRow]
    facts: JsonObject
    deltas: Sequence[Delta]
    route_epoch: int
    alias: JsonObject | None


@dataclass(frozen=True, slots=True)
class RestoredWorkspace:
    """One workspace in the state that is entered, and `moved`, what its archive tells of its switch (None: nothing).

    `epoch` and `alias` are those of its route, and `is_new` says whether the target serves it. `facts` are entered
    where nothing moved.
    """

    workspace: Workspace
    moved: Restored | None
    epoch: int
    is_new: bool
    alias: JsonObject | None
    facts: JsonObject


@dataclass(frozen=True, slots=True)
class RestoredWhole:
    """A rolling migration: what is one for all its workspaces, and these. `route_epoch` as where none had moved."""

    id: str
    entry: Entry
    created_at: datetime
    plan: JsonObject
    facts: JsonObject
    workspaces: Sequence[RestoredWorkspace]
    route_epoch: int


class Restoring(Database):
    """Putting a lost migration back."""

    def restore_migration(self, found: Restored, by: str) -> Migration:
        """Enter a migration as SWITCHED, and its route at the target, in one transaction.

        Tokens of pauses and leases go on above all that an application may have seen. Raises PlanRefused where the
        ledger knows the migration or the route already: then nothing was changed.
        """
        with self._write() as write:
            _refuse_known(write, found.id, found.entry.route)
            state = State.SWITCHED
            values = _migration(write, found) | {"state": state.value}
            write.connection.execute(insert(migrations).values(**values))
            _enter_phases(write, found.id, found.facts, found)
            write.connection.execute(insert(routes).values(**_route(write, found)))
            _raise_tokens(write)
            told = {"by": by, "route": found.entry.route, "epoch": found.route_epoch, "url": values["target_url"]}
            _tell(write, "migration", found.id, state, told, found)
            return migration_of(known(write.connection, found.id))

    def restore_workspaces(self, found: RestoredWhole, by: str) -> Migration:
        """Enter a rolling migration with all its workspaces, each with its route, in one transaction.

        Its state is made of theirs. Tokens, and PlanRefused, as for `restore_migration`.
        """
        with self._write() as write:
            _refuse_known(write, found.id, found.entry.route)
            state = derived({one.workspace.state for one in found.workspaces})
            values = _migration(write, found) | {"state": state.value}
            write.connection.execute(insert(migrations).values(**values))
            _enter_phases(write, found.id, found.facts, None)
            _enter_routes(write, found)
            for one in found.workspaces:
                _enter_workspace(write, found, one, by)
            _raise_tokens(write)
            states = Counter(one.workspace.state.value for one in found.workspaces)
            told = {"by": by, "route": found.entry.route, "workspaces": dict(states)}
            _tell(write, "migration", found.id, state, told, None)
            return migration_of(known(write.connection, found.id))


def _enter_phases(write: Write, migration_id: str, known_facts: JsonObject, found: Restored | None) -> None:
    """What the phases of a migration left in the ledger."""
    for name, value in known_facts.items():
        content = {"migration": migration_id, "name": name, "value": value, "set_at": write.now}
        write.connection.execute(insert(facts).values(**content))
    if found is None:
        return
    if found.slices:
        write.connection.execute(insert(slices), [_slice(write, migration_id, row) for row in found.slices])
    for delta in found.deltas:
        write.connection.execute(insert(deltas).values(**_delta(migration_id, delta)))


def _enter_workspace(write: Write, whole: RestoredWhole, one: RestoredWorkspace, by: str) -> None:
    parent, place, moved = known(write.connection, whole.id), one.workspace, one.moved
    write.connection.execute(insert(workspaces).values(**workspace_columns(write, whole.id, place)))
    values = child_columns(write, parent, place)
    if moved is not None:
        values |= {"created_at": moved.created_at, "plan": moved.plan, "planned_at": moved.created_at}
    write.connection.execute(insert(migrations).values(**values))
    _enter_phases(write, values["id"], one.facts if moved is None else moved.facts, moved)
    if moved is not None:
        told = {"by": by, "route": whole.entry.route, "epoch": one.epoch, "workspaces": [_named(place)]}
        _tell(write, "workspace", values["id"], place.state, told, moved)


def _named(place: Workspace) -> JsonObject:
    return {"number": place.number, "key": place.key}


def _enter_routes(write: Write, whole: RestoredWhole) -> None:
    """The route of the whole is that of the default group; others have entries of their own where one moved apart."""
    urls = [str(address.parse(url)) for url in (whole.entry.source_url, whole.entry.target_url)]
    default = next((one for one in whole.workspaces if one.workspace.key == DEFAULT_WORKSPACE), None)
    has_moved = default is not None and default.moved is not None
    same = {"migration": whole.id, "changed_at": write.now}

    def leads(one: RestoredWorkspace) -> dict[str, Any]:
        previous, url = urls if one.is_new else urls[::-1]
        return same | {"url": url, "previous_url": None if one.moved is None else previous, "epoch": one.epoch}

    values = same | {"name": whole.entry.route, "url": urls[0], "epoch": whole.route_epoch}
    if default is not None and has_moved:
        values |= leads(default) | {"alias": default.alias}
    write.connection.execute(insert(routes).values(**values))
    for one in whole.workspaces:
        # Once the route of the whole has moved, those that did not move have entries that keep them in the old store.
        if one is not default and (has_moved or one.moved is not None):
            entry = {"route": whole.entry.route, "workspace": one.workspace.key} | leads(one)
            write.connection.execute(insert(workspace_routes).values(**entry))


def _tell(
    write: Write, subject: str, migration_id: str, state: State, told: JsonObject, found: Restored | None
) -> None:
    counts = {} if found is None else {"deltas": len(found.deltas), "slices": len(found.slices)}
    detail = {**told, "to": state.value, **counts}
    tell(write, event_name(subject, state), migration_id, "rebuilt from the archive", detail)


def _refuse_known(write: Write, migration_id: str, route: str) -> None:
    advice = "rebuild into an empty ledger: --ledger PATH"
    if migration_row(write.connection, migration_id) is not None:
        raise PlanRefused(f"the ledger knows migration {migration_id} already", advice=advice)
    if write.connection.scalar(select(exists().where(routes.c.name == route))):
        raise PlanRefused(f"the ledger has a route {route!r} already", advice=advice)


def _migration(write: Write, found: Restored | RestoredWhole) -> dict[str, Any]:
    entry = found.entry
    return {
        "id": found.id,
        "name": entry.name,
        "strategy": entry.strategy,
        "source_url": str(address.parse(entry.source_url)),
        "target_url": str(address.parse(entry.target_url)),
        "route": entry.route,
        "archive": entry.archive,
        "config": plain.to_plain(entry.config),
        "row_limit": None,
        "created_at": found.created_at,
        "changed_at": write.now,
        "plan": found.plan,
        "planned_at": found.created_at,
    }


def _slice(write: Write, migration_id: str, row: SliceRow) -> dict[str, Any]:
    return {
        "migration": migration_id,
        "number": row.slice.number,
        "bounds": row.slice.bounds,
        "row_count": row.slice.rows,
        "receipt": None if row.copied is None else plain.to_json(row.copied),
        "copied_at": write.now,
        "loaded_at": write.now,
        "verified": row.verified,
        "verified_at": None if row.verified is None else write.now,
    }


def _delta(migration_id: str, delta: Delta) -> dict[str, Any]:
    names = ("number", "counts", "note", "recorded_at", "loaded_at", "closing", "closed_at")
    return {name: getattr(delta, name) for name in names} | {
        "migration": migration_id,
        "direction": delta.direction.value,
        "receipt": plain.to_json(delta.receipt),
        "hashes": plain.to_json(delta.hashes),
    }


def _route(write: Write, found: Restored) -> dict[str, Any]:
    return {
        "name": found.entry.route,
        "url": str(address.parse(found.entry.target_url)),
        "previous_url": str(address.parse(found.entry.source_url)),
        "epoch": found.route_epoch,
        "migration": found.id,
        "changed_at": write.now,
        "alias": found.alias,
    }


def _raise_tokens(write: Write) -> None:
    """An application refuses tokens that are not above those it has seen; nobody counts one for each second."""
    least = int(write.now.timestamp())
    below = counters.c.value < least
    write.connection.execute(update(counters).where(below).values(value=least))
