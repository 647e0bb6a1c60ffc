"""Migrations, their stored plans, their states, and the small results of their phases."""

from __future__ import annotations

import difflib
import re
import secrets
import unicodedata
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from vecferry import address, plain
from vecferry.errors import NotFound, PlanRefused
from vecferry.ledger import audit, moves
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known, migration_of, migration_row
from vecferry.ledger.leases import require
from vecferry.ledger.rows import Entry, Migration
from vecferry.ledger.schema import facts, groups, migrations, slices
from vecferry.ledger.states import State
from vecferry.model import JsonObject, Slice

__all__ = ["Migrations", "enter", "free_id"]

# Letters and digits that are not taken for each other when read aloud or typed.
_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
_FACT = select(facts.c.value).where((facts.c.migration == bindparam("of")) & (facts.c.name == bindparam("asked")))


class Migrations(Database):
    """A migration's life. With a `token`, a change is made only while that holds the migration (LeaseLost)."""

    def create_migration(
        self,
        *,
        name: str,
        strategy: str,
        source_url: str,
        target_url: str,
        route: str,
        archive: str,
        config: JsonObject,
        limit: int | None = None,
    ) -> Migration:
        """Enter a new migration in the state PLANNED. Its id starts with `name`'s letters and the day.

        Raises BadOption if a URL holds a secret.
        """
        entry = Entry(name, strategy, source_url, target_url, route, archive, config, limit)
        with self._write() as write:
            return enter(write, entry)

    def migration(self, text: str) -> Migration:
        """The migration of this id, or of this start of an id. Raises NotFound, naming the nearest."""
        with self._read() as connection:
            row = migration_row(connection, text)
            return migration_of(row if row is not None else known(connection, _resolve(connection, text)))

    def migrations(self, states: Collection[State] | None = None) -> list[Migration]:
        """All migrations, or those in `states`, the oldest first; without those that move a workspace of another."""
        query = select(migrations).where(migrations.c.parent.is_(None))
        query = query.order_by(migrations.c.created_at, migrations.c.id)
        if states is not None:
            query = query.where(migrations.c.state.in_([state.value for state in states]))
        with self._read() as connection:
            return [migration_of(row) for row in connection.execute(query)]

    def store_plan(self, migration_id: str, plan: JsonObject, parts: Sequence[Slice], token: int | None = None) -> None:
        """Store the plan and its slices, once. The same again changes nothing; another one raises PlanRefused."""
        with self._write() as write:
            row = known(write.connection, migration_id)
            require(write, token, migration_id)
            if row.planned_at is not None:
                _refuse_other(write.connection, row, plan, parts)
                return
            values = {"plan": plan, "planned_at": write.now}
            write.connection.execute(update(migrations).where(migrations.c.id == migration_id).values(**values))
            if parts:
                write.connection.execute(insert(slices), [_slice_columns(migration_id, part) for part in parts])
            audit.append(write, "plan stored", migration_id, {"slices": len(parts)})

    def has_plan(self, migration_id: str) -> bool:
        """Whether a plan is stored."""
        with self._read() as connection:
            return known(connection, migration_id).planned_at is not None

    def plan(self, migration_id: str) -> JsonObject:
        """The stored plan. Raises NotFound while there is none."""
        with self._read() as connection:
            planned_at = known(connection, migration_id).planned_at
            content: JsonObject = _plan(connection, migration_id)
        if planned_at is None:
            advice = f"`vecferry resume {migration_id}` makes it"
            raise NotFound(f"migration {migration_id} has no plan yet", advice=advice)
        return content

    def set_fact(self, migration_id: str, key: str, value: JsonObject, token: int | None = None) -> None:
        """Keep a small result of a phase; an earlier one of that key is replaced."""
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            write.connection.execute(delete(facts).where(_fact(migration_id, key)))
            content = {"migration": migration_id, "name": key, "value": value, "set_at": write.now}
            write.connection.execute(insert(facts).values(**content))
            audit.append(write, "fact set", migration_id, {"key": key, "value": value})

    def fact(self, migration_id: str, key: str) -> JsonObject | None:
        """What `set_fact` kept."""
        with self._read() as connection:
            value: JsonObject | None = connection.scalar(_FACT, {"of": migration_id, "asked": key})
            return value

    def note(self, migration_id: str, event: str, detail: JsonObject, token: int | None = None) -> None:
        """Add to the audit trail something that was done outside the ledger."""
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            audit.append(write, event, migration_id, detail)

    def transition(
        self,
        migration_id: str,
        allowed_from: Collection[State],
        to: State,
        *,
        event: str,
        detail: JsonObject | None = None,
        token: int | None = None,
    ) -> Migration:
        """Move to another state if the one found is in `allowed_from`. Raises UnsafeRoute naming it if not.

        A way out of a pause without a switch releases the writes in the same transaction. A migration that has
        workspaces is moved by them alone (UnsafeRoute).
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            moves.take(write, moves.Move(migration_id, allowed_from, to, event, detail or {}))
            return migration_of(known(write.connection, migration_id))


def enter(write: Write, entry: Entry, group_id: str | None = None, member: int | None = None) -> Migration:
    """Insert a migration within a transaction. Raises BadOption if a URL holds a secret."""
    migration = Migration(
        id=free_id(write.connection, entry.name, write.now),
        name=entry.name,
        strategy=entry.strategy,
        source_url=str(address.parse(entry.source_url)),
        target_url=str(address.parse(entry.target_url)),
        route=entry.route,
        archive=entry.archive,
        config=plain.to_plain(entry.config),
        limit=entry.limit,
        state=State.PLANNED,
        created_at=write.now,
        changed_at=write.now,
        planned_at=None,
        group_id=group_id,
        member=member,
    )
    write.connection.execute(insert(migrations).values(**_columns(migration)))
    detail = {"source": migration.source_url, "target": migration.target_url, "limit": entry.limit}
    audit.append(write, "migration created", migration.id, detail if group_id is None else detail | {"group": group_id})
    return migration


def _resolve(connection: Connection, text: str) -> str:
    """The only id that starts with `text`. Raises NotFound."""
    query = select(migrations.c.id).order_by(migrations.c.id)
    if "." not in text:
        query = query.where(migrations.c.parent.is_(None))
    ids: list[str] = list(connection.scalars(query))
    starting = [one for one in ids if text and one.startswith(text)]
    if len(starting) == 1:
        return starting[0]
    near = starting or difflib.get_close_matches(text, ids, n=3, cutoff=0.4)
    problem = f"{len(starting)} migrations start with {text!r}" if starting else f"there is no migration {text!r}"
    raise NotFound(problem, advice=f"did you mean {' or '.join(near[:3])}?" if near else "`vecferry list` shows them")


def free_id(connection: Connection, name: str, now: datetime) -> str:
    """Something like `docs-20261121-7f3a`: typable by its start, in order of days for one name."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    start = re.sub(r"[^a-z0-9]+", "-", ascii_name)[:24].strip("-") or "m"
    while True:
        chance = "".join(secrets.choice(_ALPHABET) for _ in range(4))
        found = f"{start}-{now:%Y%m%d}-{chance}"
        group = connection.scalar(select(groups.c.id).where(groups.c.id == found))
        if group is None and migration_row(connection, found) is None:
            return found


