"""A switched migration entered anew, as its archive tells it: for a ledger that was lost."""

from __future__ import annotations

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
from vecferry.ledger.rows import Delta, Entry, Migration, SliceRow
from vecferry.ledger.schema import counters, deltas, facts, migrations, routes, slices
from vecferry.ledger.states import State
from vecferry.model import JsonObject

__all__ = ["Restored", "Restoring"]


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


class Restoring(Database):
    """Putting a lost migration back."""

    def restore_migration(self, found: Restored, by: str) -> Migration:
        """Enter a migration as SWITCHED, and its route at the target, in one transaction.

        Tokens of pauses and leases go on above all that an application may have seen. Raises PlanRefused where the
        ledger knows the migration or the route already: then nothing was changed.
        """
        with self._write() as write:
            _refuse_known(write, found)
            values = _migration(write, found)
            write.connection.execute(insert(migrations).values(**values))
            if found.slices:
                write.connection.execute(insert(slices), [_slice(write, found.id, row) for row in found.slices])
            for name, value in found.facts.items():
                content = {"migration": found.id, "name": name, "value": value, "set_at": write.now}
                write.connection.execute(insert(facts).values(**content))
            for delta in found.deltas:
                write.connection.execute(insert(deltas).values(**_delta(found.id, delta)))
            write.connection.execute(insert(routes).values(**_route(write, found)))
            _raise_tokens(write)
            told = {"by": by, "route": found.entry.route, "epoch": found.route_epoch, "url": values["target_url"]}
            detail = {**told, "to": State.SWITCHED.value, "deltas": len(found.deltas), "slices": len(found.slices)}
            tell(write, event_name("migration", State.SWITCHED), found.id, "rebuilt from the archive", detail)
            return migration_of(known(write.connection, found.id))


def _refuse_known(write: Write, found: Restored) -> None:
    advice = "rebuild into an empty ledger: --ledger PATH"
    if migration_row(write.connection, found.id) is not None:
        raise PlanRefused(f"the ledger knows migration {found.id} already", advice=advice)
    if write.connection.scalar(select(exists().where(routes.c.name == found.entry.route))):
        raise PlanRefused(f"the ledger has a route {found.entry.route!r} already", advice=advice)


def _migration(write: Write, found: Restored) -> dict[str, Any]:
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
        "state": State.SWITCHED.value,
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
