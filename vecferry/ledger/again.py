"""Going forward again: a migration that was rolled back takes up where its first copy ended, in one transaction."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, insert, update

from vecferry import address, plain
from vecferry.errors import UnsafeRoute
from vecferry.ledger import moves, placed
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known, migration_of
from vecferry.ledger.leases import require
from vecferry.ledger.routes import claim
from vecferry.ledger.rows import Migration
from vecferry.ledger.schema import facts, migrations
from vecferry.ledger.states import State
from vecferry.model import JsonObject

__all__ = ["FORWARD_FACT", "Again"]

FORWARD_FACT = "forward again"
"""`{"from": URL}`: the migration was rolled back and goes forward again, from this store."""


class Again(Database):
    """The step from ROLLED_BACK to CATCHING_UP."""

    def go_forward_again(
        self,
        migration_id: str,
        *,
        source_url: str,
        config: JsonObject,
        strategy: str,
        keep: Collection[str],
        token: int | None = None,
    ) -> Migration:
        """Take the route again, from `source_url`, which is the old store from now on; the migration after it.

        Of what its phases left in the ledger the facts in `keep` stay; verdict, switch and way back begin anew.

        Raises UnsafeRoute where the migration is elsewhere or its workspace is served by another store, PlanRefused
        where another live migration has the route or that leads elsewhere. Then nothing was changed.
        """
        url = str(address.parse(source_url))
        with self._write() as write:
            row = known(write.connection, migration_id)
            require(write, token, migration_id)
            _take_route(write, migration_of(row), url)
            values = {"source_url": url, "config": plain.to_plain(config), "strategy": strategy}
            write.connection.execute(update(migrations).where(migrations.c.id == migration_id).values(**values))
            mine = facts.c.migration == migration_id
            write.connection.execute(delete(facts).where(mine & facts.c.name.not_in(list(keep))))
            gone_on = {"migration": migration_id, "name": FORWARD_FACT, "value": {"from": url}, "set_at": write.now}
            write.connection.execute(insert(facts).values(**gone_on))
            told = {"route": row.route, "source": url, "strategy": strategy, "source_before": row.source_url}
            move = moves.Move(migration_id, {State.ROLLED_BACK}, State.CATCHING_UP, "forward again", told)
            moves.take(write, move)
            return migration_of(known(write.connection, migration_id))


def _take_route(write: Write, migration: Migration, url: str) -> None:
    """Make the route this migration's own again; a workspace has that of its whole collection."""
    if migration.parent is None:
        claim(write, migration.route, url, migration.id)
    elif placed.known_route(write.connection, migration.route).migration != migration.owner:
        claim(write, migration.route, known(write.connection, migration.owner).source_url, migration.owner)
    serves = placed.effective(write.connection, migration.route, migration.workspace)
    if serves is None or serves.url != url:
        raise UnsafeRoute(
            f"route {migration.route} leads to {'nothing' if serves is None else serves.url}, not to {url}",
            advice=f"nothing was changed; `vecferry route {migration.route}` shows where it leads",
        )