def _plan(connection: Connection, migration_id: str) -> Any:
    return connection.scalar(select(migrations.c.plan).where(migrations.c.id == migration_id))


def _fact(migration_id: str, key: str) -> Any:
    return (facts.c.migration == migration_id) & (facts.c.name == key)


def _refuse_other(connection: Connection, row: Row[Any], plan: JsonObject, parts: Sequence[Slice]) -> None:
    query = select(slices).where(slices.c.migration == row.id).order_by(slices.c.number)
    stored = [Slice(one.number, one.bounds, one.row_count) for one in connection.execute(query)]
    given = sorted(parts, key=lambda part: part.number)
    if plain.to_json([_plan(connection, row.id), stored]) != plain.to_json([plan, given]):
        raise PlanRefused(
            f"migration {row.id} has another plan already, and a plan never changes",
            advice=f"`vecferry resume {row.id}` goes on with it; for another plan start a new migration",
        )


def _slice_columns(migration_id: str, part: Slice) -> dict[str, Any]:
    return {"migration": migration_id, "number": part.number, "bounds": part.bounds, "row_count": part.rows}


def _columns(migration: Migration) -> dict[str, Any]:
    values = {name: getattr(migration, name) for name in Migration.__slots__ if name not in ("limit", "state")}
    return values | {"row_limit": migration.limit, "state": migration.state.value}
