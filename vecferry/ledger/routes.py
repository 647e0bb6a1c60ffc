"""Routes: which collection serves a logical name now. The ledger's route is the only commit point of a switch."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from vecferry import address
from vecferry.errors import NotFound, PlanRefused, UnsafeRoute
from vecferry.failpoints import reached
from vecferry.ledger import audit
from vecferry.ledger.approvals import use
from vecferry.ledger.database import Database, Write
from vecferry.ledger.leases import require
from vecferry.ledger.migrations import compare_and_set, known
from vecferry.ledger.rows import Route
from vecferry.ledger.schema import routes
from vecferry.ledger.states import LIVE, State
from vecferry.model import JsonObject

__all__ = ["Routes"]


class Routes(Database):
    """Registering, asking and switching routes."""

    def route(self, name: str) -> Route | None:
        """The route of a logical name."""
        with self._read() as connection:
            row = _row(connection, name)
            return None if row is None else _route(row)

    def routes(self) -> list[Route]:
        """All routes, by name."""
        with self._read() as connection:
            return [_route(row) for row in connection.execute(select(routes).order_by(routes.c.name))]

    def routes_naming(self, url: str) -> list[Route]:
        """The routes that lead to this collection now."""
        query = select(routes).where(routes.c.url == _canonical(url)).order_by(routes.c.name)
        with self._read() as connection:
            return [_route(row) for row in connection.execute(query)]

    def claim_route(self, name: str, url: str, migration_id: str, token: int | None = None) -> Route:
        """Make this migration the one that may switch the route; registers it at `url`, epoch 1, if it is new.

        Raises PlanRefused if another live migration has it, or if it leads to another collection than `url`.
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            row = _row(write.connection, name)
            if row is None:
                _register(write, migration_id, name, _canonical(url))
            elif row.migration != migration_id:
                _refuse_clash(write.connection, row, _canonical(url))
                write.connection.execute(update(routes).where(routes.c.name == name).values(migration=migration_id))
                audit.append(write, "route claimed", migration_id, {"route": name, "before": row.migration})
            return _route(_known_route(write.connection, name))

    def switch_route(
        self,
        migration_id: str,
        name: str,
        *,
        expected_epoch: int,
        to_url: str,
        state_from: State,
        state_to: State,
        event: str,
        token: int | None,
        alias: JsonObject | None = None,
        approval: int | None = None,
        detail: JsonObject | None = None,
    ) -> Route:
        """Move the route, its epoch, the alias intent and the state in one transaction, and use the approval in it.

        The way back is switched by the same call.

        Raises LeaseLost if the token does not hold the migration, UnsafeRoute if the epoch or the state is another, the
        route belongs to another migration, this one is a trial, or the approval is no unused yes to
        this. Then nothing was changed.
        """
        with self._write() as write:
            require(write, token, migration_id)
            row = _known_route(write.connection, name)
            _refuse_unsafe(write.connection, row, migration_id, expected_epoch)
            compare_and_set(write, migration_id, {state_from}, state_to)
            if approval is not None:
                use(write, migration_id, approval)
            values = {"url": _canonical(to_url), "previous_url": row.url, "epoch": expected_epoch + 1}
            rest = {"changed_at": write.now, "alias": alias, "alias_confirmed_at": None}
            write.connection.execute(update(routes).where(routes.c.name == name).values(**values, **rest))
            told = {**(detail or {}), "route": name, "to": state_to.value, "alias": alias, **values}
            audit.append(write, event, migration_id, told)
            reached("ledger.switching")
            switched = _route(_known_route(write.connection, name))
        reached("ledger.switched")
        return switched

    def confirm_alias(self, name: str, epoch: int) -> None:
        """The engine's alias was read back as meant with this epoch. Raises UnsafeRoute if the route has moved on."""
        with self._write() as write:
            row = _known_route(write.connection, name)
            if row.epoch != epoch or row.alias is None:
                raise UnsafeRoute(
                    f"route {name} has epoch {row.epoch}, and the alias read back was that of epoch {epoch}",
                    advice=f"`vecferry route {name}` shows where it leads now",
                )
            if row.alias_confirmed_at is None:
                values = {"alias_confirmed_at": write.now}
                write.connection.execute(update(routes).where(routes.c.name == name).values(**values))
                audit.append(write, "alias confirmed", row.migration, {"route": name, "epoch": epoch})


def _canonical(url: str) -> str:
    """One spelling of a URL. Raises BadOption if it holds a secret."""
    return str(address.parse(url))


def _register(write: Write, migration_id: str, name: str, url: str) -> None:
    values = {"name": name, "url": url, "epoch": 1, "migration": migration_id, "changed_at": write.now}
    write.connection.execute(insert(routes).values(**values))
    audit.append(write, "route registered", migration_id, {"route": name, "url": url, "epoch": 1})


def _refuse_clash(connection: Connection, row: Row[Any], url: str) -> None:
    advice = "choose another name with --route NAME"
    if State(known(connection, row.migration).state) in LIVE:
        raise PlanRefused(
            f"route {row.name} belongs to migration {row.migration}, which has not ended",
            advice=f"end that one (`vecferry status {row.migration}`), or {advice}",
        )
    if row.url != url:
        raise PlanRefused(f"route {row.name} leads to {row.url}, not to {url}", advice=advice)


def _refuse_unsafe(connection: Connection, row: Row[Any], migration_id: str, expected_epoch: int) -> None:
    advice = f"nothing was switched; `vecferry route {row.name}` shows where it leads"
    if row.migration != migration_id:
        raise UnsafeRoute(f"route {row.name} belongs to migration {row.migration}, not {migration_id}", advice=advice)
    if row.epoch != expected_epoch:
        raise UnsafeRoute(f"route {row.name} has epoch {row.epoch}, not {expected_epoch} as expected", advice=advice)
    if known(connection, migration_id).row_limit is not None:
        raise UnsafeRoute(f"migration {migration_id} moved only some rows, as a trial", advice=advice)


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(routes).where(routes.c.name == name)).one_or_none()


def _known_route(connection: Connection, name: str) -> Row[Any]:
    row = _row(connection, name)
    if row is None:
        raise NotFound(f"there is no route {name}", advice="`vecferry list` shows the migrations and their routes")
    return row


def _route(row: Row[Any]) -> Route:
    return Route(**row._asdict())
