"""Groups: the migrations of many collections that one command asked for, entered in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from vecferry import address, plain
from vecferry.errors import NotFound, PlanRefused
from vecferry.ledger import audit
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known, migration_of
from vecferry.ledger.leases import require
from vecferry.ledger.migrations import enter, free_id
from vecferry.ledger.rows import Entry, Group, Migration
from vecferry.ledger.schema import facts, groups, migrations
from vecferry.ledger.states import LIVE
from vecferry.model import JsonObject

__all__ = ["Groups"]

_LIVE = [state.value for state in LIVE]


class Groups(Database):
    """Groups and their members. A member is a migration like any other; it stays in its group for good."""

    def open_group(
        self,
        *,
        identity: str,
        name: str,
        strategy: str,
        source_url: str,
        target_url: str,
        request: JsonObject,
        entries: Sequence[Entry],
    ) -> Group:
        """The newest group of this identity that has a live member, else a new one; with a member for each entry.

        An entry whose source is in the group already is that member, and nothing of it changes. All in one
        transaction: two commands at once find one group. Raises BadOption if a URL holds a secret.
        """
        with self._write() as write:
            group_id = _live_group(write.connection, identity)
            if group_id is None:
                group_id = free_id(write.connection, name, write.now)
                source, target = str(address.parse(source_url)), str(address.parse(target_url))
                made = Group(group_id, identity, strategy, source, target, plain.to_plain(request), write.now)
                write.connection.execute(insert(groups).values(**{key: getattr(made, key) for key in Group.__slots__}))
            else:
                write.connection.execute(update(groups).where(groups.c.id == group_id).values(request=request))
            added = _add(write, group_id, entries)
            audit.append(write, "group opened", None, {"group": group_id, "added": added})
            return _group(_known_group(write.connection, group_id))

    def live_group(self, identity: str) -> Group | None:
        """The newest group of this identity that has a live member."""
        with self._read() as connection:
            found = _live_group(connection, identity)
            return None if found is None else _group(_known_group(connection, found))

    def group(self, text: str) -> Group:
        """The group of this id, or of this start of an id. Raises NotFound."""
        with self._read() as connection:
            rows = connection.execute(select(groups).where(groups.c.id.startswith(text, autoescape=True))).all()
            exact = [row for row in rows if row.id == text]
            if len(exact or rows) != 1 or not text:
                raise NotFound(f"no group is named {text!r}", advice="`vecferry list` shows them")
            return _group((exact or rows)[0])

    def groups(self) -> list[Group]:
        """All groups, the oldest first."""
        with self._read() as connection:
            return [_group(row) for row in connection.execute(select(groups).order_by(groups.c.created_at))]

    def members(self, group_id: str) -> list[Migration]:
        """The migrations of a group, in their order."""
        query = select(migrations).where(migrations.c.group_id == group_id).order_by(migrations.c.member)
        with self._read() as connection:
            return [migration_of(row) for row in connection.execute(query)]

    def begin_anew(self, migration_id: str, entry: Entry, token: int | None = None) -> Migration:
        """Give a migration that has no plan yet other options, and forget what earlier attempts found.

        Raises PlanRefused for one that has a plan, because a plan never changes.
        """
        with self._write() as write:
            row = known(write.connection, migration_id)
            require(write, token, migration_id)
            if row.planned_at is not None:
                raise PlanRefused(f"migration {migration_id} has a plan, and a plan never changes")
            values = {"route": entry.route, "archive": entry.archive, "row_limit": entry.limit}
            query = update(migrations).where(migrations.c.id == migration_id)
            write.connection.execute(query.values(config=plain.to_plain(entry.config), changed_at=write.now, **values))
            write.connection.execute(delete(facts).where(facts.c.migration == migration_id))
            audit.append(write, "begun anew", migration_id, {})
            return migration_of(known(write.connection, migration_id))

    def change_options(self, migration_id: str, options: JsonObject, token: int | None = None) -> None:
        """Change options of a migration that its plan does not depend on; the others stay as they are."""
        with self._write() as write:
            row = known(write.connection, migration_id)
            require(write, token, migration_id)
            query = update(migrations).where(migrations.c.id == migration_id)
            write.connection.execute(query.values(config=plain.to_plain({**row.config, **options})))
            audit.append(write, "options changed", migration_id, {"options": plain.to_plain(options)})


def _live_group(connection: Connection, identity: str) -> str | None:
    query = (
        select(groups.c.id)
        .join(migrations, migrations.c.group_id == groups.c.id)
        .where(groups.c.identity == identity, migrations.c.state.in_(_LIVE))
        .order_by(groups.c.created_at.desc())
        .limit(1)
    )
    found: str | None = connection.scalar(query)
    return found


def _add(write: Write, group_id: str, entries: Sequence[Entry]) -> int:
    """Enter what is new; how many."""
    query = select(migrations.c.source_url).where(migrations.c.group_id == group_id)
    there = set(write.connection.scalars(query))
    new = [entry for entry in entries if str(address.parse(entry.source_url)) not in there]
    for number, entry in enumerate(new, start=len(there)):
        enter(write, entry, group_id, number)
    return len(new)


def _known_group(connection: Connection, group_id: str) -> Row[Any]:
    return connection.execute(select(groups).where(groups.c.id == group_id)).one()


def _group(row: Row[Any]) -> Group:
    return Group(**row._asdict())
